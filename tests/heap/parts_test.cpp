// SPDX-License-Identifier: BSD-3-Clause
// Several parts, one thread at a time: how blocks come home, and what happens when a node is lost.
#include <cstring>
#include <set>

#include <gtest/gtest.h>

#include "runtime/heap/inbox.hpp"
#include "tests/heap/world.hpp"

namespace norma::rt::heap::test {
namespace {

class HeapParts : public ::testing::Test {
  protected:
    std::uint32_t part_of(const void *block) const {
        return static_cast<std::uint32_t>((static_cast<const std::byte *>(block) - world.layout().base) /
                                          world.layout().part_bytes);
    }
    std::vector<void *> allocate(Slot *slot, std::size_t count, std::size_t size) {
        std::vector<void *> blocks(count);
        for (void *&block : blocks) {
            block = heap.allocate(slot, size);
        }
        return blocks;
    }

    World world{3, 8 * kMiB};
    Heap &heap = world.heap();
    Slot *here = heap.attach(0, 1);
    Slot *there = heap.attach(1, 2);
};

TEST_F(HeapParts, BlocksComeHomeInBatches) {
    const auto blocks = allocate(here, 5000, 48);
    EXPECT_EQ(part_of(blocks.back()), 0u);
    for (void *block : blocks) {
        heap.release(there, block);
    }
    EXPECT_EQ(heap.bytes_live(), 0u);
    EXPECT_GT(heap.statistics(0).bytes_kept, 0u); // in the inbox
    heap.flush(there);
    heap.drain(0);
    heap.flush(here);
    world.expect_empty();
}

TEST_F(HeapParts, TheOwnerFindsThemWhenItNeedsSome) {
    const auto blocks = allocate(here, 100000, 64); // most of the part
    for (void *block : blocks) {
        heap.release(there, block);
    }
    heap.flush(there);
    const auto again = allocate(here, 100000, 64);
    EXPECT_EQ(part_of(again.back()), 0u);
    for (void *block : again) {
        heap.release(here, block);
    }
    heap.flush(here);
    world.expect_empty();
}

// The pages of the owner's metadata stay where they are: nothing of them changes before the owner looks.
TEST_F(HeapParts, AFreeElsewhereTouchesOnlyTheInbox) {
    const auto blocks = allocate(here, 2000, 48);
    const Geometry geometry(world.layout());
    const Part owner(geometry, 0);
    const std::size_t metadata = geometry.inboxes_at; // what is in front of them
    const std::vector<std::byte> before(owner.base(), owner.base() + metadata);
    for (void *block : blocks) {
        heap.release(there, block);
    }
    heap.flush(there);
    EXPECT_EQ(std::memcmp(before.data(), owner.base(), metadata), 0);
    heap.drain(0);
    EXPECT_NE(std::memcmp(before.data(), owner.base(), metadata), 0);
}

TEST_F(HeapParts, AFullInboxIsGoneAround) {
    const std::size_t count = Inbox::kBatches * Inbox::kBatchItems + 5 * Outgoing::kLimit;
    for (void *block : allocate(here, count, 16)) {
        heap.release(there, block);
    }
    heap.flush(there);
    EXPECT_EQ(heap.bytes_live(), 0u);
    EXPECT_LE(heap.statistics(0).bytes_kept - 16 * here->magazine(0).size(), Inbox::kBatches * Inbox::kBatchItems * 16);
    heap.drain(0);
    heap.flush(here);
    world.expect_empty();
}

TEST_F(HeapParts, WhatIsLargeIsSentAtOnce) {
    void *const run = heap.allocate(here, kMiB);
    heap.release(there, run);
    heap.drain(0);
    EXPECT_EQ(heap.statistics(0).units_free, heap.statistics(0).units);
}

TEST_F(HeapParts, AFullPartTakesFromTheOthers) {
    std::vector<void *> blocks;
    std::array<std::size_t, 3> found{};
    while (void *block = heap.allocate(here, 10000)) {
        blocks.push_back(block);
        ++found[part_of(block)];
    }
    EXPECT_GT(found[0], 600u);
    EXPECT_GT(found[1], 600u);
    EXPECT_GT(found[2], 600u);
    for (void *block : blocks) {
        heap.release(here, block);
    }
    heap.flush(here);
    heap.drain(1);
    heap.drain(2);
    world.expect_empty();
}

TEST_F(HeapParts, LostPartsAreLeftAlone) {
    void *const gone = heap.allocate(there, 100);
    void *const mine = heap.allocate(here, 100);
    const auto sent = allocate(here, 1000, 32);
    for (void *block : sent) {
        heap.release(there, block);
    }
    World::lose(1);
    const std::vector<std::byte> before(world.layout().base + world.layout().part_bytes,
                                        world.layout().base + 2 * world.layout().part_bytes);
    heap.release(here, gone);
    EXPECT_EQ(heap.usable(gone), 0u);
    std::vector<void *> blocks;
    while (void *block = heap.allocate(here, 10000)) {
        ASSERT_NE(part_of(block), 1u);
        blocks.push_back(block);
    }
    for (void *block : blocks) {
        heap.release(here, block);
    }
    heap.release(here, mine);
    heap.flush(here);
    EXPECT_EQ(std::memcmp(before.data(), world.layout().base + world.layout().part_bytes, before.size()), 0);
    // What was on its way from there stays taken.
    EXPECT_LE(heap.bytes_live(), sent.size() * 32);
}

// What a node that has died wrote last is gone, in a part that lives as well; wherever the blocks with it are.
TEST_F(HeapParts, BlocksThatAreGoneAreNotHandedOut) {
    constexpr std::size_t kBlock = 1000;
    const auto waiting = allocate(here, 3000, kBlock), held = allocate(here, 1000, kBlock);
    for (void *block : waiting) { // some to the magazine and the bitmaps, some to the inbox
        heap.release(block < waiting[1500] ? here : there, block);
    }
    heap.flush(there);
    std::set<const std::byte *> gone;
    const auto lose = [&](const void *block) {
        const auto *const first = static_cast<const std::byte *>(block);
        world.lose_page(first);
        gone.insert(first - reinterpret_cast<std::uintptr_t>(first) % kPage);
    };
    for (std::size_t i = 0; i < waiting.size(); i += 50) {
        lose(waiting[i]);
    }
    lose(waiting.back());
    lose(held[500]);
    for (void *block : held) {
        heap.release(here, block);
    }
    const auto touches_gone = [&gone](const void *block, std::size_t size) {
        const auto *const first = static_cast<const std::byte *>(block);
        const auto next = gone.lower_bound(first - (kPage - 1));
        return next != gone.end() && *next < first + size;
    };
    std::set<void *> handed_out;
    while (void *block = heap.allocate(here, kBlock)) {
        ASSERT_FALSE(touches_gone(block, kBlock));
        ASSERT_TRUE(handed_out.insert(block).second);
    }
    EXPECT_GT(handed_out.size() * kBlock, 3 * 6 * kMiB);
    for (void *block : handed_out) {
        heap.release(here, block);
    }
}

TEST_F(HeapParts, UnitsThatAreGoneAreNotHandedOut) {
    const auto runs = allocate(here, 100, kUnit);
    const auto *const first = static_cast<const std::byte *>(runs.front());
    world.lose_page(first + 20 * kUnit + 5 * kPage); // of one that is free later
    world.lose_page(first + 103 * kUnit);            // of one that always was
    for (void *run : runs) {
        heap.release(here, run);
    }
    const auto gone = [first](std::size_t unit, const void *run, std::size_t size) {
        const auto from = static_cast<std::size_t>(static_cast<const std::byte *>(run) - first) / kUnit;
        return from <= unit && unit < from + (size + kUnit - 1) / kUnit;
    };
    void *grown = heap.allocate(here, kUnit); // in front of the first one, as far as there is room
    ASSERT_EQ(grown, first);
    EXPECT_EQ(heap.resize(here, grown, 20 * kUnit), grown);
    void *const moved = heap.resize(here, grown, 21 * kUnit);
    EXPECT_NE(moved, grown);
    EXPECT_FALSE(gone(20, moved, 21 * kUnit));
    heap.release(here, moved);
    std::size_t total = 0;
    while (void *run = heap.allocate(here, 3 * kUnit)) {
        ASSERT_FALSE(gone(20, run, 3 * kUnit));
        ASSERT_FALSE(gone(103, run, 3 * kUnit));
        total += 3;
    }
    EXPECT_GT(total, 3 * (8 * kMiB / kUnit) - 100);
}

// A page of its metadata was changed last by the node that has died; the others see zeros there, as if all were free.
TEST_F(HeapParts, APartWithoutItsStateIsNotUsed) {
    const auto mine = allocate(here, 1000, 64);
    const Geometry geometry(world.layout());
    const Part own(geometry, 0);
    World::lose(0);
    heap.beware();
    std::memset(static_cast<void *>(own.used()), 0, kPage);
    std::memset(static_cast<void *>(&own.descriptor(0)), 0, kPage);
    for (const std::size_t size : {std::size_t{64}, std::size_t{3000}, kUnit}) {
        for (int i = 0; i < 200; ++i) {
            void *const block = heap.allocate(here, size);
            ASSERT_NE(block, nullptr);
            ASSERT_NE(part_of(block), 0u);
        }
    }
    for (void *block : mine) {
        heap.release(here, block);
        heap.release(there, block);
    }
    heap.flush(here);
    heap.flush(there);
}

TEST_F(HeapParts, WhatADeadThreadHadBegunToSendArrives) {
    const auto blocks = allocate(here, 300, 32);
    for (void *block : blocks) {
        heap.release(there, block);
    }
    World::die(2);
    Slot *const heir = heap.attach(1, 3);
    EXPECT_EQ(heir, there);
    heap.flush(heir);
    heap.drain(0);
    heap.flush(here);
    world.expect_empty();
}

TEST_F(HeapParts, ResizeOfABlockFromElsewhere) {
    void *const small = heap.allocate(here, 100), *const run = heap.allocate(here, 3 * kUnit);
    const Stamped stamped = stamp(small, 100, 9);
    EXPECT_EQ(heap.resize(there, small, 110), small);
    Stamped moved = stamped;
    moved.block = static_cast<std::byte *>(heap.resize(there, small, 500));
    EXPECT_EQ(part_of(moved.block), 1u);
    EXPECT_TRUE(intact(moved));
    void *const larger = heap.resize(there, run, 5 * kUnit); // others' units are not taken in passing
    EXPECT_EQ(part_of(larger), 1u);
    heap.release(there, larger);
    heap.release(there, moved.block);
    heap.flush(there);
    heap.drain(0);
    heap.flush(here);
    world.expect_empty();
}

} // namespace
} // namespace norma::rt::heap::test
