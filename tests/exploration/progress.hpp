// SPDX-License-Identifier: BSD-3-Clause
// Whether what is on its way always comes to an end if nobody does anything new.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace norma::exploration {

// Something arrived, and one state became another.
struct Arrival {
    std::uint32_t before = 0;
    std::uint32_t after = 0;
};

struct Progress {
    unsigned longest = 0;                 // as many arrivals can follow one another
    std::optional<std::uint32_t> endless; // a state from which arrivals lead back to it
};

Progress judge_progress(std::uint64_t states, const std::vector<Arrival> &arrivals);

} // namespace norma::exploration
