// SPDX-License-Identifier: BSD-3-Clause
// Things that others name by a number: a number that was given up is not used again for a long time, so a late or wrong
// one finds nothing. Numbers begin at random, because a task that moved may still have those of its former process.
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <vector>

namespace norma::rt {

// T is reset to T{} when it is given back. Addresses stay.
template <class T> class Slots {
  public:
    // The number, never 0.
    std::uint64_t take() {
        if (free_.empty()) {
            free_.push_back(static_cast<std::uint32_t>(entries_.size()));
            entries_.emplace_back();
        }
        const auto index = free_.back();
        free_.pop_back();
        auto &entry = entries_[index];
        entry.number = std::uint64_t{++generation_} << 32 | index;
        return entry.number;
    }
    T *find(std::uint64_t number) {
        const auto index = static_cast<std::uint32_t>(number);
        return number != 0 && index < entries_.size() && entries_[index].number == number ? &entries_[index].value
                                                                                          : nullptr;
    }
    void give_back(std::uint64_t number) {
        auto &entry = entries_[static_cast<std::uint32_t>(number)];
        entry.value = T{};
        entry.number = 0;
        free_.push_back(static_cast<std::uint32_t>(number));
    }
    // visit(number, value) for each that is taken; it may give back the one it is shown.
    template <class Visit> void for_each(Visit visit) {
        for (auto &entry : entries_) {
            if (entry.number != 0) {
                visit(entry.number, entry.value);
            }
        }
    }

  private:
    struct Entry {
        std::uint64_t number = 0; // 0: free
        T value{};
    };
    std::deque<Entry> entries_;
    std::vector<std::uint32_t> free_;
    std::uint32_t generation_ = std::random_device{}() | 1U;
};

} // namespace norma::rt
