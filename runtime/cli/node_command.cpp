// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/cli/commands.hpp"
#include "runtime/server/main.hpp"

namespace norma::rt {

int node_command(int argc, char **argv) {
    return node_server_main(argc, argv);
}

} // namespace norma::rt
