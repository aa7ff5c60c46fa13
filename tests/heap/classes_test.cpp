// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/heap/size_classes.hpp"

#include <bit>

#include <gtest/gtest.h>

namespace norma::rt::heap {
namespace {

TEST(HeapClasses, EverySizeGetsTheSmallestThatHoldsIt) {
    for (std::size_t size = 0; size <= kLargestSmall; ++size) {
        const unsigned found = class_of(size);
        ASSERT_GE(kSizeClasses[found].size, size);
        ASSERT_TRUE(found == 0 || kSizeClasses[found - 1].size < size) << size;
    }
}

TEST(HeapClasses, NoMoreThanAQuarterIsWasted) {
    for (std::size_t size = 65; size <= kLargestSmall; ++size) {
        ASSERT_LE(kSizeClasses[class_of(size)].size, size + size / 4) << size;
    }
}

TEST(HeapClasses, IndexOfEveryOffset) {
    for (const SizeClass &kind : kSizeClasses) {
        ASSERT_EQ(kind.size % kGrain, 0u);
        for (std::uint32_t offset = 0; offset < kUnit; ++offset) {
            ASSERT_EQ(kind.index_of(offset), offset / kind.size) << kind.size;
        }
    }
}

TEST(HeapClasses, TheBitmapHasABitForEachBlock) {
    for (const SizeClass &kind : kSizeClasses) {
        std::uint32_t bits = 0;
        for (std::uint32_t word = 0; word < kind.words; ++word) {
            bits += static_cast<std::uint32_t>(std::popcount(kind.all_free(word)));
        }
        EXPECT_EQ(bits, kind.blocks) << kind.size;
        EXPECT_EQ(kind.blocks, kUnit / kind.size);
    }
}

TEST(HeapClasses, Aligned) {
    for (std::size_t align = kGrain; align <= kLargestSmall; align *= 2) {
        for (std::size_t size = 0; size <= kLargestSmall; size += 16) {
            const SizeClass &kind = kSizeClasses[class_of(size, align)];
            ASSERT_GE(kind.size, size);
            ASSERT_EQ(kind.size % align, 0u) << size << " " << align;
        }
    }
}

} // namespace
} // namespace norma::rt::heap
