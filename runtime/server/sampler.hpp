// SPDX-License-Identifier: BSD-3-Clause
// Program counters of tasks (task_sample): fetched from the tasks that have a port for them in their slots, and sent
// there.
#pragma once

#include "runtime/protocol.hpp"
#include "runtime/right.hpp"
#include "runtime/server/router.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace norma::rt {

class Node;
struct Ack;
struct Task;

class Sampler {
  public:
    explicit Sampler(Node &node) : node_(node) {}
    // A task's port may be another one now, or none.
    void look_at(TaskId id);

  private:
    struct Batch { // of one thread
        std::vector<std::uint64_t> pcs;
        bool out = false; // the message before has not been answered
        std::uint64_t message = 0;
    };
    struct Sampled {
        Right port;
        std::uint64_t number; // no other time that a task is sampled has it
        bool asked = false;
        std::uint64_t lost = 0;
        std::map<std::uint64_t, Batch> threads{}; // by number
    };
    struct Sent {
        TaskId task;
        std::uint64_t number, thread, lost, count;
    };

    void begin(TaskId id, const Right &port);
    void end(TaskId id);
    void look_around();
    void ask(TaskId id);
    void take(TaskId id, std::uint64_t number, const Ack &ack);
    void keep(Task &task, Sampled &sampled, std::span<const Sample> samples) const;
    void send(TaskId id, std::uint64_t thread);
    void answered(const Sent &sent, const Reply &reply);

    Node &node_;
    std::map<TaskId, Sampled> sampled_;
    std::uint64_t last_number_ = 0;
    std::uint64_t timer_ = 0;
    bool warned_ = false;
};

} // namespace norma::rt
