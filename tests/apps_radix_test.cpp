// SPDX-License-Identifier: BSD-3-Clause
// Radix sort with plain threads: sorted, whatever the sizes, the digits and the number of threads.
#include "apps/radix/sort.hpp"

#include <algorithm>
#include <barrier>
#include <ostream>
#include <thread>

#include <gtest/gtest.h>

namespace {

using radix::Key;

struct Sizes {
    std::size_t keys;
    unsigned threads, bits;
};

void PrintTo(const Sizes &sizes, std::ostream *out) {
    *out << sizes.keys << " keys, " << sizes.threads << " threads, " << sizes.bits << " bits";
}

void run(radix::Sort &sort, unsigned threads) {
    std::barrier<> barrier(threads);
    std::vector<std::jthread> workers;
    for (unsigned thread = 0; thread < threads; ++thread) {
        workers.emplace_back([&, thread] { sort.work(thread, [&] { barrier.arrive_and_wait(); }); });
    }
}

void fill(radix::Sort &sort, const std::vector<Key> &keys, unsigned threads) {
    for (unsigned thread = 0; thread < threads; ++thread) {
        const auto slice = sort.slice(thread);
        std::copy_n(keys.begin() + static_cast<std::ptrdiff_t>(sort.slice_begin(thread)), slice.size(), slice.begin());
    }
}

void expect_sorted(std::vector<Key> keys, unsigned threads, unsigned bits) {
    radix::Sort sort(keys.size(), threads, bits);
    fill(sort, keys, threads);
    run(sort, threads);
    std::sort(keys.begin(), keys.end());
    EXPECT_TRUE(std::ranges::equal(sort.sorted(), keys));
}

class RadixSortOf : public ::testing::TestWithParam<Sizes> {};

TEST_P(RadixSortOf, Sorts) {
    const auto &sizes = GetParam();
    std::vector<Key> keys(sizes.keys);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        keys[i] = radix::made_up_key(7, i);
    }
    expect_sorted(keys, sizes.threads, sizes.bits);
}

INSTANTIATE_TEST_SUITE_P(, RadixSortOf,
                         ::testing::Values(Sizes{1, 1, 8}, Sizes{1, 4, 8}, Sizes{1023, 2, 8}, Sizes{1024, 2, 8},
                                           Sizes{1025, 2, 8}, Sizes{50'000, 1, 8}, Sizes{50'000, 3, 8},
                                           Sizes{50'000, 4, 1}, Sizes{50'000, 4, 5}, Sizes{50'000, 4, 12},
                                           Sizes{3000, 8, 11}));

TEST(RadixSort, SortsWhatIsUneven) {
    expect_sorted(std::vector<Key>(20'000, 5), 4, 8);
    std::vector<Key> falling(20'000);
    for (std::size_t i = 0; i < falling.size(); ++i) {
        falling[i] = static_cast<Key>(0xffffffffU - i);
    }
    expect_sorted(falling, 4, 8);
    falling[10'000] = 0;
    expect_sorted(falling, 3, 6);
}

TEST(RadixSort, SlicesBeginWithAPage) {
    radix::Sort sort(10'000, 4, 8);
    std::size_t keys = 0;
    for (unsigned thread = 0; thread < 4; ++thread) {
        EXPECT_EQ(sort.slice_begin(thread), keys);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(sort.slice(thread).data()) % 4096, 0U);
        keys += sort.slice(thread).size();
    }
    EXPECT_EQ(keys, 10'000U);
}

} // namespace
