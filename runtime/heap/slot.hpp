// SPDX-License-Identifier: BSD-3-Clause
// What one thread has to itself: blocks of each class that it may hand out without asking anybody (its magazines), and
// blocks of other parts that it has freed and not yet sent to their owners. Only the owner of the slot touches it, or
// whoever has taken it over after the owner's death.
#pragma once

#include <array>

#include "runtime/heap/part.hpp"

namespace norma::rt::heap {

// A stack of blocks. The order of stores is such that a death between any two of them loses one block, and leaves none
// in it twice: a block is in the stack before the count says so, and out of the count before it is anywhere else.
class Pile {
  public:
    Pile(Word &count, std::byte **items, std::uint32_t limit) : count_(&count), items_(items), limit_(limit) {}

    std::uint32_t size() const { return static_cast<std::uint32_t>(count_->load(std::memory_order_relaxed)); }
    bool full() const { return size() >= limit_; }
    std::uint32_t room() const { return limit_ - size(); }
    std::byte *top() const { return items_[size() - 1]; } // of one that is not empty
    std::byte *item(std::uint32_t place) const { return at(place).load(std::memory_order_relaxed); } // for counting

    void push(std::byte *block) const {
        const std::uint32_t count = size();
        at(count).store(block, std::memory_order_relaxed);
        count_->store(count + 1, std::memory_order_release);
    }
    std::byte *pop() const {
        const std::uint32_t count = size() - 1;
        std::byte *block = items_[count];
        count_->store(count, std::memory_order_release);
        return block;
    }

  private:
    std::atomic_ref<std::byte *> at(std::uint32_t place) const { return std::atomic_ref(items_[place]); }

    Word *count_;
    std::byte **items_;
    std::uint32_t limit_;
};

// Blocks of one other part; a page.
struct Outgoing {
    static constexpr std::uint32_t kLimit = kPage / 8 - 1;

    Word count;
    std::array<std::byte *, kLimit> items;

    Pile pile() { return {count, items.data(), kLimit}; }
};
static_assert(sizeof(Outgoing) == kPage);

struct Slot {
    std::uint32_t part;
    std::uint32_t number;
    std::byte *part_base;
    std::byte *descriptors; // of its part: saves the way through the geometry each time
    // What the owner is at work on, for whoever takes over after its death: a unit whose bit among the partial slabs it
    // may have taken away, and the state word of a batch that it fills.
    std::atomic<std::byte *> unit_in_hand;
    std::atomic<Word *> batch_in_hand;
    std::array<Word, kClasses> kept;
    std::array<std::byte *, kKeptInAll> items;

    Pile magazine(unsigned size_class) {
        const SizeClass &kind = kSizeClasses[size_class];
        return {kept[size_class], items.data() + kind.kept_from, kind.kept};
    }
    // One per part, in the pages behind the slot.
    Outgoing &outgoing(std::uint32_t to) {
        return reinterpret_cast<Outgoing *>(reinterpret_cast<std::byte *>(this) + kOwnBytes)[to];
    }

    static const std::size_t kOwnBytes;
};

inline constexpr std::size_t Slot::kOwnBytes = (sizeof(Slot) + kPage - 1) / kPage * kPage;

} // namespace norma::rt::heap
