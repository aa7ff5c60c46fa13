// SPDX-License-Identifier: BSD-3-Clause
// What the tasks of a run share in coherent memory, and what a worker does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <norma/norma.hpp>

#include "apps/heat/plate.hpp"

namespace heat {

/// A move of a worker, and how it went. Written by whoever makes the call, while nobody computes.
struct Teleport {
    std::uint64_t step = 0;
    unsigned worker = 0;
    int from = 0;
    int to = 0;
    kern_return_t result = KERN_SUCCESS;
    double milliseconds = 0;
};

/// The job description. Written by the main task before the workers start, only read afterwards. All pointers are to
/// coherent memory and so hold in every task.
struct Job {
    std::size_t width = 0;
    std::size_t height = 0;
    std::size_t stride = 0;
    std::uint64_t steps = 0;
    double *plane[2] = {}; // step s reads plane[s % 2] and writes the other
    std::span<const Block> blocks;
    /// Workers only, after each step.
    norma::barrier step_barrier;
    /// Workers and the main task, twice at each stop: when all have come, and when the main task is done.
    norma::barrier gate;
    /// The steps before which everybody stops, ascending. The last one is `steps`.
    std::span<const std::uint64_t> stops;
    std::span<Teleport> teleports;
    bool teleport_self = false;
};

/// What belongs to one worker: survives its thread, so that another thread, on another node, can carry on.
struct WorkerState {
    const Job *job = nullptr;
    unsigned index = 0;
    std::uint64_t step = 0;   // the next step to compute
    bool inside_stop = false; // has passed the gate at `step` once already
};

/// The entry of a worker's thread; the argument is its WorkerState. Ends the task when all steps are done. If the
/// main task is to teleport this worker, only the thread ends, at that step and with its state saved.
void worker_entry(void *state);

} // namespace heat
