// SPDX-License-Identifier: BSD-3-Clause
// Which pages of one object are write-protected in every local mapping although this node may write them: ahead of
// other nodes' reads, since protecting 64 pages costs hardly more than protecting one. A local write to one of them is
// a fault that need not have been, so this is done only where it has proved itself. Pure.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <unordered_map>

namespace norma::dsm {

class Guards {
  public:
    static constexpr std::uint64_t kGroup = 64; // pages that are guarded together

    // A page has to be protected for a reader elsewhere, and is not. True: its whole group should be.
    bool worthwhile(std::uint64_t page) { return !groups_.contains(page / kGroup) && ++reads_ > patience_; }

    // All pages of the group of `page` that are in `mask` are protected now.
    void add(std::uint64_t page, std::uint64_t mask) { groups_[page / kGroup] = mask; }

    // This page is not writable any more, or no longer protected. True: it was guarded.
    bool remove(std::uint64_t page) {
        const auto group = groups_.find(page / kGroup);
        const auto bit = std::uint64_t{1} << page % kGroup;
        if (group == groups_.end() || (group->second & bit) == 0) {
            return false;
        }
        group->second &= ~bit;
        return true;
    }

    void remove(std::uint64_t first, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count && !groups_.empty(); ++i) {
            remove(first + i);
        }
    }

    // None of these pages, of which there may be very many, is writable any more.
    void clear(std::uint64_t first, std::uint64_t count) {
        for (auto &[group, mask] : groups_) {
            for (auto bits = mask; bits != 0; bits &= bits - 1) {
                const auto bit = static_cast<unsigned>(std::countr_zero(bits));
                if (group * kGroup + bit - first < count) {
                    mask &= ~(std::uint64_t{1} << bit);
                }
            }
        }
    }

    // The pages of the group that were guarded; none is any more.
    std::uint64_t take(std::uint64_t page) {
        const auto group = groups_.extract(page / kGroup);
        return group.empty() ? 0 : group.mapped();
    }

    // A thread of this node wants to write the page. If it was guarded, that is over for its whole group, as take() has
    // it, and it takes longer until the next group is guarded.
    std::uint64_t miss(std::uint64_t page) {
        const auto group = groups_.find(page / kGroup);
        if (group == groups_.end() || (group->second >> page % kGroup & 1) == 0) {
            return 0;
        }
        reads_ = 0;
        patience_ = std::min(patience_ * 2, kMostPatience);
        return take(page);
    }

    // There is a mapping in which nothing is protected.
    void clear() { groups_.clear(); }

  private:
    static constexpr unsigned kLeastPatience = 8, kMostPatience = 4096;

    std::unordered_map<std::uint64_t, std::uint64_t>
        groups_; // an empty mask: it has been guarded, and will not be again
    unsigned reads_ = 0, patience_ = kLeastPatience;
};

} // namespace norma::dsm
