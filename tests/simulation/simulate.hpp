// SPDX-License-Identifier: BSD-3-Clause
// Many runs, and what they covered together.
#pragma once

#include "tests/simulation/world.hpp"

namespace norma::sim {

struct Coverage {
    std::uint64_t seeds = 0, reads = 0, writes = 0, poisons = 0, messages = 0, events = 0, crashes = 0;
    std::uint64_t faults = 0; // injected, of all kinds
    unsigned most_nodes = 0;
    Probes probes;

    void add(const Report &report);
    std::string describe() const; // one line
    std::vector<std::string_view> missed() const;
};

Report simulate(std::uint64_t seed, std::FILE *trace = nullptr, std::optional<Drill> drill = {});

} // namespace norma::sim
