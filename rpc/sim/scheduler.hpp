// SPDX-License-Identifier: BSD-3-Clause
// Time and chance of a simulation: a clock that jumps from event to event, and numbers that follow from one seed.
// Events at the same moment happen in the order in which they were scheduled, so a run is a function of its seed.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

namespace norma::rpc::sim {

// splitmix64: the same on every machine, unlike the distributions of the standard library.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t value = state_ += 0x9e3779b97f4a7c15U;
        value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9U;
        value = (value ^ value >> 27) * 0x94d049bb133111ebU;
        return value ^ value >> 31;
    }
    std::uint64_t below(std::uint64_t limit) { return next() % limit; } // limit > 0
    std::uint64_t between(std::uint64_t least, std::uint64_t most) { return least + below(most - least + 1); }
    bool chance(unsigned per_mille) { return below(1000) < per_mille; }

  private:
    std::uint64_t state_;
};

using Nanoseconds = std::uint64_t;
inline constexpr Nanoseconds kMicrosecond = 1000;
inline constexpr Nanoseconds kMillisecond = 1000 * kMicrosecond;
inline constexpr Nanoseconds kSecond = 1000 * kMillisecond;

class Scheduler {
  public:
    Nanoseconds now() const { return now_; }
    // Nothing is ever taken out again: an action looks for itself whether it still has a meaning.
    void after(Nanoseconds delay, std::function<void()> action) {
        queue_.push({.when = now_ + delay, .number = next_++, .action = std::move(action)});
    }
    bool idle() const { return queue_.empty(); }
    std::uint64_t events() const { return events_; }
    // The next event; there must be one.
    void step() {
        auto action = std::move(const_cast<Event &>(queue_.top()).action); // popped before anything compares it again
        now_ = queue_.top().when;
        queue_.pop();
        ++events_;
        action();
    }

  private:
    struct Event {
        Nanoseconds when;
        std::uint64_t number;
        std::function<void()> action;
        bool operator<(const Event &other) const {
            return when != other.when ? when > other.when : number > other.number;
        }
    };
    std::priority_queue<Event> queue_; // the earliest first
    Nanoseconds now_ = 0;
    std::uint64_t next_ = 0;
    std::uint64_t events_ = 0;
};

} // namespace norma::rpc::sim
