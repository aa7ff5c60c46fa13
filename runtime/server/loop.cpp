// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/loop.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sched.h>
#include <sys/epoll.h>
#include <system_error>
#include <unistd.h>

namespace norma::rt {

namespace {

using namespace std::chrono_literals;

// A turn of an idle spin takes about a microsecond. If it took this long, something else ran on this core, and spinning
// would keep it from doing so again: block at once, and do not try for a while.
constexpr auto kPreempted = 50us;
constexpr auto kBackOff = 20ms;
constexpr std::chrono::nanoseconds kNow{0}, kForEver{-1};
// How long notices may wait. Long enough for a thread that goes through memory to come to its next fault.
constexpr std::chrono::nanoseconds kLinger = 20us;

} // namespace

Loop::Loop(WaitMode wait, std::chrono::nanoseconds spin)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)), wait_(wait), spin_(spin) {
    if (epoll_ < 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_create1");
    }
}

Loop::~Loop() {
    ::close(epoll_);
}

void Loop::poll(rpc::Transport *transport) {
    transport_ = transport;
    watch(transport->event_fd(), [](std::uint32_t) {}); // only to wake up: every turn asks the transport anyway
}

void Loop::watch(int fd, Handler handler) {
    const auto number = next_watch_++;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = number;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_ctl(EPOLL_CTL_ADD)");
    }
    watch_of_fd_[fd] = number;
    handlers_[number] = std::make_shared<Handler>(std::move(handler));
}

void Loop::unwatch(int fd) {
    const auto found = watch_of_fd_.find(fd);
    if (found != watch_of_fd_.end()) {
        epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
        handlers_.erase(found->second);
        watch_of_fd_.erase(found);
    }
}

std::uint64_t Loop::at(Clock::time_point when, std::function<void()> action) {
    const auto number = next_timer_++;
    timers_.emplace(std::pair{when, number}, std::move(action));
    deadline_of_timer_[number] = when;
    return number;
}

void Loop::cancel(std::uint64_t timer) {
    const auto found = deadline_of_timer_.find(timer);
    if (found != deadline_of_timer_.end()) {
        timers_.erase({found->second, timer});
        deadline_of_timer_.erase(found);
    }
}

// Runs what is due and returns the time until the next one, or -1.
std::chrono::nanoseconds Loop::run_timers() {
    while (!timers_.empty()) {
        const auto now = Clock::now();
        const auto next = timers_.begin();
        if (next->first.first > now) {
            return next->first.first - now;
        }
        auto action = std::move(next->second);
        deadline_of_timer_.erase(next->first.second);
        timers_.erase(next);
        action();
    }
    return kForEver;
}

bool Loop::dispatch(std::chrono::nanoseconds timeout) {
    std::array<epoll_event, 32> events;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(timeout);
    const timespec limit{.tv_sec = seconds.count(), .tv_nsec = (timeout - seconds).count()};
    const int count = epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()),
                                   timeout < kNow ? nullptr : &limit, nullptr);
    for (int i = 0; i < count; ++i) {
        const auto &event = events[static_cast<std::size_t>(i)];
        const auto found = handlers_.find(event.data.u64);
        if (found != handlers_.end()) {
            const auto handler = found->second; // kept while it runs: it may unwatch itself
            (*handler)(event.events);
        }
    }
    return count > 0;
}

bool Loop::may_spin(Clock::time_point now) {
    if (wait_ == WaitMode::spin) {
        return true;
    }
    if (wait_ == WaitMode::block) {
        return false;
    }
    if (now - last_turn_ > kPreempted) {
        no_spin_before_ = now + kBackOff;
    }
    if (now < no_spin_before_ && !expects_message()) {
        return false;
    }
    return now - last_event_ < spin_;
}

// Lets the threads that have just been woken have the core first, then sends the notices.
void Loop::linger(bool busy) {
    const auto now = Clock::now();
    if (lingering_since_ == Clock::time_point{}) {
        lingering_since_ = now;
    }
    const auto left = kLinger - (now - lingering_since_);
    if (left <= kNow) {
        send_notices();
    } else if (!dispatch(kNow)) { // usually a woken thread has come to its next fault already
        dispatch(busy || !transport_->arm() ? kNow : left);
    }
    last_event_ = last_turn_ = Clock::now();
}

void Loop::run() {
    last_event_ = last_turn_ = Clock::now();
    while (!stopping_) {
        const bool busy = transport_->progress();
        const auto until_timer = timers_.empty() ? kForEver : run_timers();
        if (has_notices()) {
            linger(busy);
            continue;
        }
        lingering_since_ = {}; // they have gone with another message
        const auto now = Clock::now();
        if (busy) {
            last_event_ = now;
        }
        if (busy || may_spin(now)) {
            last_turn_ = now;
            if (dispatch(kNow)) {
                last_event_ = last_turn_ = Clock::now();
            } else if (!busy) {
                sched_yield();
            }
            continue;
        }
        // arm() refuses while something is pending, so nothing is missed between the last look and the wait.
        dispatch(transport_->arm() ? until_timer : kNow);
        last_event_ = last_turn_ = Clock::now();
    }
}

} // namespace norma::rt
