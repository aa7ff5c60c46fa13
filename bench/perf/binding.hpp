// SPDX-License-Identifier: BSD-3-Clause
// Which host and which processors nodes run on.
#pragma once

#include <string>

#include <sys/types.h>

namespace norma::bench {

// The processors that a process may use, e.g. "0,1".
std::string cpu_list(pid_t process, const char *separator);

struct Place {
    std::string host; // two nodes on one host say the same
    std::string task_cpus, server_cpus;
};

// Where a node runs; asks a task there.
Place place_of(int node);

// As a line for the head of the results.
std::string describe(int node, const Place &place);

} // namespace norma::bench
