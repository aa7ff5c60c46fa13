// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/main.hpp"

int main(int argc, char **argv) {
    return norma::rt::node_server_main(argc, argv);
}
