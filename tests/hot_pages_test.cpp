// SPDX-License-Identifier: BSD-3-Clause
// The sketch of hot pages: bounded, in order, and never further from the truth than it says.
#include "dsm/hot_pages.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace norma::dsm {
namespace {

constexpr ObjectId kObject{.home = 1, .incarnation = 1, .serial = 7}, kOther{.home = 1, .incarnation = 1, .serial = 8};

std::vector<PageIndex> pages(const HotPages &hot) {
    std::vector<PageIndex> listed;
    for (const auto &entry : hot.entries()) {
        listed.push_back(entry.page);
    }
    return listed;
}

const HotPages::Entry *find(const HotPages &hot, PageIndex page) {
    const auto entries = hot.entries();
    const auto found = std::ranges::find(entries, page, &HotPages::Entry::page);
    return found == entries.end() ? nullptr : &*found;
}

TEST(HotPages, ListsTheHeaviestFirst) {
    HotPages hot;
    for (const auto &[page, times] : std::map<PageIndex, int>{{10, 3}, {11, 9}, {12, 1}, {13, 5}}) {
        for (int i = 0; i < times; ++i) {
            hot.count(kObject, page, page % 2 == 0);
        }
    }
    EXPECT_EQ(pages(hot), (std::vector<PageIndex>{11, 13, 10, 12}));
    EXPECT_EQ(hot.entries()[0].reads, 9U);
    EXPECT_EQ(hot.entries()[0].writes, 0U);
    EXPECT_EQ(hot.entries()[2].writes, 3U);
}

TEST(HotPages, TellsObjectsApartAndForgetsThem) {
    HotPages hot;
    hot.count(kObject, 1, false);
    hot.count(kOther, 1, true);
    hot.count(kOther, 2, true);
    ASSERT_EQ(hot.entries().size(), 3U);
    hot.forget(kOther);
    ASSERT_EQ(hot.entries().size(), 1U);
    EXPECT_EQ(hot.entries()[0].object, kObject);
}

// What space saving promises, of any sequence; before the first halving.
TEST(HotPages, ErrsByNoMoreThanItSays) {
    for (unsigned seed = 0; seed < 20; ++seed) {
        std::mt19937 draw(seed);
        std::geometric_distribution<PageIndex> some(0.01 * (1 + seed % 5));
        HotPages hot;
        std::map<PageIndex, std::uint32_t> truth;
        std::uint32_t counted = 0;
        for (; counted + 1 < HotPages::kHalfLife; ++counted) {
            const auto page = some(draw);
            ++truth[page];
            hot.count(kObject, page, draw() % 2 == 0);
            ASSERT_LE(hot.entries().size(), HotPages::kMost);
        }
        ASSERT_GT(truth.size(), HotPages::kMost);
        const auto entries = hot.entries();
        EXPECT_TRUE(std::ranges::is_sorted(entries, std::greater{}, &HotPages::Entry::weight));
        std::uint64_t weights = 0;
        for (const auto &entry : entries) {
            weights += entry.weight;
            EXPECT_GE(entry.weight, truth[entry.page]);
            EXPECT_LE(entry.weight - entry.error, truth[entry.page]);
            EXPECT_LE(entry.reads + entry.writes, truth[entry.page]);
            EXPECT_LE(entry.error, counted / HotPages::kMost);
        }
        EXPECT_EQ(weights, counted);
        for (const auto &[page, times] : truth) {
            EXPECT_TRUE(times <= counted / HotPages::kMost || find(hot, page) != nullptr) << page << ": " << times;
        }
    }
}

TEST(HotPages, FindsAPageAmongManyColdOnes) {
    HotPages hot;
    for (PageIndex cold = 0; cold < 100'000; ++cold) {
        hot.count(kObject, 1000 + cold, false);
        if (cold % 16 == 0) {
            hot.count(kObject, 7, true);
        }
    }
    EXPECT_EQ(hot.entries()[0].page, 7U);
}

TEST(HotPages, MakesRoomForWhatIsHotNow) {
    HotPages hot;
    for (int round = 0; round < 10'000; ++round) {
        for (PageIndex page = 0; page < HotPages::kMost; ++page) {
            hot.count(kObject, page, true);
        }
    }
    for (std::uint32_t i = 0; i < 8 * HotPages::kHalfLife; ++i) {
        hot.count(kObject, 1000 + i % 2, true);
    }
    EXPECT_GE(hot.entries()[0].page, 1000U);
    EXPECT_GE(hot.entries()[1].page, 1000U);
}

} // namespace
} // namespace norma::dsm
