// SPDX-License-Identifier: BSD-3-Clause
#include "dsm/stream.hpp"

#include <gtest/gtest.h>

namespace norma::dsm {
namespace {

TEST(StreamDetector, WindowDoublesWhileFaultsFollowEachOther) {
    StreamDetector detector;
    std::uint64_t page = 100;
    for (const std::uint32_t expected : {1U, 2U, 4U, 8U, 16U, 32U, 64U, 64U, 64U}) {
        EXPECT_EQ(detector.window(page, 64), expected);
        page += expected;
    }
}

TEST(StreamDetector, RandomAccessFetchesWhatItAsksFor) {
    StreamDetector detector;
    for (const std::uint64_t page : {5U, 900U, 31U, 77U, 12U, 500U, 3U, 1000U, 64U, 8U, 40U}) {
        EXPECT_EQ(detector.window(page, 64), 1U);
    }
}

TEST(StreamDetector, SeveralStreamsAtOnce) {
    StreamDetector detector;
    std::uint64_t pages[] = {0, 10'000, 20'000, 30'000};
    for (const std::uint32_t expected : {1U, 2U, 4U, 8U}) {
        for (auto &page : pages) {
            EXPECT_EQ(detector.window(page, 64), expected);
            page += expected;
        }
    }
}

TEST(StreamDetector, TheLimitHolds) {
    StreamDetector detector;
    EXPECT_EQ(detector.window(0, 64), 1U);
    EXPECT_EQ(detector.window(1, 1), 1U);
    EXPECT_EQ(detector.window(2, 0), 1U);
    EXPECT_EQ(detector.window(3, 3), 2U);
    EXPECT_EQ(detector.window(5, 3), 3U);
}

} // namespace
} // namespace norma::dsm
