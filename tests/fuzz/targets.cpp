// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fuzz/targets.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace fuzz {

namespace {

constexpr std::array kTargets{
    Target{"message", message, 512},
    Target{"inbox", inbox, 512},
    Target{"reader", reader, 256},
    Target{"peer", peer, 1024},
    Target{"image", image, 2048},
    Target{"services", services, 2048},
    Target{"launch", launch, 1024},
    Target{"packet", packet, 256},
    Target{"address", address, 512},
    Target{"config", config, 512},
    Target{"address_map", address_map, 512},
    Target{"matrix", matrix, 1024},
    Target{"picture", picture, 512},
    Target{"port_message", port_message, 512},
    Target{"core", core, 2048},
    Target{"sync", sync, 1024},
    Target{"verbs_hello", verbs_hello, 128},
    Target{"verbs_frame", verbs_frame, 256},
};

} // namespace

std::span<const Target> targets() {
    return kTargets;
}

const Target *find_target(std::string_view name) {
    const auto *const found = std::ranges::find(kTargets, name, [](const Target &target) { return target.name; });
    return found == kTargets.end() ? nullptr : found;
}

void check_failed(const char *condition, const char *file, int line) {
    std::fprintf(stderr, "%s:%d: %s does not hold\n", file, line, condition);
    std::abort();
}

} // namespace fuzz
