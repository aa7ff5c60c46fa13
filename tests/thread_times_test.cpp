// SPDX-License-Identifier: BSD-3-Clause
// The account of a task's threads: what is in which place, and that the places add up to the threads' time.
#include "dsm/thread_times.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace norma::dsm {
namespace {

using Time = ThreadTimes::Time;
using Totals = ThreadTimes::Totals;

Time at(std::int64_t when) {
    return Time(when);
}

Totals totals(std::int64_t computing, std::int64_t in_fault, std::int64_t in_call) {
    return {Time(computing), Time(in_fault), Time(in_call)};
}

TEST(ThreadTimes, CountsEachPlace) {
    ThreadTimes times;
    times.begin(7, at(100));
    times.enter(7, ThreadTimes::kInFault, at(110));
    times.leave(7, ThreadTimes::kInFault, at(115));
    times.enter(7, ThreadTimes::kInCall, at(120));
    EXPECT_EQ(times.totals(at(150)), totals(15, 5, 30)); // what is not over counts, too
    times.leave(7, ThreadTimes::kInCall, at(160));
    times.end(7, at(161));
    EXPECT_EQ(times.totals(at(1000)), totals(16, 5, 40));
}

TEST(ThreadTimes, AddsThreadsUp) {
    ThreadTimes times;
    times.begin(1, at(0));
    times.begin(2, at(0));
    times.enter(1, ThreadTimes::kInCall, at(10));
    times.enter(2, ThreadTimes::kInFault, at(20));
    EXPECT_EQ(times.totals(at(100)), totals(30, 80, 90));
}

TEST(ThreadTimes, LeavesOutThreadsThatHaveNotBegun) {
    ThreadTimes times;
    times.enter(1, ThreadTimes::kInFault, at(10));
    times.leave(1, ThreadTimes::kInFault, at(20));
    times.end(1, at(30));
    EXPECT_EQ(times.totals(at(40)), totals(0, 0, 0));
}

// A thread that waits for a page gets a signal, whose handler makes a call; meanwhile the page comes.
TEST(ThreadTimes, HasAThreadInOnePlaceAtATime) {
    ThreadTimes times;
    times.begin(1, at(0));
    times.enter(1, ThreadTimes::kInFault, at(10));
    times.enter(1, ThreadTimes::kInFault, at(15)); // once more, before the first was over
    times.enter(1, ThreadTimes::kInCall, at(20));
    times.leave(1, ThreadTimes::kInFault, at(30));
    times.leave(1, ThreadTimes::kInCall, at(50));
    EXPECT_EQ(times.totals(at(60)), totals(20, 10, 30));
}

TEST(ThreadTimes, TakesANumberThatIsUsedAgain) {
    ThreadTimes times;
    times.begin(1, at(0));
    times.enter(1, ThreadTimes::kInCall, at(10));
    times.begin(1, at(30)); // the end of the first was never told
    EXPECT_EQ(times.totals(at(40)), totals(20, 0, 20));
}

TEST(ThreadTimes, AddUpWhateverHappens) {
    std::mt19937 random(1);
    ThreadTimes times;
    std::array<std::int64_t, 4> begun{-1, -1, -1, -1};
    std::int64_t expected = 0;
    for (std::int64_t now = 0; now < 20'000; ++now) {
        const auto thread = random() % begun.size();
        const auto place = random() % 2 == 0 ? ThreadTimes::kInFault : ThreadTimes::kInCall;
        switch (random() % 8) {
        case 0:
            expected += begun[thread] < 0 ? 0 : now - begun[thread];
            begun[thread] = now;
            times.begin(static_cast<std::uint32_t>(thread), at(now));
            break;
        case 1:
            expected += begun[thread] < 0 ? 0 : now - begun[thread];
            begun[thread] = -1;
            times.end(static_cast<std::uint32_t>(thread), at(now));
            break;
        case 2:
        case 3:
            times.leave(static_cast<std::uint32_t>(thread), place, at(now));
            break;
        default:
            times.enter(static_cast<std::uint32_t>(thread), place, at(now));
            break;
        }
        std::int64_t living = 0;
        for (const auto since : begun) {
            living += since < 0 ? 0 : now - since;
        }
        const auto totals = times.totals(at(now));
        ASSERT_EQ(std::accumulate(totals.begin(), totals.end(), Time(0)).count(), expected + living);
    }
}

} // namespace
} // namespace norma::dsm
