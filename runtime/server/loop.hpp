// SPDX-License-Identifier: BSD-3-Clause
// The node server's event loop: descriptors, timers, and the transport, which has to be asked. One thread.
#pragma once

#include "rpc/transport.hpp"
#include "runtime/config.hpp"
#include "runtime/server/clock.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

namespace norma::rt {

class Loop {
  public:
    using Handler = std::function<void(std::uint32_t events)>;

    Loop(WaitMode wait, std::chrono::nanoseconds spin);
    ~Loop();
    Loop(const Loop &) = delete;
    Loop &operator=(const Loop &) = delete;

    // The transport is polled on every turn; set before run().
    void poll(rpc::Transport *transport);
    void watch(int fd, Handler handler); // for EPOLLIN; ends with unwatch(), before the descriptor is closed
    void unwatch(int fd);
    std::uint64_t at(Clock::time_point when, std::function<void()> action);
    void cancel(std::uint64_t timer); // of a timer that is over, or of 0: does nothing

    void run();
    void stop() { stopping_ = true; }
    // The adaptive mode becomes the blocking one.
    void never_spin() { wait_ = wait_ == WaitMode::adaptive ? WaitMode::block : wait_; }
    // Messages that may wait until the threads just woken have run. They go with the next message to the same node, or
    // a few microseconds later.
    std::function<bool()> has_notices = [] { return false; };
    std::function<void()> send_notices = [] {};
    // Asked before it spins: whether a thread of this node waits for another node, so that its core has nothing better
    // to do.
    std::function<bool()> expects_message = [] { return false; };

  private:
    bool dispatch(std::chrono::nanoseconds timeout); // < 0: for ever
    void linger(bool busy);
    bool may_spin(Clock::time_point now);
    std::chrono::nanoseconds run_timers();

    int epoll_;
    WaitMode wait_;
    std::chrono::nanoseconds spin_;
    rpc::Transport *transport_ = nullptr;
    bool stopping_ = false;
    std::uint64_t next_watch_ = 1, next_timer_ = 1;
    std::unordered_map<int, std::uint64_t> watch_of_fd_;
    // Handlers are found by number, never by descriptor: a descriptor closed and used again in one turn is another one.
    std::unordered_map<std::uint64_t, std::shared_ptr<Handler>> handlers_;
    std::map<std::pair<Clock::time_point, std::uint64_t>, std::function<void()>> timers_;
    std::unordered_map<std::uint64_t, Clock::time_point> deadline_of_timer_;
    Clock::time_point last_event_{}, last_turn_{}, no_spin_before_{};
    Clock::time_point lingering_since_{}; // no value: not lingering
};

} // namespace norma::rt
