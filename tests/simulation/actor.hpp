// SPDX-License-Identifier: BSD-3-Clause
// A simulated thread of a task. It touches memory, makes calls through a channel of its own as libnorma does, and can
// go on in another process when its task teleports itself.
#pragma once

#include "runtime/protocol.hpp"
#include "tests/simulation/fiber.hpp"
#include "tests/simulation/memory.hpp"

#include <array>

namespace norma::sim {

class Process;
class World;

// The reply to a call.
struct Answer {
    std::int32_t status = 0;
    std::array<std::uint64_t, rt::kOpVals> vals{};
    bool moved = false; // a teleport: this is the thread in its new process
};

class Actor {
  public:
    Actor(World &world, std::uint64_t id, Process &process, View view, bool dispensable);
    ~Actor();
    Actor(const Actor &) = delete;
    Actor &operator=(const Actor &) = delete;

    World &world;
    const std::uint64_t id;
    const View view;
    const bool dispensable; // whoever made its task may end it
    Process *process;       // null: its process is gone, its saved context waits to be taken up
    std::uint64_t tid;      // the kernel's
    bool stopped = false;   // by thread_suspend
    bool saved = false;     // its context is on its coherent stack, for a teleport or since it is halted
    bool halted = false;    // with all threads of its task, to go on elsewhere, or here after all
    bool over = false;      // halted, and somebody has been told that it is no more
    NodeId came_from = 0;   // without a process: the node of the one it had
    pid_t came_from_process = 0;
    unsigned rounds = 0;    // of the barrier, that it has passed
    std::uint32_t next = 0; // its name for the task of the next worker

    void start(Fiber program);
    void start_again(); // after it was stopped
    void process_gone();
    void go_on_in(Process &other);
    // As its task moves with all its threads.
    bool can_halt() const { return waits_ != Waits::answer; }
    void halt();
    void go_on(); // in the process that it has now
    void move_to(Process &other);
    // It may go on, or look again, after a moment.
    void wake();
    bool is_stopped() const;
    bool in_fault() const { return waits_ == Waits::memory && asleep_; }
    std::string describe() const;

    // What its program waits for.
    template <class Result> struct Waiting {
        Actor &actor;
        Result (Actor::*take)();
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> where) const noexcept { actor.where_ = where; }
        Result await_resume() { return (actor.*take)(); }
    };
    using Touch = AddressSpace::Touch;
    Waiting<Touch> access(PageNumber page, bool write);
    Waiting<Answer> call(rt::Op op, std::uint32_t port, std::array<std::uint64_t, rt::kOpArgs> args,
                         std::span<const std::byte> blob = {});
    // The memory of another task; what it is, and what the observer is to believe of it, once it is there.
    Waiting<Answer> remap(std::uint32_t task, PageNumber first, std::uint64_t pages, bool copy);
    Waiting<Answer> borrow(std::uint32_t task, PageNumber first, std::uint64_t pages);
    void has_reached(View from, PageNumber first, std::uint64_t pages, PageNumber at);
    Waiting<void> pause(std::uint64_t nanoseconds);
    // Ends the process; the program does not go on.
    Waiting<void> exit();

  private:
    enum class Waits : std::uint8_t { nothing, memory, answer, time, end };
    void later(std::uint64_t delay);
    void act();
    bool touch();
    bool take_packet();
    bool may_wait() const;
    bool call_is_over();
    void send_call();
    void open_channel();
    Touch take_touch() { return touched_; }
    Answer take_answer() { return answer_; }
    void take_nothing() {}

    Fiber program_;
    std::coroutine_handle<> where_; // in the program, or in what it called
    Waits waits_ = Waits::nothing;
    bool asleep_ = false;    // in a fault
    bool held_up_ = false;   // it would have gone on, but is stopped
    std::uint64_t turn_ = 0; // of the event that makes it go on; others are out of date
    int channel_ = -1;
    PageNumber page_ = 0;
    bool write_ = false;
    struct Call {
        rt::Op op{};
        std::uint32_t port = 0;
        std::array<std::uint64_t, rt::kOpArgs> args{};
        std::vector<std::byte> blob;
        std::uint64_t begun = 0;
    } call_;
    bool begins_again_ = false; // the call, which has been withdrawn
    bool asked_ = false;        // for the move of its own task
    Touch touched_{};
    Answer answer_;
};

} // namespace norma::sim
