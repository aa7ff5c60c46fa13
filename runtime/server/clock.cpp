// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/clock.hpp"

namespace norma::rt {

Clock::time_point Clock::now() {
    return time_point(std::chrono::steady_clock::now().time_since_epoch());
}

} // namespace norma::rt
