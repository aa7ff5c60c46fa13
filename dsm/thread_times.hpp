// SPDX-License-Identifier: BSD-3-Clause
// Where a task's threads spend their time, as its node server sees it. Each thread is in one place at a time, so the
// places' times add up to the threads' time, whatever happens.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

namespace norma::dsm {

class ThreadTimes {
  public:
    using Time = std::chrono::nanoseconds; // of a clock that never goes back
    // Computing is all that is neither of the others.
    enum Place : std::uint8_t { kComputing, kInFault, kInCall, kPlaces };
    using Totals = std::array<Time, kPlaces>;

    void begin(std::uint32_t thread, Time now) {
        end(thread, now);
        threads_.push_back({.number = thread, .place = kComputing, .since = now});
    }
    void end(std::uint32_t thread, Time now) {
        if (const auto found = find(thread); found != threads_.end()) {
            spent_[found->place] += now - found->since;
            threads_.erase(found);
        }
    }

    // Of a thread that has not begun nobody keeps an account.
    void enter(std::uint32_t thread, Place place, Time now) {
        if (const auto found = find(thread); found != threads_.end()) {
            move(*found, place, now);
        }
    }
    // It computes again; unless a signal has taken it somewhere else since.
    void leave(std::uint32_t thread, Place place, Time now) {
        if (const auto found = find(thread); found != threads_.end() && found->place == place) {
            move(*found, kComputing, now);
        }
    }

    Totals totals(Time now) const {
        auto totals = spent_;
        for (const auto &thread : threads_) {
            totals[thread.place] += now - thread.since;
        }
        return totals;
    }

  private:
    struct Thread {
        std::uint32_t number;
        Place place;
        Time since;
    };

    void move(Thread &thread, Place place, Time now) {
        spent_[thread.place] += now - thread.since;
        thread.place = place;
        thread.since = now;
    }
    std::vector<Thread>::iterator find(std::uint32_t thread) {
        return std::find_if(threads_.begin(), threads_.end(),
                            [thread](const auto &one) { return one.number == thread; });
    }

    std::vector<Thread> threads_;
    Totals spent_{};
};

} // namespace norma::dsm
