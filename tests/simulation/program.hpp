// SPDX-License-Identifier: BSD-3-Clause
// What simulated threads do.
#pragma once

#include "tests/simulation/fiber.hpp"
#include "tests/simulation/oracle.hpp"

#include <cstdint>
#include <vector>

namespace norma::sim {

class Actor;

// Entry points, as thread_start has them.
inline constexpr std::uint64_t kProgramMain = 1;       // the first task's
inline constexpr std::uint64_t kProgramWorker = 2;     // argument: its rank
inline constexpr std::uint64_t kProgramHelper = 3;     // some accesses; argument: 2 * view, + 1: then the task's end
inline constexpr std::uint64_t kProgramDrill = 5;      // argument: its role (drill.hpp)
inline constexpr std::uint64_t kProgramDrillChild = 6; // argument: its view
inline constexpr std::uint64_t kProgramChild = 4;      // of a task with inherited memory; argument: its view

// What the threads of a job know of each other, as if it were in memory that never fails.
struct Job {
    std::vector<std::uint64_t> mutexes;
    std::uint64_t barrier = 0, semaphore = 0;
};

View view_of(std::uint64_t entry, std::uint64_t argument);
Fiber make_program(Actor &actor, std::uint64_t entry, std::uint64_t argument);

} // namespace norma::sim
