// SPDX-License-Identifier: BSD-3-Clause
#include "apps/radix/sort.hpp"

#include <algorithm>

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
      count_stride_((digits_ + kPageCounts - 1) / kPageCounts * kPageCounts),
      slices_(page_slices(keys, threads)), keys_{apps::Pages<Key>(keys), apps::Pages<Key>(keys)},
      counts_(count_stride_ * threads) {}

std::span<Key> Sort::slice(unsigned thread) {
    return keys_[0].all().subspan(slices_[thread].begin, slices_[thread].size());
}

std::span<const Key> Sort::sorted() const {
    return keys_.at(passes() % 2).all();
}

std::size_t Sort::digit_of(Key key, unsigned pass) const {
    return key >> (pass * bits_) & (digits_ - 1);
}

std::span<std::uint64_t> Sort::counts(unsigned thread) {
    return counts_.all().subspan(thread * count_stride_, digits_);
}

void Sort::work(unsigned thread, const std::function<void()> &meet) {
    std::vector<std::uint64_t> position(digits_);
    std::vector<Key> buffers(digits_ * kPageKeys);
    meet(); // all slices have been filled
    for (unsigned pass = 0; pass < passes(); ++pass) {
        count(thread, pass);
        meet();
        place(thread, position);
        move(thread, pass, position, buffers);
        meet();
    }
}

void Sort::count(unsigned thread, unsigned pass) {
    const auto mine = counts(thread);
    std::fill(mine.begin(), mine.end(), 0);
    for (const Key key : keys_.at(pass % 2).all().subspan(slices_[thread].begin, slices_[thread].size())) {
        ++mine[digit_of(key, pass)];
    }
}

// In front of a thread's keys of a digit come all keys of lower digits, and those of this digit that lower threads
// have.
void Sort::place(unsigned thread, std::span<std::uint64_t> position) {
    std::uint64_t total = 0;
    for (std::size_t digit = 0; digit < digits_; ++digit) {
        for (unsigned other = 0; other < slices_.size(); ++other) {
            if (other == thread) {
                position[digit] = total;
            }
            total += counts(other)[digit];
        }
    }
}

void Sort::move(unsigned thread, unsigned pass, std::span<std::uint64_t> position, std::span<Key> buffers) {
    const auto from = keys_.at(pass % 2).all().subspan(slices_[thread].begin, slices_[thread].size());
    auto &to = keys_.at((pass + 1) % 2);
    std::vector<std::uint32_t> filled(digits_);
    const auto empty = [&](std::size_t digit) {
        std::copy_n(&buffers[digit * kPageKeys], filled[digit], &to[position[digit]]);
        position[digit] += filled[digit];
        filled[digit] = 0;
    };
    for (const Key key : from) {
        const auto digit = digit_of(key, pass);
        buffers[digit * kPageKeys + filled[digit]++] = key;
        if ((position[digit] + filled[digit]) % kPageKeys == 0) {
            empty(digit);
        }
    }
    for (std::size_t digit = 0; digit < digits_; ++digit) {
        if (filled[digit] > 0) {
            empty(digit);
        }
    }
}

} // namespace radix
