// SPDX-License-Identifier: BSD-3-Clause
// A simulated process of a task: its address space and what libnorma's service thread does.
#pragma once

#include "runtime/packets.hpp"
#include "tests/simulation/actor.hpp"

#include <memory>
#include <optional>
#include <set>
#include <sys/types.h>

namespace norma::sim {

class Process {
  public:
    Process(World &world, pid_t pid, NodeId node, int control);
    ~Process();
    Process(const Process &) = delete;
    Process &operator=(const Process &) = delete;

    const pid_t pid;
    const NodeId node;
    const std::shared_ptr<AddressSpace> space;
    std::set<std::uint64_t> actors;
    bool stopped = false; // by task_suspend
    // Memory that a call brings, by its first page: nobody touches it before the observer has been told what it is.
    std::set<PageNumber> arriving;

    void start(); // says hello after a while
    // A thread runs in it. The first one says what the task sees.
    void take(Actor &actor);
    // To the node server, over the control socket.
    void say(rt::TaskMsg type, std::array<std::uint64_t, 3> args, std::span<const std::byte> blob, int fd);

  private:
    void listen();
    void serve();
    void carry_out(const rt::CommandHead &command, int fd);
    void map(const rt::CommandHead &command, int fd);
    void tell_observer();
    std::uint64_t start_thread(const rt::CommandHead &command);
    std::uint64_t resume_context(const rt::CommandHead &command);
    Actor *thread(std::uint64_t tid);
    void stop(Actor &actor, bool stop);

    World &world_;
    int control_;
    bool listening_ = false;
    std::optional<View> view_;
    struct Told {
        AddressSpace::Mapping mapping;
        bool fresh = false;
    };
    std::vector<Told> untold_; // what was mapped before the view was known
};

} // namespace norma::sim
