// SPDX-License-Identifier: BSD-3-Clause
// Breadth first through every position that a job can come to.
#pragma once

#include "tests/exploration/job.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace norma::exploration {

// Looks at one step that has been taken: the position before it, the choice, the position after it. Returns what is
// wrong, or nothing. Called from several threads.
using Observer = std::function<std::string(const Position &before, const Choice &choice, const Position &after)>;

struct Options {
    unsigned threads = 2;
    std::uint64_t most_states = 50'000'000;
    bool fold_nodes = true;
    bool progress = true;   // see below
    Observer observer = {}; // may be empty
};

struct Violation {
    std::string what;
    std::vector<Choice> way; // from the start; as short as there is
};

struct Result {
    std::uint64_t states = 0;
    std::uint64_t transitions = 0;
    std::uint64_t quiet = 0; // states in which nothing is on its way, so that nobody may be waiting
    unsigned depth = 0;      // the longest of the shortest ways
    // The longest that arrivals alone can go on. That they come to an end, and that nobody waits when they have, means
    // that whoever asks is answered.
    unsigned arrivals = 0;
    double seconds = 0;
    bool complete = false; // neither a violation nor too many states
    std::optional<Violation> violation;
};

Result explore(const Job &job, const Options &options);

} // namespace norma::exploration
