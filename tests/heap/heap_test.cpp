// SPDX-License-Identifier: BSD-3-Clause
// One thread, one part: every call, every class, every complaint.
#include <algorithm>
#include <cstring>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/heap/world.hpp"

namespace norma::rt::heap::test {
namespace {

using ::testing::HasSubstr;

class HeapTest : public ::testing::Test {
  protected:
    void expect_complaint(const char *what, const void *address) {
        EXPECT_THAT(World::complaints(), HasSubstr(fmt::format("{} {}", what, address)));
    }

    World world{1, 32 * kMiB};
    Heap &heap = world.heap();
    Slot *slot = heap.attach(0, 1);
};

TEST_F(HeapTest, EveryClassFillsUnitsAndGivesThemBack) {
    for (const SizeClass &kind : kSizeClasses) {
        std::vector<Stamped> blocks;
        std::set<std::byte *> places;
        for (std::uint32_t i = 0; i < kind.blocks * 2 + 1; ++i) {
            void *block = heap.allocate(slot, kind.size);
            ASSERT_NE(block, nullptr);
            ASSERT_EQ(heap.usable(block), kind.size);
            ASSERT_TRUE(places.insert(static_cast<std::byte *>(block)).second);
            blocks.push_back(stamp(block, kind.size, i * 1000003));
        }
        for (auto place = places.begin(); std::next(place) != places.end(); ++place) {
            ASSERT_GE(*std::next(place) - *place, static_cast<std::ptrdiff_t>(kind.size));
        }
        EXPECT_EQ(heap.bytes_live(), blocks.size() * kind.size);
        for (const Stamped &block : blocks) {
            ASSERT_TRUE(intact(block));
            heap.release(slot, block.block);
        }
        EXPECT_EQ(heap.bytes_live(), 0u);
        heap.flush(slot);
        world.expect_empty();
    }
}

TEST_F(HeapTest, RunsGrowAndShrinkWhereTheyAre) {
    auto *const run = static_cast<std::byte *>(heap.allocate(slot, 3 * kUnit));
    ASSERT_NE(run, nullptr);
    EXPECT_EQ(heap.usable(run), 3 * kUnit);
    const Stamped first = stamp(run, 3 * kUnit, 7);
    EXPECT_EQ(heap.resize(slot, run, 100 * kUnit), run);
    EXPECT_EQ(heap.usable(run), 100 * kUnit);
    EXPECT_TRUE(intact(first));
    EXPECT_EQ(heap.block_at(run + 99 * kUnit + 5).data(), run);
    void *const behind = heap.allocate(slot, kUnit); // whatever comes next is directly behind
    EXPECT_EQ(behind, run + 100 * kUnit);
    auto *const moved = static_cast<std::byte *>(heap.resize(slot, run, 101 * kUnit));
    EXPECT_NE(moved, run);
    EXPECT_TRUE(intact({moved, first.size, first.stamp}));
    EXPECT_EQ(heap.resize(slot, moved, 2 * kUnit), moved);
    EXPECT_EQ(heap.block_at(moved + 2 * kUnit).size(), 0u);
    heap.release(slot, moved);
    heap.release(slot, behind);
    heap.flush(slot);
    world.expect_empty();
}

TEST_F(HeapTest, ResizeKeepsTheBytes) {
    void *block = nullptr;
    Stamped last;
    for (const std::size_t size : {1, 15, 17, 100, 1000, 990, 16000, 17000, 200000, 90000, 20000, 300, 3}) {
        block = heap.resize(slot, block, size);
        ASSERT_NE(block, nullptr);
        last.block = static_cast<std::byte *>(block);
        EXPECT_TRUE(last.stamp == 0 || intact(last, size)) << size;
        last = stamp(block, size, 1000 + size);
    }
    heap.release(slot, block);
    heap.flush(slot);
    world.expect_empty();
}

TEST_F(HeapTest, AlignmentUpToMegabytes) {
    std::vector<void *> blocks;
    for (std::size_t align = 1; align <= 2 * kMiB; align *= 2) {
        for (const std::size_t size :
             {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{5000}, kUnit + 1}) {
            void *block = heap.allocate(slot, size, align);
            ASSERT_NE(block, nullptr) << size << " " << align;
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % align, 0u);
            EXPECT_GE(heap.usable(block), size);
            blocks.push_back(block);
        }
    }
    EXPECT_EQ(heap.allocate(slot, 16, 48), nullptr);
    EXPECT_EQ(heap.allocate(slot, 16, 64 * kMiB), nullptr);
    std::for_each(blocks.begin(), blocks.end(), [&](void *block) { heap.release(slot, block); });
    heap.flush(slot);
    world.expect_empty();
}

TEST_F(HeapTest, ZeroedAndTooLarge) {
    void *dirty = heap.allocate(slot, 5000);
    std::memset(dirty, 0xff, 5000);
    heap.release(slot, dirty);
    auto *const clean = static_cast<char *>(heap.allocate_zeroed(slot, 50, 100));
    EXPECT_EQ(clean, dirty);
    EXPECT_EQ(std::count(clean, clean + 5000, 0), 5000);
    EXPECT_EQ(heap.allocate_zeroed(slot, SIZE_MAX / 2, 3), nullptr);
    EXPECT_EQ(heap.allocate(slot, SIZE_MAX), nullptr);
    EXPECT_EQ(heap.allocate(slot, 32 * kMiB), nullptr);
    EXPECT_EQ(heap.resize(slot, clean, SIZE_MAX - 10), nullptr);
    EXPECT_EQ(heap.usable(clean), 5120u); // still there
    heap.release(slot, clean);
    heap.release(slot, nullptr);
}

TEST_F(HeapTest, OutOfMemoryAndBack) {
    for (const std::size_t size : {16, 100, 4000, 16384, 100000, 1000000}) {
        std::vector<Stamped> blocks;
        while (void *block = heap.allocate(slot, size)) {
            blocks.push_back(stamp(block, std::min<std::size_t>(size, 64), blocks.size() << 20));
        }
        EXPECT_GT(blocks.size() * size, 20 * kMiB) << size;
        for (const Stamped &block : blocks) {
            ASSERT_TRUE(intact(block));
            heap.release(slot, block.block);
        }
        heap.flush(slot);
        world.expect_empty();
    }
}

TEST_F(HeapTest, OtherClassesKeepNothingBackWhenMemoryIsShort) {
    std::vector<void *> small;
    for (unsigned i = 0; i < kClasses; ++i) {
        small.push_back(heap.allocate(slot, kSizeClasses[i].size)); // leaves a slab of each class, and full magazines
    }
    std::for_each(small.begin(), small.end(), [&](void *block) { heap.release(slot, block); });
    const Statistics now = heap.statistics(0);
    EXPECT_EQ(now.units - now.units_free, kClasses);
    void *const all = heap.allocate(slot, now.units * kUnit);
    EXPECT_NE(all, nullptr);
    heap.release(slot, all);
    world.expect_empty();
}

TEST_F(HeapTest, ComplainsOfWhatIsNoBlock) {
    auto *const block = static_cast<std::byte *>(heap.allocate(slot, 100));
    auto *const run = static_cast<std::byte *>(heap.allocate(slot, 2 * kUnit));
    int outside = 0;
    for (std::byte *wrong :
         {block + 16, block + 1, run + 16, run + kUnit, world.layout().base, reinterpret_cast<std::byte *>(&outside)}) {
        heap.release(slot, wrong);
        EXPECT_THAT(World::complaints(), HasSubstr(fmt::format(" {}", static_cast<void *>(wrong))));
    }
    EXPECT_EQ(heap.resize(slot, block + 16, 5), nullptr);
    expect_complaint("resized, but not the start of a block", block + 16);
    EXPECT_FALSE(heap.contains(&outside));
    EXPECT_EQ(heap.usable(&outside), 0u);
    EXPECT_TRUE(heap.contains(block));
    heap.release(slot, block);
    heap.release(slot, run);
    heap.flush(slot);
    world.expect_empty();
}

TEST_F(HeapTest, ComplainsOfWhatIsFreedTwice) {
    void *const block = heap.allocate(slot, 100);
    heap.release(slot, block);
    heap.release(slot, block);
    expect_complaint("freed twice", block);
    void *const other = heap.allocate(slot, 200), *const neighbour = heap.allocate(slot, 200);
    heap.release(slot, other);
    heap.flush(slot);
    heap.release(slot, other);
    heap.flush(slot);
    expect_complaint("freed twice", other);
    heap.release(slot, neighbour);
    void *const run = heap.allocate(slot, kUnit);
    heap.release(slot, run);
    heap.release(slot, run);
    expect_complaint("freed, but not allocated", run);
    heap.flush(slot);
    world.expect_empty();
}

TEST_F(HeapTest, SlotsAreLimitedAndUsedAgain) {
    std::vector<Slot *> slots;
    std::uint64_t owner = 2;
    while (Slot *more = heap.attach(0, owner)) {
        slots.push_back(more);
        ++owner;
    }
    EXPECT_EQ(slots.size() + 1, heap.slots_per_part());
    heap.detach(slots.back());
    EXPECT_EQ(heap.attach(0, owner), slots.back());
    World::die(5); // has the fourth
    EXPECT_EQ(heap.attach(0, owner + 1), slots[3]);
}

TEST_F(HeapTest, TheDeadLeaveTheirBlocks) {
    Slot *const doomed = heap.attach(0, 2);
    void *const leaked = heap.allocate(doomed, 64); // in the hands of the dead
    void *const freed = heap.allocate(doomed, 64);
    heap.release(doomed, freed);
    World::die(2);
    EXPECT_EQ(heap.recover(0, 1), 1u);
    EXPECT_EQ(heap.bytes_live(), 64u);
    EXPECT_EQ(heap.statistics(0).bytes_kept, 0u);
    heap.release(slot, leaked);
    heap.flush(slot);
    world.expect_empty();
}

} // namespace
} // namespace norma::rt::heap::test
