// SPDX-License-Identifier: BSD-3-Clause
// `norma run` as one rank of a job that the launcher of a cluster has started.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "runtime/bootstrap.hpp"
#include "runtime/launcher.hpp"

namespace norma::rt {

struct RankOrders {
    Environment env; // of this rank
    std::chrono::seconds limit{60};
    bool verbose = false;
    SignalOrders on_signal{};
    std::string trouble{};            // why this rank cannot take part; then nothing else counts
    std::optional<std::string> key{}; // if the user has given one
    // Rank 0 only:
    std::optional<JobOptions> job{};
    int listener = -1; // where the others join
};

// Makes one job of all ranks: rank 0 runs it and has node 0, each of the others joins it as the node of its number.
// Returns the exit status: the job's for rank 0, 0 for another one if the job came to its end. As run_job(), it is for
// a process that does nothing else.
int run_as_rank(std::unique_ptr<Ranks> ranks, RankOrders orders);

} // namespace norma::rt
