// SPDX-License-Identifier: BSD-3-Clause
// A heap in coherent memory that all tasks of a program share, on whatever nodes they are (docs/heap.md). A block may
// be used and freed on any node. Nothing here waits for anybody, and a task may be killed at any instruction: the
// others go on, and lose what it had in its hands.
#pragma once

#include <optional>
#include <span>

#include "runtime/heap/part.hpp"
#include "runtime/heap/slabs.hpp"
#include "runtime/heap/slot.hpp"

namespace norma::rt::heap {

struct Statistics {
    std::size_t units = 0, units_free = 0;
    std::size_t bytes_taken = 0; // of this part: blocks that are not free in its bitmaps
    std::size_t bytes_kept = 0;  // of any part: taken, but only waiting, in the slots and inboxes of this part
};

// One per task; all state is in the region, which is empty when its bytes are zero.
class Heap {
  public:
    Heap(const Layout &layout, const Hooks &hooks);

    // Whether the region is aligned, and its parts large enough for their metadata and some more.
    static bool possible(const Layout &layout) { return Geometry::possible(layout); }

    // Each thread has a slot in the part of the node it runs on, for as long as it lives; owner is never 0 and never
    // used again for somebody else. Takes over what a dead owner has left. Null if all slots of the part are taken.
    Slot *attach(std::uint32_t part, std::uint64_t owner);
    void detach(Slot *slot);
    // Gives back, or sends to its owner, what the slot keeps.
    void flush(Slot *slot);
    // Takes back what threads that have died kept in the part. Returns how many there were.
    std::uint32_t recover(std::uint32_t part, std::uint64_t owner);
    // Gives back what other nodes have freed here.
    void drain(std::uint32_t part);
    // A node has died: from now on what is handed out is looked at before. Blocks with pages that are gone stay taken.
    void beware() { some_died_.store(true, std::memory_order_relaxed); }

    // Null: no part has room, or align is above kGrain and no power of two. A size of 0 gets a block too.
    void *allocate(Slot *slot, std::size_t size, std::size_t align = kGrain);
    void *allocate_zeroed(Slot *slot, std::size_t count, std::size_t size);
    void release(Slot *slot, void *address);
    // Null: no room, and the old block is still there. Keeps the bytes, not an alignment above kGrain.
    void *resize(Slot *slot, void *address, std::size_t size);

    std::size_t usable(const void *block) const;
    bool contains(const void *address) const;
    // The block that has this address in it, whether it is in use or waits in a slot; empty: none.
    std::span<std::byte> block_at(const void *address) const;

    // Exact if nobody is at work meanwhile.
    Statistics statistics(std::uint32_t part) const;
    std::size_t bytes_live() const; // of parts that are not lost
    std::uint32_t slots_per_part() const { return geometry_.slots; }

  private:
    Part part(std::uint32_t number) const { return {geometry_, number}; }
    Part part_of(const void *address) const;
    void *allocate_slowly(Slot &slot, unsigned size_class);
    bool whole(const Part &owner, const std::byte *start, std::size_t bytes) const;
    void *pop_whole(const Part &owner, unsigned size_class, Pile pile) const;
    void *take_block(const Part &owner, unsigned size_class, Pile pile, std::uint32_t wanted, Slot &slot) const;
    void *take_whole_run(const Part &owner, std::uint32_t units, std::size_t align) const;
    void *allocate_run(Slot &slot, std::size_t size, std::size_t align);
    template <typename Take> void *allocate_elsewhere(const Slot &slot, Take take);
    void make_room(Slot &slot);
    void release_slowly(Slot &slot, std::byte *block);
    void release_to(Slot &slot, std::uint32_t owner, std::byte *block);
    void give_back(const Part &to, Pile pile, std::uint32_t leave);
    void send_or_give_back(Slot &slot, std::uint32_t owner);
    Slot *take_over(const Part &home, std::uint32_t number);
    std::size_t kept_in_slot(Slot &slot) const;
    std::size_t kept_in_inbox(const Inbox &inbox) const;
    bool resize_in_place(const Slot &slot, std::byte *block, std::size_t size);

    Geometry geometry_;
    Hooks hooks_;
    std::atomic<bool> some_died_{false};
};

} // namespace norma::rt::heap
