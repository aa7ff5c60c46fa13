// SPDX-License-Identifier: BSD-3-Clause
// The jobs that are explored.
#pragma once

#include "tests/exploration/job.hpp"

#include <vector>

namespace norma::exploration {

enum class Depth {
    quick,  // seconds, also under sanitizers
    normal, // a minute or two
    deep,   // as long as it takes
};

struct Entry {
    Depth depth{};
    Job job;
    Depth compare{}; // from here on each step is compared with the model, which takes much longer than the step
};

const std::vector<Entry> &catalogue();
std::vector<Entry> entries_of(Depth depth); // those of this depth and of all below

} // namespace norma::exploration
