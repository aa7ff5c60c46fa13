// SPDX-License-Identifier: BSD-3-Clause
// Radix sort by threads that share memory and can do nothing but meet.
//
// A pass sorts by one digit, the least significant first. Each thread counts and orders the keys of its slice by
// itself; from all counts follows which of everybody's keys come into its slice now, and those it fetches: a stretch
// from each. So no page is written by two threads, and what a thread reads of another one it reads from front to back,
// once.
#pragma once

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
    std::span<const Key> sorted() const { return keys_.all(); }

  private:
    unsigned passes() const { return (32 + bits_ - 1) / bits_; }
    std::size_t digit_of(Key key, unsigned pass) const;
    std::span<std::uint64_t> counts(unsigned thread);
    void order(unsigned thread, unsigned pass, std::span<Key> own);
    void gather(unsigned thread);

    unsigned bits_;
    std::size_t digits_;
    std::size_t count_stride_; // of a thread's counts, in whole pages
    std::vector<apps::Range> slices_;
    apps::Pages<Key> keys_;
    apps::Pages<Key> ordered_; // each slice by the pass's digit, for the others to read
    apps::Pages<std::uint64_t> counts_;
};

} // namespace radix
