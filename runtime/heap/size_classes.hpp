// SPDX-License-Identifier: BSD-3-Clause
// The sizes that small blocks come in: steps of 16 bytes up to 128, then four steps per doubling, up to 16 KiB.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace norma::rt::heap {

inline constexpr std::size_t kPage = 4096;
inline constexpr std::size_t kUnit = 64 << 10; // what parts are divided into: one slab, or a piece of a run
inline constexpr std::size_t kGrain = 16;      // every block begins at a multiple of this
inline constexpr std::size_t kLargestSmall = 16 << 10;

inline constexpr unsigned kClasses = 8 + 4 * 7;

struct SizeClass {
    std::uint32_t size;
    std::uint32_t blocks;     // of one slab
    std::uint32_t words;      // of a slab's bitmap
    std::uint32_t kept;       // how many blocks a thread keeps for itself at most
    std::uint32_t kept_from;  // where they are among all that it keeps
    std::uint32_t reciprocal; // 2^32 / size, rounded up

    // Exact for offsets below kUnit: the error grows to kUnit * kLargestSmall at most, which is less than 2^32.
    constexpr std::uint32_t index_of(std::uint32_t offset) const {
        return static_cast<std::uint32_t>((std::uint64_t{offset} * reciprocal) >> 32);
    }
    // The bits of word `word` of a slab in which nothing is taken.
    constexpr std::uint64_t all_free(std::uint32_t word) const {
        const std::uint32_t left = blocks - word * 64;
        return left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
    }
};

namespace detail {

constexpr std::array<SizeClass, kClasses> make_classes() {
    std::array<SizeClass, kClasses> classes{};
    std::uint32_t size = 0, kept_from = 0;
    for (unsigned i = 0; i < kClasses; ++i) {
        size += i < 8 ? kGrain : std::uint32_t{32} << ((i - 8) / 4);
        const std::uint32_t blocks = kUnit / size;
        const auto kept = static_cast<std::uint32_t>(std::clamp<std::size_t>(kUnit / size, 8, 128));
        const auto reciprocal = static_cast<std::uint32_t>(((std::uint64_t{1} << 32) + size - 1) / size);
        classes[i] = {size, blocks, (blocks + 63) / 64, kept, kept_from, reciprocal};
        kept_from += kept;
    }
    return classes;
}

} // namespace detail

inline constexpr std::array<SizeClass, kClasses> kSizeClasses = detail::make_classes();
inline constexpr std::uint32_t kKeptInAll = kSizeClasses.back().kept_from + kSizeClasses.back().kept;
static_assert(kSizeClasses.back().size == kLargestSmall);

namespace detail {

constexpr std::array<std::uint8_t, kLargestSmall / kGrain + 1> make_class_table() {
    std::array<std::uint8_t, kLargestSmall / kGrain + 1> table{};
    unsigned number = 0;
    for (std::size_t grains = 0; grains < table.size(); ++grains) {
        while (kSizeClasses[number].size < grains * kGrain) {
            ++number;
        }
        table[grains] = static_cast<std::uint8_t>(number);
    }
    return table;
}

inline constexpr auto kClassTable = make_class_table();

} // namespace detail

// size <= kLargestSmall.
constexpr unsigned class_of(std::size_t size) {
    return detail::kClassTable[(size + kGrain - 1) / kGrain];
}

// The smallest class all of whose blocks are aligned so; a power of two, both at most kLargestSmall.
constexpr unsigned class_of(std::size_t size, std::size_t align) {
    unsigned number = class_of(std::max(size, align));
    while (kSizeClasses[number].size % align != 0) {
        ++number;
    }
    return number;
}

} // namespace norma::rt::heap
