// SPDX-License-Identifier: BSD-3-Clause
// What a node server says of itself when somebody looks at the job: `norma ps`, `norma top`, `norma stat`.
#pragma once

#include "rpc/wire.hpp"
#include "runtime/address_map.hpp"
#include "runtime/right.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace norma::rt {

struct ThreadReport {
    std::uint64_t number = 0;
    std::int32_t tid = 0; // kernel thread id; 0: not started
    std::uint32_t suspend_count = 0;
    bool operator==(const ThreadReport &) const = default;
};

struct TaskReport {
    enum class State : std::uint8_t { starting, running, suspended, ending };
    TaskId id = 0;
    std::int32_t pid = 0;
    State state = State::starting;
    bool first = false;                    // the job ends with it
    std::uint32_t threads = 0;             // that have not ended
    std::uint64_t mapped = 0;              // bytes of coherent memory in its address map
    std::uint64_t wired = 0;               // bytes
    std::uint64_t behind = 0;              // bytes, about, that follow it to where it has moved
    std::uint64_t cpu_us = 0;              // of its process, user and system
    std::string program;                   // its path
    std::vector<ThreadReport> thread_list; // only of the task that was asked about
    bool operator==(const TaskReport &) const = default;
};

// A page that threads of the node often fetch from other nodes.
struct HotPageReport {
    Stretch stretch;
    std::uint64_t offset = 0;            // into it
    std::uint64_t address = 0;           // in a task of the node that maps it; 0: there is none
    std::uint64_t reads = 0, writes = 0; // how often they had to wait for it, since it is among the pages listed
    bool operator==(const HotPageReport &) const = default;
};

struct NameReport { // of memory
    dsm::ObjectId object;
    std::string name;
    bool operator==(const NameReport &) const = default;
};

// Counters run from the start of the node server.
struct NodeReport {
    std::uint16_t node = 0;
    std::int32_t pid = 0;
    std::uint64_t memory_used = 0, memory_limit = 0; // bytes of objects with their home here
    std::uint64_t resident = 0;                      // bytes of frames, of whatever home
    std::uint64_t objects = 0, ports = 0;
    std::uint64_t faults_read = 0, faults_write = 0, zero_filled = 0, pages_in = 0, pages_out = 0, poisoned = 0;
    std::uint64_t messages_sent = 0, messages_received = 0, bytes_sent = 0, bytes_received = 0;
    std::vector<TaskReport> tasks;
    std::vector<HotPageReport> hot_pages;
    std::vector<NameReport> names; // that are served there; not all, if there are very many
    bool operator==(const NodeReport &) const = default;
};

void put_report(rpc::Writer &writer, const NodeReport &report);
std::optional<NodeReport> get_report(rpc::Reader &reader); // nothing: a state that there is not, or too few bytes

// "BIRTHNODE.SERIAL": as users write a task. A node server has one life in a job, so its incarnation is not said.
std::string format_task(TaskId task);
std::optional<TaskId> parse_task(std::string_view text); // nothing: not a task's name

} // namespace norma::rt
