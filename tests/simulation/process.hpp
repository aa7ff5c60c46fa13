// SPDX-License-Identifier: BSD-3-Clause
// A simulated process of a task: its address space and what libnorma's service thread does.
#pragma once

#include "runtime/packets.hpp"
#include "tests/simulation/actor.hpp"

#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace norma::sim {

inline constexpr std::string_view kBuildId = "\1\2\3\4";

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
    // While its threads are stopped to go on elsewhere, or here after all; and what who asked for that from within is
    // told then.
    bool gathering = false;
    std::int32_t outcome = 0;

    void start(); // says hello after a while
    void halt(Actor &actor);
    // A thread runs in it. The first one says what the task sees.
    void take(Actor &actor);
    void keep_open(int channel) { left_open_.push_back(channel); } // of a thread that went on elsewhere
    // To the node server, over the control socket.
    void say(rt::TaskMsg type, std::array<std::uint64_t, 3> args, std::span<const std::byte> blob, int fd);

  private:
    void listen();
    void serve();
    // What the node server is told.
    struct Done {
        int error = 0;
        std::uint64_t value = 0;
        std::vector<std::byte> blob;
    };
    Done carry_out(const rt::Packet<rt::CommandHead> &command, int fd);
    void map(const rt::CommandHead &command, int fd);
    void tell_observer();
    std::uint64_t start_thread(const rt::CommandHead &command);
    std::uint64_t resume_context(const rt::CommandHead &command);
    Actor *thread(std::uint64_t tid);
    void stop(Actor &actor, bool stop);

    // process_moves.cpp: of a task that moves with all its threads.
    Done gather(bool first);
    Done all_halted();
    void go_on(std::int32_t status);
    Done make_threads(const rt::Packet<rt::CommandHead> &command);
    Done carry_on(std::span<const std::byte> states);
    bool may_go_on(const std::vector<std::uint64_t> &states);

    World &world_;
    int control_;
    bool listening_ = false;
    std::optional<View> view_;
    struct Told {
        AddressSpace::Mapping mapping;
        bool fresh = false;
    };
    std::vector<Told> untold_;       // what was mapped before the view was known
    std::set<std::uint64_t> halted_; // threads
    pid_t former_ = 0;               // the process that the task had before
    std::uint64_t room_ = 0;         // for so many of its threads
    std::vector<int> left_open_;
};

} // namespace norma::sim
