// SPDX-License-Identifier: BSD-3-Clause
// One call, interrupted at one of its messages: a small fixed program on four nodes, in which somebody dies when the
// n-th message between node servers since the call began is on its way. All or nothing, whoever it is and whichever n.
#pragma once

#include "tests/simulation/fiber.hpp"
#include "tests/simulation/oracle.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace norma::sim {

class Actor;
class World;

struct Drill {
    enum class Call : std::uint8_t {
        create,
        clone,
        teleport,
        remap,
        remap_copy,
        borrow,
        migrate,
        migrate_other
    } call{};
    // Nodes 0 to 3: where the first task is; the caller; the home of the memory that all are about; and the node that
    // the call goes to (where a task is that another one moves, to the third node). Then tasks: the caller, the one
    // that memory is taken from or that is moved, and the child.
    enum class Victim : std::uint8_t { first, source, third, target, caller, other, child } victim{};
    std::uint64_t message = 0; // 0: nobody dies
};
inline constexpr std::array<std::string_view, 8> kDrillCalls{"create",     "clone",  "teleport", "remap",
                                                             "remap_copy", "borrow", "migrate",  "migrate_other"};
inline constexpr std::array<std::string_view, 7> kDrillVictims{"first",  "source", "third", "target",
                                                               "caller", "other",  "child"};

// What has happened.
struct Drilled {
    std::uint64_t messages = 0; // between the call and its answer; of a move also while memory follows
    bool struck = false;        // somebody has died
    bool struck_late = false;   // when the caller had its answer
    std::string moment;         // what was on its way then
    bool answered = false;      // the caller has an answer
    std::int32_t status = 0;
    bool went_on = false; // a teleport: the thread is there
    bool child_began = false, child_done = false, caller_done = false, other_done = false;
    bool gone = false; // a task that moves with all its threads: from here on it goes on there or nowhere

    // For the program itself.
    bool armed = false, ready = false;
    std::array<PageNumber, 4> regions{}; // one with each node as home
    std::uint64_t caller = 0;            // its thread
    std::uint64_t mutex = 0;             // of the third node
    std::set<std::uint64_t> movers;      // the threads of a task that moves
    bool mate_done = false;
    pid_t caller_process = 0, other_process = 0;
    std::set<pid_t> processes; // before the call
};

inline constexpr std::uint64_t kDrillPages = 2; // of a region

enum class DrillRole : std::uint64_t { first, keeper, caller, other, clone, mate };
Fiber drill_program(Actor &me, DrillRole role);
Fiber drill_child(Actor &me);
bool migrates(Drill::Call call);
std::string drill_moment(std::span<const std::byte> record);

} // namespace norma::sim
