// SPDX-License-Identifier: BSD-3-Clause
// The sets of allowed outcomes are the ones that everybody knows, and the outcomes they are known for are not in them.
#include "tests/history/litmus.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace history {
namespace {

const Shape &shape(std::string_view name) {
    return *std::ranges::find_if(shapes(), [name](const Shape &one) { return one.name == name; });
}

struct Reads {
    unsigned thread;
    std::uint8_t first, second;
};

// Whether an outcome is allowed in which these threads read this, whatever the others read and the words hold.
bool possible(std::string_view name, std::initializer_list<Reads> wanted) {
    const auto outcomes = allowed(shape(name));
    return std::ranges::any_of(outcomes, [&](const Outcome &outcome) {
        return std::ranges::all_of(wanted, [&](const Reads &reads) {
            return outcome.read[reads.thread][0] == reads.first && outcome.read[reads.thread][1] == reads.second;
        });
    });
}

TEST(Litmus, ForbiddenOutcomes) {
    EXPECT_FALSE(possible("MP", {{1, 1, 0}}));
    EXPECT_FALSE(possible("SB", {{0, 0, 0}, {1, 0, 0}}));
    EXPECT_FALSE(possible("LB", {{0, 1, 0}, {1, 1, 0}}));
    EXPECT_FALSE(possible("IRIW", {{2, 1, 0}, {3, 1, 0}}));
    EXPECT_FALSE(possible("WRC", {{1, 1, 0}, {2, 1, 0}}));
    EXPECT_FALSE(possible("CoRR", {{1, 1, 0}}));
    EXPECT_FALSE(possible("CoWW", {{1, 2, 1}}));
    EXPECT_FALSE(possible("CoWW", {{1, 1, 0}}));
    EXPECT_FALSE(possible("CoWW", {{1, 2, 0}}));
}

TEST(Litmus, AllowedOutcomes) {
    EXPECT_TRUE(possible("MP", {{1, 0, 0}}));
    EXPECT_TRUE(possible("MP", {{1, 0, 1}}));
    EXPECT_TRUE(possible("MP", {{1, 1, 1}}));
    EXPECT_TRUE(possible("SB", {{0, 0, 0}, {1, 1, 0}}));
    EXPECT_TRUE(possible("SB", {{0, 1, 0}, {1, 1, 0}}));
    EXPECT_TRUE(possible("LB", {{0, 0, 0}, {1, 1, 0}}));
    EXPECT_TRUE(possible("IRIW", {{2, 1, 0}, {3, 1, 1}}));
    EXPECT_TRUE(possible("WRC", {{1, 1, 0}, {2, 1, 1}}));
    EXPECT_TRUE(possible("CoRR", {{1, 0, 1}, {2, 1, 1}, {3, 0, 0}}));
    EXPECT_TRUE(possible("CoWW", {{1, 1, 2}}));
}

TEST(Litmus, WhatTheWordsHoldInTheEnd) {
    const auto ends = [](std::string_view name) {
        std::set<std::array<std::uint8_t, 2>> found;
        for (const auto &outcome : allowed(shape(name))) {
            found.insert(outcome.last);
        }
        return found;
    };
    // Thread 0 writes x = 1, y = 2, thread 1 writes y = 1, x = 2: that both first writes are last is the one that
    // cannot be.
    EXPECT_EQ(ends("2+2W"), (std::set<std::array<std::uint8_t, 2>>{{1, 2}, {2, 1}, {2, 2}}));
    EXPECT_EQ(ends("CoWW"), (std::set<std::array<std::uint8_t, 2>>{{2, 0}}));
    EXPECT_EQ(ends("SB"), (std::set<std::array<std::uint8_t, 2>>{{1, 1}}));
}

TEST(Litmus, HowManyOutcomes) {
    EXPECT_EQ(allowed(shape("MP")).size(), 3U);
    EXPECT_EQ(allowed(shape("SB")).size(), 3U);
    EXPECT_EQ(allowed(shape("LB")).size(), 3U);
    EXPECT_EQ(allowed(shape("IRIW")).size(), 15U);
    EXPECT_EQ(allowed(shape("CoRR")).size(), 27U);
    EXPECT_EQ(allowed(shape("CoWW")).size(), 6U);
}

} // namespace
} // namespace history
