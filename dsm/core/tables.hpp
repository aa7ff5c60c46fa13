// SPDX-License-Identifier: BSD-3-Clause
// Storage of the coherence core: tables by page that exist only where they were used, and slabs whose slots are reused,
// so that an event in the steady state allocates nothing. Everything is a value: copies are deep.
#pragma once

#include "dsm/core/check.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace norma::dsm {

inline constexpr std::uint32_t kNoSlot = UINT32_MAX;

// One T per page, in chunks that come into being on first use; elsewhere every page reads as `blank`.
template <class T> class PageTable {
  public:
    PageTable(std::uint64_t pages, T blank) : pages_(pages), blank_(blank) {}

    const T &look(std::uint64_t page) const {
        NORMA_CHECK(page < pages_);
        const std::uint64_t chunk = page / kChunk;
        return chunk < chunks_.size() && !chunks_[chunk].empty() ? chunks_[chunk][page % kChunk] : blank_;
    }
    // References stay good until the table is copied or destroyed.
    T &at(std::uint64_t page) {
        NORMA_CHECK(page < pages_);
        const std::uint64_t chunk = page / kChunk;
        if (chunk >= chunks_.size()) {
            chunks_.resize(chunk + 1);
        }
        if (chunks_[chunk].empty()) {
            chunks_[chunk].assign(std::min(kChunk, pages_ - chunk * kChunk), blank_);
        }
        return chunks_[chunk][page % kChunk];
    }
    // visit(page, T&) for every page of every chunk that exists.
    template <class Visit> void for_each(Visit visit) { walk(chunks_, visit); }
    template <class Visit> void for_each(Visit visit) const { walk(chunks_, visit); }

  private:
    // A page with no neighbour in use costs a whole chunk; a chunk costs 24 bytes of the list of chunks.
    static constexpr std::uint64_t kChunk = 64;

    template <class Chunks, class Visit> static void walk(Chunks &chunks, Visit &visit) {
        for (std::size_t chunk = 0; chunk < chunks.size(); ++chunk) {
            for (std::size_t i = 0; i < chunks[chunk].size(); ++i) {
                visit(chunk * kChunk + i, chunks[chunk][i]);
            }
        }
    }

    std::uint64_t pages_;
    T blank_;
    std::vector<std::vector<T>> chunks_;
};

// One T per page of each stretch: stretch v is the pages v * pages .. v * pages + pages - 1. Pages of stretch 0 read as
// one blank where nothing is known of them, those of the others as another.
template <class T> class StretchTable {
  public:
    StretchTable(std::uint64_t pages, T first, T other)
        : pages_(pages), other_(other), first_(pages, first), nowhere_(pages, other) {}

    const T &look(std::uint64_t page) const {
        if (page < pages_) {
            return first_.look(page);
        }
        const auto found = others_.find(page / pages_);
        return (found != others_.end() ? found->second : nowhere_).look(page % pages_);
    }
    T &at(std::uint64_t page) {
        if (page < pages_) {
            return first_.at(page);
        }
        return others_.try_emplace(page / pages_, pages_, other_).first->second.at(page % pages_);
    }
    template <class Visit> void for_each(Visit visit) { walk(*this, visit); }
    template <class Visit> void for_each(Visit visit) const { walk(*this, visit); }
    // visit(page, const T&) for every page of the stretch that is in a chunk that exists.
    template <class Visit> void for_each_of(std::uint64_t stretch, Visit visit) const {
        if (stretch == 0) {
            first_.for_each(visit);
        } else if (const auto found = others_.find(stretch); found != others_.end()) {
            found->second.for_each([&](std::uint64_t page, const T &item) { visit(stretch * pages_ + page, item); });
        }
    }
    // The pages of the stretch read as those of which nothing is known, and not as the first stretch.
    void forget(std::uint64_t stretch) {
        if (stretch == 0) {
            first_ = nowhere_;
        } else {
            others_.erase(stretch);
        }
    }

  private:
    template <class Table, class Visit> static void walk(Table &table, Visit &visit) {
        table.first_.for_each(visit);
        for (auto &other : table.others_) {
            const std::uint64_t base = other.first * table.pages_;
            other.second.for_each([&](std::uint64_t page, auto &item) { visit(base + page, item); });
        }
    }

    std::uint64_t pages_;
    T other_;
    PageTable<T> first_;
    PageTable<T> nowhere_; // stays empty
    std::map<std::uint64_t, PageTable<T>> others_;
};

// Numbered slots. take() may move the items: hold slot numbers across it, not references.
template <class T> class Slab {
  public:
    std::uint32_t take(const T &item) {
        if (free_.empty()) {
            slots_.push_back({item, true});
            free_.reserve(slots_.capacity()); // so that give_back() never allocates
            return static_cast<std::uint32_t>(slots_.size() - 1);
        }
        const std::uint32_t slot = free_.back();
        free_.pop_back();
        slots_[slot] = {item, true};
        return slot;
    }
    void give_back(std::uint32_t slot) {
        NORMA_CHECK(in_use(slot));
        slots_[slot].in_use = false;
        free_.push_back(slot);
    }
    T &operator[](std::uint32_t slot) {
        NORMA_CHECK(in_use(slot));
        return slots_[slot].item;
    }
    const T &operator[](std::uint32_t slot) const {
        NORMA_CHECK(in_use(slot));
        return slots_[slot].item;
    }
    bool in_use(std::uint32_t slot) const { return slot < slots_.size() && slots_[slot].in_use; }
    std::uint32_t end() const { return static_cast<std::uint32_t>(slots_.size()); }
    std::size_t used() const { return slots_.size() - free_.size(); }

  private:
    struct Slot {
        T item{};
        bool in_use = false;
    };
    std::vector<Slot> slots_;
    std::vector<std::uint32_t> free_;
};

} // namespace norma::dsm
