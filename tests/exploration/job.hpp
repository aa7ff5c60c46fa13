// SPDX-License-Identifier: BSD-3-Clause
// A small job to be explored: how many nodes and pages, what their threads do, what may go wrong; a position in it, and
// what can happen next there.
#pragma once

#include "tests/core_world.hpp"
#include "tests/exploration/state_view.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace norma::exploration {

struct Touch {
    // Of the last five `page` is the number of a stretch, of the very last that of a node, and the node is the home.
    enum class Kind : std::uint8_t { read, write, evict, freeze, snapshot, thaw, end, move } kind{};
    dsm::PageIndex page = 0;
    std::uint32_t window = 1;
    bool operator==(const Touch &) const = default;
};

inline bool is_order(Touch::Kind kind) {
    return kind >= Touch::Kind::freeze;
}

// A thread's touches, one after the other; a fault is waited for.
struct Thread {
    dsm::NodeId node = 0;
    std::vector<Touch> touches;
};

inline constexpr std::size_t kMostThreads = 8;
inline constexpr dsm::NodeId kHome = 0; // at first

struct Job {
    std::string name;
    dsm::NodeId nodes = 2;
    std::uint64_t pages = 1;     // of each stretch
    std::uint64_t stretches = 1; // one and the program's snapshots
    bool moves = false;          // the program's home does
    std::string program = "any";
    unsigned deaths = 0;     // at most so many, of any node, at any moment
    unsigned suspicions = 0; // nodes of which the others are told that they died, and which live on
    bool lossy = false;      // the network loses messages, which it must not: for seeing that this is noticed

    std::vector<Thread> threads; // from the program
    std::vector<Touch> anything; // or what every node may do at any time
};

// Fills in threads or anything. A program is "any", and then every node does anything at any time and for ever, or of
// that only what the letters say, as in "any rw"; or it is threads separated by ';', each "node: touches", each of
// which is r, w or e (read, write, evict), a page, and perhaps '/' and a window: "1: r0 w0/2; 2: w1 e1". At the home
// also f, s, t and x (freeze, snapshot, thaw, end) and a stretch: "0: f0 s0 t0 w0; 1: r1" reads, of objects of one
// page, the copy; m and a node: the home moves there. What needs a stretch, or a home that can move, waits until it is
// there; who gives orders does so in the home's name. Throws std::invalid_argument, which says what is wrong.
Job read_job(Job job);

struct Choice {
    enum class Kind : std::uint8_t { touch, anything, deliver, notice, lose, kill, suspect } kind{};
    std::uint8_t node = 0;   // anything, kill, suspect
    std::uint16_t index = 0; // of the thread, the touch, the packet or the notice
};

// Messages and news on their way arrive: what still happens if nobody does anything any more.
inline bool is_arrival(Choice::Kind kind) {
    return kind == Choice::Kind::deliver || kind == Choice::Kind::notice || kind == Choice::Kind::lose;
}

struct Position {
    dsm::World world;
    std::array<std::uint8_t, kMostThreads> next{}; // by thread: its next touch
    std::uint8_t deaths = 0;                       // how many may still happen
    std::uint8_t suspicions = 0;
};

Position start_of(const Job &job);
void list_choices(const Job &job, const Position &position, std::vector<Choice> &choices);
void take(const Job &job, Position &position, const Choice &choice);
// What the choice is, in words, and whom it concerns: for tables. To be asked before it is taken.
struct Description {
    std::string event;
    std::string node;
    std::string details;
};
Description describe(const Job &job, const Position &position, const Choice &choice);

} // namespace norma::exploration
