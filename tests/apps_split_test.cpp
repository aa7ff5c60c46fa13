// SPDX-License-Identifier: BSD-3-Clause
// How applications divide work, and the fingerprint of a result.
#include "apps/common/hash.hpp"
#include "apps/common/split.hpp"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

namespace {

using apps::Range;

void expect_cover(const std::vector<Range> &ranges, std::size_t count) {
    std::size_t expected = 0;
    for (const Range &range : ranges) {
        EXPECT_EQ(range.begin, expected);
        EXPECT_LE(range.begin, range.end);
        expected = range.end;
    }
    EXPECT_EQ(expected, count);
}

TEST(SplitEvenly, CoversEverythingWithSizesThatDifferByOneAtMost) {
    for (const std::size_t count : {0u, 1u, 7u, 100u, 1499u}) {
        for (const std::size_t parts : {1u, 2u, 3u, 7u, 64u}) {
            const auto ranges = apps::split_evenly(count, parts);
            ASSERT_EQ(ranges.size(), parts);
            expect_cover(ranges, count);
            const auto [low, high] = std::minmax_element(
                ranges.begin(), ranges.end(), [](const Range &a, const Range &b) { return a.size() < b.size(); });
            EXPECT_LE(high->size() - low->size(), 1u);
        }
    }
}

TEST(SplitByWeight, GivesEveryPartAnItem) {
    const std::vector<std::uint64_t> first_is_heavy{1000, 1, 1, 1};
    EXPECT_EQ(apps::split_by_weight(first_is_heavy, 4), (std::vector<Range>{{0, 1}, {1, 2}, {2, 3}, {3, 4}}));
    const std::vector<std::uint64_t> last_is_heavy{1, 1, 1, 1000};
    EXPECT_EQ(apps::split_by_weight(last_is_heavy, 2), (std::vector<Range>{{0, 3}, {3, 4}}));
}

TEST(SplitByWeight, FollowsTheWeightsNotTheNumbers) {
    // 100 items of weight 9, then 100 of weight 1: half of the weight lies in the first 56.
    std::vector<std::uint64_t> weights(200, 1);
    std::fill_n(weights.begin(), 100, 9);
    const auto ranges = apps::split_by_weight(weights, 2);
    expect_cover(ranges, 200);
    EXPECT_NEAR(static_cast<double>(ranges[0].end), 55.6, 1.0);
}

TEST(SplitByWeight, NoPartExceedsItsShareByMoreThanOneItem) {
    std::vector<std::uint64_t> weights;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        weights.push_back(1 + i * 7919 % 50);
    }
    const std::uint64_t total = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
    for (const std::size_t parts : {1u, 2u, 5u, 16u}) {
        const auto ranges = apps::split_by_weight(weights, parts);
        expect_cover(ranges, weights.size());
        for (const Range &range : ranges) {
            const std::uint64_t weight =
                std::accumulate(weights.begin() + static_cast<std::ptrdiff_t>(range.begin),
                                weights.begin() + static_cast<std::ptrdiff_t>(range.end), std::uint64_t{0});
            EXPECT_NEAR(static_cast<double>(weight), static_cast<double>(total) / static_cast<double>(parts), 50.0);
        }
    }
}

TEST(NodeFor, GoesRound) {
    EXPECT_EQ(apps::node_for(0, 3), 0);
    EXPECT_EQ(apps::node_for(2, 3), 2);
    EXPECT_EQ(apps::node_for(3, 3), 0);
    EXPECT_EQ(apps::default_workers(1), 2u);
    EXPECT_EQ(apps::default_workers(5), 5u);
}

TEST(Hash, IsFnv1aOfTheBytes) {
    EXPECT_EQ(apps::hash_of({}), 0xcbf29ce484222325u);
    // The bytes of 'foobar00' as one double, hashed byte by byte.
    std::uint64_t bits = 0;
    std::uint64_t expected = 0xcbf29ce484222325u;
    const char *const text = "foobar00";
    for (int i = 0; i < 8; ++i) {
        bits |= static_cast<std::uint64_t>(text[i]) << (8 * i);
        expected = (expected ^ static_cast<std::uint64_t>(text[i])) * 0x100000001b3u;
    }
    const double value = std::bit_cast<double>(bits);
    EXPECT_EQ(apps::hash_of({&value, 1}), expected);
}

TEST(Hash, SeesTheSignOfZeroTheLastBitAndTheOrder) {
    const std::vector<double> zeros{0.0, 0.0};
    const std::vector<double> negative{0.0, -0.0};
    const std::vector<double> tiny{0.0, 5e-324};
    const std::vector<double> swapped{5e-324, 0.0};
    EXPECT_NE(apps::hash_of(zeros), apps::hash_of(negative));
    EXPECT_NE(apps::hash_of(zeros), apps::hash_of(tiny));
    EXPECT_NE(apps::hash_of(tiny), apps::hash_of(swapped));
}

} // namespace
