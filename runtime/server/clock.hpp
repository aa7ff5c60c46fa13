// SPDX-License-Identifier: BSD-3-Clause
// The time that deadlines of the node server go by: it never goes back.
#pragma once

#include <chrono>

namespace norma::rt {

struct Clock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<Clock>;
    static constexpr bool is_steady = true;
    static time_point now();
};

// As dsm/thread_times.hpp counts.
inline std::chrono::nanoseconds now() {
    return Clock::now().time_since_epoch();
}

} // namespace norma::rt
