// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/transport.hpp"

#include "rpc/record.hpp"
#include "rpc/ucx/settings.hpp"
#include "rpc/ucx/transport.hpp"
#include "rpc/verbs/transport.hpp"

#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace norma::rpc {

std::unique_ptr<Transport> make_transport(const Options &options, Handlers handlers) {
    const bool over_verbs = options.kind == "verbs";
    if (!over_verbs && !ucx::known_kind(options.kind)) {
        throw std::runtime_error(fmt::format("unknown transport '{}' (known: ucx, tcp, shm, verbs)", options.kind));
    }
    if (options.self >= kMaxNodes) {
        throw std::runtime_error(fmt::format("node {} is out of range (0 to {})", options.self, kMaxNodes - 1));
    }
    if (options.incarnation == 0 || options.incarnation == kNoIncarnation) {
        throw std::runtime_error(fmt::format("incarnation {} is out of range", options.incarnation));
    }
    if (over_verbs) {
        return std::make_unique<verbs::VerbsTransport>(options, std::move(handlers));
    }
    ucx::quieten_library();
    return std::make_unique<ucx::UcxTransport>(options, std::move(handlers));
}

} // namespace norma::rpc
