// SPDX-License-Identifier: BSD-3-Clause
#include "dsm/guards.hpp"

#include <gtest/gtest.h>

namespace norma::dsm {
namespace {

// Reads of single pages, each of another group, until the next one is worth a group.
int reads_until_worthwhile(Guards &guards, std::uint64_t page) {
    int reads = 1;
    while (!guards.worthwhile(page)) {
        ++reads;
    }
    return reads;
}

TEST(Guards, AFewReadsComeFirst) {
    Guards guards;
    EXPECT_EQ(reads_until_worthwhile(guards, 0), 9);
    EXPECT_TRUE(guards.worthwhile(64));
}

TEST(Guards, AGuardedPageIsFoundOnce) {
    Guards guards;
    guards.add(70, 0b1011); // of the group from 64 on
    EXPECT_TRUE(guards.remove(65));
    EXPECT_FALSE(guards.remove(65));
    EXPECT_FALSE(guards.remove(66));
    EXPECT_FALSE(guards.remove(1));
    guards.remove(60, 6); // 60 .. 65
    EXPECT_FALSE(guards.remove(64));
    EXPECT_TRUE(guards.remove(67));
}

TEST(Guards, ASweepEndsThoseOfItsPagesAlone) {
    Guards guards;
    guards.add(0, ~std::uint64_t{0});
    guards.add(64, ~std::uint64_t{0});
    guards.add(128, ~std::uint64_t{0});
    guards.clear(10, 100); // 10 .. 109
    EXPECT_TRUE(guards.remove(9));
    EXPECT_FALSE(guards.remove(10));
    EXPECT_FALSE(guards.remove(64));
    EXPECT_FALSE(guards.remove(109));
    EXPECT_TRUE(guards.remove(110));
    EXPECT_TRUE(guards.remove(128));
    guards.clear(110, 1000);
    EXPECT_EQ(guards.take(64), 0U);
    EXPECT_EQ(guards.take(128), 0U);
    EXPECT_EQ(guards.take(0), 0x1ffU); // 0 .. 8
}

TEST(Guards, AGroupThatHasBeenGuardedIsNotGuardedAgain) {
    Guards guards;
    reads_until_worthwhile(guards, 0);
    guards.add(3, 1);
    EXPECT_TRUE(guards.remove(0));
    EXPECT_FALSE(guards.worthwhile(5)); // a page that is handed to and fro would pay for its neighbours every time
    EXPECT_TRUE(guards.worthwhile(64));
}

TEST(Guards, AWriteHereEndsItForTheGroupAndCostsPatience) {
    Guards guards;
    reads_until_worthwhile(guards, 0);
    guards.add(128, 0b110);
    EXPECT_EQ(guards.miss(128), 0U); // was not guarded: nothing was lost
    EXPECT_TRUE(guards.worthwhile(0));
    EXPECT_EQ(guards.miss(129), 0b110U);
    EXPECT_FALSE(guards.remove(130));
    EXPECT_EQ(reads_until_worthwhile(guards, 128), 17);
    for (int i = 0; i < 20; ++i) {
        guards.add(0, 1);
        guards.miss(0);
    }
    EXPECT_EQ(reads_until_worthwhile(guards, 0), 4097); // but it is never given up
}

TEST(Guards, TakingIsNoMiss) {
    Guards guards;
    reads_until_worthwhile(guards, 0);
    guards.add(0, 5);
    EXPECT_EQ(guards.take(7), 5U);
    EXPECT_EQ(guards.take(7), 0U);
    EXPECT_TRUE(guards.worthwhile(0));
    guards.add(0, 5);
    guards.clear();
    EXPECT_FALSE(guards.remove(0));
}

} // namespace
} // namespace norma::dsm
