// SPDX-License-Identifier: BSD-3-Clause
// What kind of run a seed is: everything that is drawn once, before anything happens, so that runs differ in character
// and not only in detail.
#pragma once

#include "rpc/sim/network.hpp"
#include "tests/simulation/drill.hpp"

#include <string>

namespace norma::sim {

using rpc::NodeId;
using rpc::sim::kMicrosecond;
using rpc::sim::kMillisecond;
using rpc::sim::kSecond;
using rpc::sim::Nanoseconds;
using rpc::sim::Random;

struct Plan {
    unsigned nodes = 2;
    unsigned workers = 2;
    unsigned steps = 100;        // of each worker
    std::uint64_t pages = 1;     // of each region; every worker makes one
    std::uint32_t prefetch = 1;  // the largest window
    unsigned writes = 0;         // thousandths of all accesses
    unsigned hot = 0;            // thousandths that go to the first pages of any region
    unsigned scans = 0;          // thousandths of steps that go through memory page by page
    unsigned locked = 0;         // thousandths of steps that take a lock
    unsigned moves = 0;          // thousandths of steps that clone, teleport, allocate, suspend
    unsigned copies = 0;         // thousandths of steps that make a child by inheritance
    unsigned reaches = 0;        // thousandths of steps that map, copy or borrow memory of another task
    unsigned migrations = 0;     // thousandths of steps that move a task with all its threads
    unsigned advice = 0;         // thousandths of steps that fetch or evict pages
    unsigned barriers = 0;       // rounds
    Nanoseconds think = 0;       // most time between two accesses of a thread
    Nanoseconds turn = 0;        // most time a node server takes to notice something
    bool markers_survive = true; // whether the kernel keeps write-protection where it takes a frame away
    bool former_life = false;    // an earlier job of the same key has left messages behind
    rpc::sim::Weather weather;   // until the network heals
    Nanoseconds heals = 0;       // when that is
    Nanoseconds patience = 0;    // how long a connection stands a partition
    unsigned partitions = 0;     // how many of each, in the time before
    unsigned slow_nodes = 0;
    unsigned crashes = 0;
    unsigned crash_on_message = 0; // these crashes hit one end of a coherence message under way: one in that many
    unsigned crash_moment = 0;     // and only messages of this type (dsm::MsgType); 0: of any
    unsigned crash_on_call = 0;    // these hit one end of a request or a reply between node servers, likewise
    unsigned kills = 0;            // of tasks
    unsigned kill_on_call = 0;     // these while a request or a reply is under way, likewise

    std::optional<Drill> drill; // this instead of the workers

    bool migrates() const { return migrations > 0 || (drill && drill->call >= Drill::Call::migrate); }

    static Plan draw(Random &random);
    static Plan of(const Drill &drill, Random &random);
    std::string describe() const;
};

} // namespace norma::sim
