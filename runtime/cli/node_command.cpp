// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/cli/commands.hpp"
#include "runtime/launcher.hpp"
#include "runtime/server/main.hpp"

#include <algorithm>
#include <span>
#include <string_view>

namespace norma::rt {

int node_command(int argc, char **argv) {
    const auto words = std::span(argv, static_cast<std::size_t>(argc));
    const bool started_by_launcher = std::ranges::any_of(words, [](std::string_view word) { return word == "--node"; });
    return started_by_launcher ? node_server_main(argc, argv) : join_node_command(argc, argv);
}

} // namespace norma::rt
