// SPDX-License-Identifier: BSD-3-Clause
// Several parts, one thread at a time: how blocks come home, and what happens when a node is lost.
#include <cstring>

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
