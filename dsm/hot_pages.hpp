// SPDX-License-Identifier: BSD-3-Clause
// Which pages threads of this node have to fetch from other nodes most often, in a constant amount of memory: the
// "space saving" sketch of Metwally, Agrawal and El Abbadi (2005). A page that is not listed takes the place of the one
// that was counted least and inherits its weight, so that a page which is counted often enough stays.
#pragma once

#include "dsm/core/core.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace norma::dsm {

class HotPages {
  public:
    static constexpr std::size_t kMost = 64;
    // After so many counts all weights are halved: what was hot long ago makes room.
    static constexpr std::uint32_t kHalfLife = 8192;

    struct Entry {
        ObjectId object;
        PageIndex page = 0;
        std::uint64_t reads = 0, writes = 0; // since it is listed
        // Of the counts since the last halving and of half of those before it, and so on: at least the page's own, and
        // at most `error` more.
        std::uint32_t weight = 0, error = 0;
    };

    HotPages() { entries_.reserve(kMost); }

    void count(const ObjectId &object, PageIndex page, bool write) {
        if (++counted_ == kHalfLife) {
            counted_ = 0;
            for (auto &entry : entries_) {
                entry.weight /= 2;
                entry.error /= 2;
            }
        }
        auto found = std::ranges::find_if(
            entries_, [&](const Entry &entry) { return entry.page == page && entry.object == object; });
        if (found == entries_.end()) {
            found = make_room(object, page);
        }
        ++(write ? found->writes : found->reads);
        ++found->weight;
        const auto lighter = std::partition_point(
            entries_.begin(), found, [found](const Entry &entry) { return entry.weight >= found->weight; });
        std::swap(*lighter, *found);
    }
    void forget(const ObjectId &object) {
        std::erase_if(entries_, [&](const Entry &entry) { return entry.object == object; });
    }
    std::span<const Entry> entries() const { return entries_; } // the heaviest first

  private:
    std::vector<Entry>::iterator make_room(const ObjectId &object, PageIndex page) {
        std::uint32_t weight = 0;
        if (entries_.size() == kMost) {
            weight = entries_.back().weight;
            entries_.pop_back();
        }
        entries_.push_back({.object = object, .page = page, .weight = weight, .error = weight});
        return std::prev(entries_.end());
    }

    std::vector<Entry> entries_;
    std::uint32_t counted_ = 0;
};

} // namespace norma::dsm
