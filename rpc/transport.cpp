// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/transport.hpp"

#include "rpc/record.hpp"
#include "rpc/ucx/settings.hpp"
#include "rpc/ucx/transport.hpp"

#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace norma::rpc {

std::unique_ptr<Transport> make_transport(const Options &options, Handlers handlers) {
    if (!ucx::known_kind(options.kind)) {
        throw std::runtime_error(fmt::format("unknown transport '{}' (known: ucx, tcp, shm)", options.kind));
    }
    if (options.self >= kMaxNodes) {
        throw std::runtime_error(fmt::format("node {} is out of range (0 to {})", options.self, kMaxNodes - 1));
    }
    if (options.incarnation == 0 || options.incarnation == kNoIncarnation) {
        throw std::runtime_error(fmt::format("incarnation {} is out of range", options.incarnation));
    }
    ucx::quieten_library();
    return std::make_unique<ucx::UcxTransport>(options, std::move(handlers));
}

} // namespace norma::rpc
