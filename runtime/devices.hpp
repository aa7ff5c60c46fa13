// SPDX-License-Identifier: BSD-3-Clause
// The network and the processors of this machine, as the libraries that norma uses see them.
#pragma once

#include "runtime/config.hpp"

#include <string>
#include <vector>

namespace norma::rt {

std::string ucx_version();
// "tcp/lo", "posix/memory": every transport UCX could use here, with its device.
std::vector<std::string> ucx_transports();
// "mlx5_0 (port 1 active, Ethernet)".
std::vector<std::string> rdma_devices();
// The addresses at which this machine can be reached over RDMA, and which of them -x verbs uses, or why none.
struct RdmaReport {
    std::vector<std::string> addresses; // "rxe0 port 1 GID 1 (10.77.0.1, RoCE v2, MTU 1024, active)"
    std::string choice;
    bool usable = false;
};
RdmaReport rdma_report(const Config &config);

struct Topology {
    unsigned packages = 0, numa_nodes = 0, cores = 0, threads = 0;
    unsigned allowed_threads = 0; // those this process may run on
    std::string caches;           // "L2 1024K, L3 32768K"
    std::string binding;          // what may be bound, or why nothing
};
Topology topology();

} // namespace norma::rt
