// SPDX-License-Identifier: BSD-3-Clause
// Where the threads of this process are, looked at while they run: each has a timer of its processor time, whose signal
// notes the program counter. So a thread that sleeps is left alone.
#pragma once

#include "runtime/protocol.hpp"

#include <vector>

namespace norma::rt {

void install_sample_handler();

struct Samples {
    std::vector<Sample> samples;
    std::uint64_t lost = 0; // there was no room for
    int error = 0;          // EAGAIN: some thread could not be given a timer
};
// What was noted since the last time. From now on every thread is looked at as often as is said (0: none is), those
// that have come since, too. The service thread's.
Samples take_samples(std::uint64_t interval_us);

} // namespace norma::rt
