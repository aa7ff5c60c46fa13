// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/address_map.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>

namespace norma::rt {
namespace {

constexpr std::uint64_t kBase = 0x100000000000;
constexpr std::uint64_t kPages = 64;
constexpr std::uint64_t kTop = std::numeric_limits<std::uint64_t>::max();
constexpr Window kWindow{kBase, kPages *kMapPage, 4};

constexpr std::uint64_t page(std::uint64_t index) {
    return kBase + index * kMapPage;
}
constexpr std::uint64_t bytes(std::uint64_t pages) {
    return pages * kMapPage;
}

MapEntry entry(std::uint64_t first, std::uint64_t pages, std::uint64_t object = 1, std::uint64_t offset_pages = 0) {
    MapEntry made;
    made.start = page(first);
    made.size = bytes(pages);
    made.stretch = {.object = {1, 1, object}, .number = 0};
    made.offset = bytes(offset_pages);
    return made;
}

// ---- Window and SliceAllocator ----

TEST(AddressWindow, SlicesPartitionIt) {
    const Window window{kBase, bytes(10), 3};
    EXPECT_TRUE(window.valid());
    EXPECT_EQ(window.slice(0), (Range{page(0), bytes(3)}));
    EXPECT_EQ(window.slice(2), (Range{page(6), bytes(3)}));
    EXPECT_EQ(window.slice_of(page(0)), 0u);
    EXPECT_EQ(window.slice_of(page(3) - 1), 0u);
    EXPECT_EQ(window.slice_of(page(8)), 2u);
    EXPECT_EQ(window.slice_of(page(9)), std::nullopt) << "left over by the division";
    EXPECT_EQ(window.slice_of(page(10)), std::nullopt);
    EXPECT_EQ(window.slice_of(kBase - 1), std::nullopt);
}

TEST(AddressWindow, RefusesWhatCannotBe) {
    EXPECT_FALSE((Window{kBase + 1, bytes(4), 1}).valid());
    EXPECT_FALSE((Window{kBase, bytes(4) + 1, 1}).valid());
    EXPECT_FALSE((Window{kBase, bytes(4), 0}).valid());
    EXPECT_FALSE((Window{kBase, bytes(4), 5}).valid());
    EXPECT_FALSE((Window{page_floor(kTop), bytes(2), 1}).valid());
}

TEST(AddressWindow, RangeChecksDoNotWrap) {
    const Range range = kWindow.range();
    EXPECT_TRUE(range.contains(page(0), bytes(kPages)));
    EXPECT_TRUE(range.contains(range.end(), 0));
    EXPECT_FALSE(range.contains(page(0), bytes(kPages) + 1));
    EXPECT_FALSE(range.contains(page(1), kTop));
    EXPECT_FALSE(range.contains(kBase - 1, 1));
    EXPECT_EQ(page_ceil(0), 0u);
    EXPECT_EQ(page_ceil(1), kMapPage);
    EXPECT_EQ(page_ceil(page_floor(kTop)), page_floor(kTop));
    EXPECT_EQ(page_ceil(kTop), std::nullopt);
}

TEST(Slice, FirstFitAndCoalescing) {
    SliceAllocator slice({page(0), bytes(8)});
    EXPECT_EQ(slice.allocate(bytes(2)), page(0));
    EXPECT_EQ(slice.allocate(bytes(2)), page(2));
    EXPECT_EQ(slice.allocate(bytes(3)), page(4));
    EXPECT_EQ(slice.allocate(bytes(2)), std::nullopt);
    EXPECT_EQ(slice.allocate(bytes(1)), page(7));
    slice.release({page(0), bytes(2)});
    slice.release({page(4), bytes(3)});
    EXPECT_EQ(slice.gaps(), 2u);
    EXPECT_EQ(slice.allocate(bytes(3)), page(4)) << "the first gap is too small";
    slice.release({page(4), bytes(3)});
    slice.release({page(2), bytes(2)});
    EXPECT_EQ(slice.gaps(), 1u);
    EXPECT_EQ(slice.free_bytes(), bytes(7));
    EXPECT_EQ(slice.allocate(bytes(7)), page(0));
}

TEST(Slice, AddressesWithoutCertainBits) {
    SliceAllocator slice({0x203000, bytes(0x20)});
    EXPECT_EQ(slice.allocate(bytes(1), 0x3fff), 0x204000);
    EXPECT_EQ(slice.allocate(bytes(1), 0x3fff), 0x208000);
    EXPECT_EQ(slice.allocate(bytes(2), 0x1000), 0x206000) << "not the gap of one page before it, nor 0x205000";
    EXPECT_EQ(slice.allocate(bytes(1), 0x5000), 0x20a000);
    EXPECT_EQ(slice.allocate(bytes(1), 0xff), 0x203000);
    EXPECT_EQ(slice.allocate(bytes(1), 0x1fffff), std::nullopt);
    EXPECT_EQ(slice.allocate(bytes(1), 0x200000), std::nullopt);
    EXPECT_EQ(slice.allocate(bytes(1), kTop), std::nullopt);
    EXPECT_EQ(slice.allocate(bytes(0x10), 0x10000), 0x20b000);
}

TEST(Slice, ReservedAddressesAreNotHandedOut) {
    SliceAllocator slice({page(8), bytes(8)});
    slice.reserve({page(6), bytes(3)}); // sticks out below
    slice.reserve({page(11), bytes(2)});
    slice.reserve({page(12), bytes(2)}); // half of it is taken
    slice.reserve({page(30), bytes(2)});
    EXPECT_EQ(slice.free_bytes(), bytes(4));
    EXPECT_EQ(slice.allocate(bytes(2)), page(9));
    EXPECT_EQ(slice.allocate(bytes(2)), page(14));
    EXPECT_EQ(slice.allocate(bytes(1)), std::nullopt);
    slice.release({page(0), bytes(64)});
    EXPECT_EQ(slice.free_bytes(), bytes(8));
}

// ---- AddressMap ----

class Map : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(map_.insert(entry(4, 8)), KERN_SUCCESS); }
    kern_return_t remove(std::uint64_t address, std::uint64_t size) {
        removed_.clear();
        return map_.remove(address, size, removed_);
    }
    kern_return_t protect(std::uint64_t address, std::uint64_t size, vm_prot_t protection, bool maximum = false) {
        changed_.clear();
        return map_.protect(address, size, maximum, protection, changed_);
    }
    std::vector<MapEntry> all() const { return {map_.entries().begin(), map_.entries().end()}; }

    AddressMap map_{kWindow};
    std::vector<MapEntry> removed_;
    std::vector<ProtectionChange> changed_;
};

TEST_F(Map, InsertChecksItsEntry) {
    EXPECT_EQ(map_.insert(entry(3, 2)), KERN_NO_SPACE);
    EXPECT_EQ(map_.insert(entry(11, 1)), KERN_NO_SPACE);
    EXPECT_EQ(map_.insert(entry(0, 20)), KERN_NO_SPACE);
    EXPECT_EQ(map_.insert(entry(60, 5)), KERN_INVALID_ADDRESS);
    EXPECT_EQ(map_.insert(entry(kPages, 1)), KERN_INVALID_ADDRESS);
    const auto with = [](auto change) {
        MapEntry made = entry(20, 1);
        change(made);
        return made;
    };
    EXPECT_EQ(map_.insert(with([](auto &e) { e.start += 1; })), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(map_.insert(with([](auto &e) { e.size += 1; })), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(map_.insert(with([](auto &e) { e.offset = 1; })), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(map_.insert(with([](auto &e) { e.offset = page_floor(kTop); })), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(map_.insert(with([](auto &e) { e.protection = 8; })), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(map_.insert(with([](auto &e) { e.inheritance = 3; })), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(map_.insert(with([](auto &e) { e.behavior = 6; })), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(map_.insert(with([](auto &e) { e.max_protection = VM_PROT_READ; })), KERN_PROTECTION_FAILURE);
    EXPECT_EQ(map_.insert(with([](auto &e) { e.start = page_floor(kTop); })), KERN_INVALID_ADDRESS);
    EXPECT_EQ(map_.insert(with([](auto &e) { e.size = page_floor(kTop); })), KERN_INVALID_ADDRESS);
    EXPECT_EQ(map_.insert(with([](auto &e) { e.size = 0; })), KERN_SUCCESS);
    EXPECT_EQ(all(), std::vector{entry(4, 8)});
}

TEST_F(Map, NeighboursMergeIfTheyContinue) {
    EXPECT_EQ(map_.insert(entry(12, 2, 1, 8)), KERN_SUCCESS);
    EXPECT_EQ(map_.insert(entry(14, 2, 2, 10)), KERN_SUCCESS); // another object
    EXPECT_EQ(map_.insert(entry(16, 2, 2, 13)), KERN_SUCCESS); // not the next page of it
    EXPECT_EQ(all(), (std::vector{entry(4, 10), entry(14, 2, 2, 10), entry(16, 2, 2, 13)}));
}

TEST_F(Map, InsertFillsAGapAndJoinsBothSides) {
    EXPECT_EQ(remove(page(6), bytes(2)), KERN_SUCCESS);
    EXPECT_EQ(map_.insert(entry(6, 2, 1, 2)), KERN_SUCCESS);
    EXPECT_EQ(all(), std::vector{entry(4, 8)});
}

TEST_F(Map, RemoveSplitsAndReturnsThePieces) {
    EXPECT_EQ(map_.insert(entry(20, 2, 2)), KERN_SUCCESS);
    EXPECT_EQ(remove(page(6) + 100, bytes(1)), KERN_SUCCESS); // rounded outward to two pages
    EXPECT_EQ(removed_, std::vector{entry(6, 2, 1, 2)});
    EXPECT_EQ(all(), (std::vector{entry(4, 2), entry(8, 4, 1, 4), entry(20, 2, 2)}));
    EXPECT_EQ(remove(page(6), bytes(2)), KERN_SUCCESS) << "twice is fine";
    EXPECT_TRUE(removed_.empty());
    EXPECT_TRUE(map_.maps({.object = {1, 1, 1}, .number = 0}));
    EXPECT_EQ(remove(page(0), bytes(21)), KERN_SUCCESS);
    EXPECT_EQ(removed_, (std::vector{entry(4, 2), entry(8, 4, 1, 4), entry(20, 1, 2)}));
    EXPECT_EQ(all(), std::vector{entry(21, 1, 2, 1)});
    EXPECT_FALSE(map_.maps({.object = {1, 1, 1}, .number = 0}));
}

TEST_F(Map, PiecesOfARange) {
    EXPECT_EQ(map_.insert(entry(12, 2, 2)), KERN_SUCCESS);
    EXPECT_EQ(protect(page(13), 1, VM_PROT_READ), KERN_SUCCESS);
    std::vector<MapEntry> found;
    EXPECT_EQ(map_.pieces(page(10) + 5, bytes(2), VM_PROT_WRITE, found), KERN_SUCCESS);
    EXPECT_EQ(found, (std::vector{entry(10, 2, 1, 6), entry(12, 1, 2)}));
    found.clear();
    EXPECT_EQ(map_.pieces(page(10), bytes(4), VM_PROT_WRITE, found), KERN_PROTECTION_FAILURE);
    EXPECT_EQ(map_.pieces(page(13), bytes(2), VM_PROT_READ, found), KERN_INVALID_ADDRESS);
    EXPECT_EQ(map_.pieces(page(4), kTop, VM_PROT_READ, found), KERN_INVALID_ADDRESS);
}

TEST_F(Map, PartsThatAreStillThere) {
    EXPECT_EQ(map_.parts_of(entry(5, 3, 1, 1)), (std::vector{entry(5, 3, 1, 1)}));
    EXPECT_EQ(remove(page(6), bytes(1)), KERN_SUCCESS);
    EXPECT_EQ(map_.insert(entry(6, 1, 2)), KERN_SUCCESS);
    EXPECT_EQ(map_.parts_of(entry(4, 8)), (std::vector{entry(4, 2), entry(7, 5, 1, 3)}));
    EXPECT_TRUE(map_.parts_of(entry(4, 8, 1, 1)).empty()) << "other pages of it";
    EXPECT_TRUE(map_.parts_of(entry(20, 2)).empty());
}

TEST_F(Map, RangesAreChecked) {
    const std::array<Range, 5> outside{
        {{kBase - 1, 10}, {page(kPages) - 1, 2}, {page(4), kTop}, {page(4), kTop - page(4) + 1}, {kTop, 1}}};
    for (const Range &range : outside) {
        EXPECT_EQ(remove(range.start, range.size), KERN_INVALID_ADDRESS);
        EXPECT_EQ(protect(range.start, range.size, VM_PROT_READ), KERN_INVALID_ADDRESS);
        EXPECT_EQ(map_.inherit(range.start, range.size, VM_INHERIT_SHARE), KERN_INVALID_ADDRESS);
    }
    EXPECT_EQ(remove(0, 0), KERN_SUCCESS);
    EXPECT_EQ(protect(0, 0, VM_PROT_READ), KERN_SUCCESS);
    EXPECT_EQ(map_.inherit(0, 0, VM_INHERIT_SHARE), KERN_SUCCESS);
    EXPECT_EQ(protect(page(4), 1, 8), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(protect(page(4), 1, -1), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(map_.inherit(page(4), 1, 3), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(all(), std::vector{entry(4, 8)});
}

TEST_F(Map, ProtectIsAllOrNothing) {
    EXPECT_EQ(protect(page(3), bytes(2), VM_PROT_READ), KERN_INVALID_ADDRESS);
    EXPECT_EQ(protect(page(11), bytes(2), VM_PROT_READ), KERN_INVALID_ADDRESS);
    EXPECT_EQ(protect(page(10), bytes(2), VM_PROT_READ, true), KERN_SUCCESS);
    const auto before = all();
    EXPECT_EQ(protect(page(4), bytes(8), VM_PROT_DEFAULT), KERN_PROTECTION_FAILURE);
    EXPECT_EQ(protect(page(4), bytes(8), VM_PROT_ALL, true), KERN_PROTECTION_FAILURE) << "it never rises";
    EXPECT_TRUE(changed_.empty());
    EXPECT_EQ(all(), before);
}

TEST_F(Map, ProtectTellsWhatChanged) {
    EXPECT_EQ(protect(page(5), bytes(2), VM_PROT_READ), KERN_SUCCESS);
    MapEntry piece = entry(5, 2, 1, 1);
    piece.protection = VM_PROT_READ;
    EXPECT_EQ(changed_, (std::vector{ProtectionChange{piece, VM_PROT_DEFAULT}}));
    EXPECT_EQ(map_.entries().size(), 3u);
    EXPECT_EQ(protect(page(4), bytes(8), VM_PROT_READ), KERN_SUCCESS);
    EXPECT_EQ(changed_.size(), 2u) << "the middle was like that already";
    EXPECT_EQ(map_.entries().size(), 1u);
}

TEST_F(Map, MaximumClipsTheCurrent) {
    EXPECT_EQ(protect(page(4), bytes(4), VM_PROT_READ, true), KERN_SUCCESS);
    ASSERT_EQ(changed_.size(), 1u);
    EXPECT_EQ(changed_[0].entry.protection, VM_PROT_READ);
    EXPECT_EQ(changed_[0].entry.max_protection, VM_PROT_READ);
    EXPECT_EQ(protect(page(8), bytes(4), VM_PROT_DEFAULT, true), KERN_SUCCESS);
    EXPECT_TRUE(changed_.empty());
    EXPECT_EQ(map_.lookup(page(8))->max_protection, VM_PROT_DEFAULT);
}

TEST_F(Map, InheritSplitsAndJoins) {
    EXPECT_EQ(map_.inherit(page(3), bytes(3), VM_INHERIT_NONE), KERN_INVALID_ADDRESS);
    EXPECT_EQ(all(), std::vector{entry(4, 8)});
    EXPECT_EQ(map_.inherit(page(5) + 1, 1, VM_INHERIT_NONE), KERN_SUCCESS);
    ASSERT_EQ(map_.entries().size(), 3u);
    EXPECT_EQ(map_.entries()[1].start, page(5));
    EXPECT_EQ(map_.entries()[1].size, bytes(1));
    EXPECT_EQ(map_.entries()[1].inheritance, VM_INHERIT_NONE);
    EXPECT_EQ(map_.inherit(page(5), 1, VM_INHERIT_COPY), KERN_SUCCESS);
    EXPECT_EQ(all(), std::vector{entry(4, 8)});
}

TEST_F(Map, LookupAndRegion) {
    EXPECT_EQ(map_.lookup(page(4) - 1), nullptr);
    EXPECT_EQ(map_.lookup(page(12)), nullptr);
    ASSERT_NE(map_.lookup(page(12) - 1), nullptr);
    EXPECT_EQ(map_.lookup(page(7) + 5)->offset_of(page(7) + 5), bytes(3) + 5);
    EXPECT_EQ(map_.region(0)->start, page(4));
    EXPECT_EQ(map_.region(page(7))->start, page(4));
    EXPECT_EQ(map_.region(page(12)), nullptr);
}

// What lies next to each other in an object's file need not be the same memory.
TEST_F(Map, StretchesOfAnObjectAreNotJoined) {
    MapEntry snapshot = entry(12, 2, 1, 8);
    snapshot.stretch.number = 1;
    EXPECT_EQ(map_.insert(snapshot), KERN_SUCCESS);
    EXPECT_EQ(map_.entries().size(), 2u);
    EXPECT_TRUE(map_.maps(snapshot.stretch));
    EXPECT_EQ(remove(page(12), bytes(2)), KERN_SUCCESS);
    EXPECT_FALSE(map_.maps(snapshot.stretch));
    EXPECT_TRUE(map_.maps({.object = {1, 1, 1}, .number = 0}));
}

TEST_F(Map, CopyIsAClone) {
    AddressMap child = map_;
    EXPECT_EQ(remove(page(4), bytes(8)), KERN_SUCCESS);
    EXPECT_TRUE(map_.empty());
    EXPECT_EQ(child.entries().size(), 1u);
}

TEST_F(Map, TravelsOnTheWire) {
    EXPECT_EQ(protect(page(5), bytes(2), VM_PROT_READ), KERN_SUCCESS);
    EXPECT_EQ(map_.inherit(page(8), bytes(2), VM_INHERIT_NONE), KERN_SUCCESS);
    rpc::Writer writer;
    encode_entries(writer, map_.entries());
    EXPECT_EQ(writer.bytes().size(), 4 + map_.entries().size() * kMapEntryBytes);
    writer.put(std::uint8_t{42}); // the list may be a part of a record
    rpc::Reader reader(writer.bytes());
    AddressMap copy(kWindow);
    ASSERT_TRUE(decode_entries(reader, copy));
    EXPECT_EQ(reader.get<std::uint8_t>(), 42);
    EXPECT_TRUE(std::ranges::equal(copy.entries(), map_.entries()));
    for (std::size_t cut = 0; cut + 1 < writer.bytes().size(); ++cut) {
        rpc::Reader part(std::span(writer.bytes()).first(cut));
        AddressMap unchanged(kWindow);
        ASSERT_FALSE(decode_entries(part, unchanged)) << cut;
        ASSERT_TRUE(unchanged.empty());
    }
}

TEST_F(Map, BadEntriesOnTheWireAreRefused) {
    const auto refused = [&](const MapEntry &bad) {
        rpc::Writer writer;
        encode_entries(writer, std::vector{entry(30, 1), bad});
        rpc::Reader reader(writer.bytes());
        const auto before = all();
        return !decode_entries(reader, map_) && all() == before;
    };
    MapEntry bad = entry(40, 1);
    EXPECT_TRUE(refused(entry(5, 1))) << "overlaps";
    EXPECT_TRUE(refused(entry(kPages, 1)));
    EXPECT_TRUE(refused(entry(40, 0)));
    bad.inheritance = 200;
    EXPECT_TRUE(refused(bad));
    bad = entry(40, 1);
    bad.protection = 255;
    EXPECT_TRUE(refused(bad));
    bad = entry(40, 1);
    bad.behavior = 77;
    EXPECT_TRUE(refused(bad));
    EXPECT_FALSE(refused(entry(40, 1)));
}

} // namespace
} // namespace norma::rt
