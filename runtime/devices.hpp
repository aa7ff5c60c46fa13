// SPDX-License-Identifier: BSD-3-Clause
// The network and the processors of this machine, as the libraries that norma uses see them.
#pragma once

#include <string>
#include <vector>

namespace norma::rt {

std::string ucx_version();
// "tcp/lo", "posix/memory": every transport UCX could use here, with its device.
std::vector<std::string> ucx_transports();
// "mlx5_0 (port 1 active, Ethernet)".
std::vector<std::string> rdma_devices();

struct Topology {
    unsigned packages = 0, numa_nodes = 0, cores = 0, threads = 0;
    unsigned allowed_threads = 0; // those this process may run on
    std::string caches;           // "L2 1024K, L3 32768K"
    std::string binding;          // what may be bound, or why nothing
};
Topology topology();

} // namespace norma::rt
