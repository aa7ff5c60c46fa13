// SPDX-License-Identifier: BSD-3-Clause
// Threads on all nodes that compute together, for applications that are whole programs. With APPS_PLAIN_THREADS they
// are the C library's, in one process, for comparison: nothing else of such an application changes.
#pragma once

#include <functional>
#include <stdexcept>
#include <vector>

namespace apps {

/// Waits until all threads of the team have come. Throws if one of them cannot come any more.
using Meet = std::function<void()>;

/// A node has died in the middle of the work.
struct NodeDied : std::runtime_error {
    NodeDied() : std::runtime_error("a node has died, and what its threads were doing with it") {}
};

/// On how many nodes threads can run. Throws UsageError if the program was not started by `norma run`.
int nodes_for_threads(const char *program);

/// Calls body(index, meet) in `count` threads, round robin over the nodes; the caller is the first. An exception that
/// leaves a thread's body ends the program with its message. Throws NodeDied. Returns the nodes.
std::vector<int> run_threads(unsigned count, const std::function<void(unsigned index, const Meet &meet)> &body);

} // namespace apps
