// SPDX-License-Identifier: BSD-3-Clause
// Radix sort by threads that share memory and can do nothing but meet.
//
// A pass sorts by one digit, the least significant first. Each thread counts the digits of its slice; from all counts
// follows where its keys of each digit go. It collects them in buffers of its own, one for each digit, which it empties
// where a page of the output ends: so a page is written by a thread in one burst, and mostly by one thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "apps/common/pages.hpp"
#include "apps/common/split.hpp"

namespace radix {

using Key = std::uint32_t;

inline constexpr unsigned kMostBits = 12; // of a digit

/// The keys that --seed makes up: random, the same for every number of threads.
Key made_up_key(std::uint64_t seed, std::size_t index);

/// In pages of its own: all threads read it all the time.
class alignas(apps::kPage) Sort {
  public:
    /// 1 <= threads, 1 <= bits <= kMostBits. Throws std::bad_alloc.
    Sort(std::size_t keys, unsigned threads, unsigned bits);

    /// The slice of a thread, to be filled before it calls work().
    std::span<Key> slice(unsigned thread);
    std::size_t slice_begin(unsigned thread) const { return slices_[thread].begin; }

    /// Called by every thread, each with its number. `meet` returns when all have called it.
    void work(unsigned thread, const std::function<void()> &meet);

    /// When all are done.
    std::span<const Key> sorted() const;

  private:
    unsigned passes() const { return (32 + bits_ - 1) / bits_; }
    std::size_t digit_of(Key key, unsigned pass) const;
    std::span<std::uint64_t> counts(unsigned thread);
    void count(unsigned thread, unsigned pass);
    void place(unsigned thread, std::span<std::uint64_t> position);
    void move(unsigned thread, unsigned pass, std::span<std::uint64_t> position, std::span<Key> buffers);

    unsigned bits_;
    std::size_t digits_;
    std::size_t count_stride_; // of a thread's counts, in whole pages
    std::vector<apps::Range> slices_;
    std::array<apps::Pages<Key>, 2> keys_; // a pass reads one and writes the other
    apps::Pages<std::uint64_t> counts_;
};

} // namespace radix
