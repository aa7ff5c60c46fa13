// SPDX-License-Identifier: BSD-3-Clause
// The main task's part of a run: makes the shared memory and the workers, meets them at the stops, collects results.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "apps/heat/options.hpp"
#include "apps/heat/picture.hpp"
#include "apps/heat/plate.hpp"
#include "apps/heat/worker.hpp"

namespace heat {

struct Plan {
    Layout layout;
    std::uint64_t steps = 0;
    std::vector<std::uint64_t> frame_steps; // ascending
    std::uint64_t progress_every = 0;       // 0: never
    std::vector<Move> moves;
    bool teleport_self = false;
    int nodes = 1;
};

struct Result {
    std::vector<double> plate;
    std::vector<int> nodes; // where each worker was at the end
    double clone_seconds = 0;
    double compute_seconds = 0; // from the first step to the last, stops included
};

/// Called from the main task while the workers compute.
struct Callbacks {
    std::function<void(std::uint64_t step)> progress;
    std::function<void(std::uint64_t step, const std::vector<double> &plate)> frame;
    std::function<void(const Teleport &)> teleported;
};

/// The run could not be finished; the message says why.
struct RunError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// `initial` has layout.width x layout.height temperatures without padding. Throws RunError or std::system_error.
Result run(const Plan &plan, const std::vector<double> &initial, const Callbacks &callbacks);

} // namespace heat
