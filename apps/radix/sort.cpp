// SPDX-License-Identifier: BSD-3-Clause
#include "apps/radix/sort.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

namespace radix {

namespace {

constexpr std::size_t kPageKeys = apps::kPage / sizeof(Key);
constexpr std::size_t kPageCounts = apps::kPage / sizeof(std::uint64_t);

// Slices begin with a page: whole pages are dealt out.
std::vector<apps::Range> page_slices(std::size_t keys, unsigned threads) {
    auto slices = apps::split_evenly((keys + kPageKeys - 1) / kPageKeys, threads);
    for (auto &slice : slices) {
        slice = {std::min(slice.begin * kPageKeys, keys), std::min(slice.end * kPageKeys, keys)};
    }
    return slices;
}

} // namespace

Key made_up_key(std::uint64_t seed, std::size_t index) {
    std::uint64_t mixed = (seed + 1) * 0x9e3779b97f4a7c15 + index * 0xd1342543de82ef95; // splitmix64
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return static_cast<Key>((mixed ^ (mixed >> 31)) >> 16);
}

Sort::Sort(std::size_t keys, unsigned threads, unsigned bits)
    : bits_(bits), digits_(std::size_t{1} << bits),
      count_stride_((digits_ + kPageCounts - 1) / kPageCounts * kPageCounts), slices_(page_slices(keys, threads)),
      keys_(keys), ordered_(keys), counts_(count_stride_ * threads) {}

std::span<Key> Sort::slice(unsigned thread) {
    return keys_.all().subspan(slices_[thread].begin, slices_[thread].size());
}

std::size_t Sort::digit_of(Key key, unsigned pass) const {
    return key >> (pass * bits_) & (digits_ - 1);
}

std::span<std::uint64_t> Sort::counts(unsigned thread) {
    return counts_.all().subspan(thread * count_stride_, digits_);
}

void Sort::work(unsigned thread, const std::function<void()> &meet) {
    std::vector<Key> own(slices_[thread].size());
    for (unsigned pass = 0; pass < passes(); ++pass) {
        order(thread, pass, own);
        meet();
        gather(thread);
        meet(); // nobody reads ordered_ any more
    }
}

// Where nobody else looks, as this is all over the place; what the others read is then written from front to back.
void Sort::order(unsigned thread, unsigned pass, std::span<Key> own) {
    const auto keys = slice(thread);
    const auto mine = counts(thread);
    std::fill(mine.begin(), mine.end(), 0);
    for (const Key key : keys) {
        ++mine[digit_of(key, pass)];
    }
    std::vector<std::uint64_t> position(digits_);
    std::exclusive_scan(mine.begin(), mine.end(), position.begin(), std::uint64_t{0});
    for (const Key key : keys) {
        own[position[digit_of(key, pass)]++] = key;
    }
    std::copy(own.begin(), own.end(), ordered_.all().subspan(slices_[thread].begin).begin());
}

// In front of a thread's keys of a digit come all keys of lower digits, and those of this digit that lower threads
// have. What a slice gets from one thread is one stretch of what that thread has ordered.
void Sort::gather(unsigned thread) {
    const apps::Range mine = slices_[thread];
    std::vector<std::uint64_t> total(digits_);
    for (unsigned other = 0; other < slices_.size(); ++other) {
        std::transform(total.begin(), total.end(), counts(other).begin(), total.begin(), std::plus());
    }
    std::vector<std::uint64_t> to(digits_); // where the thread's keys of a digit go
    std::exclusive_scan(total.begin(), total.end(), to.begin(), std::uint64_t{0});
    for (unsigned other = 0; other < slices_.size(); ++other) {
        std::size_t from = slices_[other].begin;
        for (std::size_t digit = 0; digit < digits_; ++digit) {
            const auto count = counts(other)[digit];
            const auto begin = std::max<std::size_t>(to[digit], mine.begin);
            const auto end = std::min<std::size_t>(to[digit] + count, mine.end);
            if (begin < end) {
                std::copy_n(&ordered_[from + (begin - to[digit])], end - begin, &keys_[begin]);
            }
            from += count;
            to[digit] += count;
        }
    }
}

} // namespace radix
