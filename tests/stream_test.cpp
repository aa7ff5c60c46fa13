// SPDX-License-Identifier: BSD-3-Clause
#include "dsm/stream.hpp"

#include <gtest/gtest.h>

namespace norma::dsm {
namespace {

using Ahead = StreamDetector::Ahead;

Ahead touch(StreamDetector &detector, std::uint64_t page, std::uint32_t limit) {
    return detector.ahead({.page = page, .under_way = false, .sure = false}, limit);
}

Ahead wait_for(StreamDetector &detector, std::uint64_t page, std::uint32_t limit) {
    return detector.ahead({.page = page, .under_way = true, .sure = false}, limit);
}

TEST(StreamDetector, WindowDoublesWhileFaultsFollowEachOther) {
    StreamDetector detector;
    std::uint64_t page = 100;
    for (const std::uint32_t expected : {1U, 2U, 4U, 8U, 16U, 32U, 64U, 64U, 64U}) {
        EXPECT_EQ(touch(detector, page, 64), (Ahead{page, expected}));
        page += expected;
    }
}

TEST(StreamDetector, RandomAccessFetchesWhatItAsksFor) {
    StreamDetector detector;
    for (const std::uint64_t page : {5U, 900U, 31U, 77U, 12U, 500U, 3U, 1000U, 64U, 8U, 40U}) {
        EXPECT_EQ(touch(detector, page, 64), (Ahead{page, 1}));
    }
}

TEST(StreamDetector, SeveralStreamsAtOnce) {
    StreamDetector detector;
    std::uint64_t pages[] = {0, 10'000, 20'000, 30'000};
    for (const std::uint32_t expected : {1U, 2U, 4U, 8U}) {
        for (auto &page : pages) {
            EXPECT_EQ(touch(detector, page, 64), (Ahead{page, expected}));
            page += expected;
        }
    }
}

TEST(StreamDetector, TheLimitHolds) {
    StreamDetector detector;
    EXPECT_EQ(touch(detector, 0, 64), (Ahead{0, 1}));
    EXPECT_EQ(touch(detector, 1, 1), (Ahead{1, 1}));
    EXPECT_EQ(touch(detector, 2, 0), (Ahead{2, 1}));
    EXPECT_EQ(touch(detector, 3, 3), (Ahead{3, 2}));
    EXPECT_EQ(touch(detector, 5, 3), (Ahead{5, 3}));
}

TEST(StreamDetector, AReaderThatWaitsKeepsTheWindowFull) {
    StreamDetector detector;
    EXPECT_EQ(touch(detector, 0, 64), (Ahead{0, 1}));
    EXPECT_EQ(touch(detector, 1, 64), (Ahead{1, 2}));
    EXPECT_EQ(touch(detector, 3, 64), (Ahead{3, 4}));    // 3 .. 6
    EXPECT_EQ(wait_for(detector, 5, 64), (Ahead{7, 6})); // a window of 8 from page 5 on
    EXPECT_EQ(wait_for(detector, 9, 64), (Ahead{13, 12}));
    EXPECT_EQ(wait_for(detector, 12, 16), (Ahead{25, 3}));
    EXPECT_EQ(wait_for(detector, 12, 16), (Ahead{28, 0})); // another thread that waits for the same page
}

TEST(StreamDetector, NearTheEndNothingIsTakenBack) {
    StreamDetector detector;
    detector.ahead({.page = 0, .under_way = false, .sure = true}, 16);
    EXPECT_EQ(wait_for(detector, 8, 8), (Ahead{16, 0}));
    EXPECT_EQ(wait_for(detector, 12, 4), (Ahead{16, 0}));
}

// A page of a stream that was taken away again is random access: it is not under way.
TEST(StreamDetector, GoingBackAsksForOnePage) {
    StreamDetector detector;
    for (const std::uint64_t page : {0U, 1U, 3U, 7U}) {
        touch(detector, page, 64);
    }
    EXPECT_EQ(touch(detector, 9, 64), (Ahead{9, 1}));
    EXPECT_EQ(wait_for(detector, 5000, 64), (Ahead{5000, 1})); // asked for by somebody else
}

TEST(StreamDetector, WhoIsSureStartsWithAFullWindow) {
    StreamDetector detector;
    EXPECT_EQ(detector.ahead({.page = 7, .under_way = false, .sure = true}, 64), (Ahead{7, 64}));
    EXPECT_EQ(detector.ahead({.page = 39, .under_way = true, .sure = true}, 64), (Ahead{71, 32}));
}

} // namespace
} // namespace norma::dsm
