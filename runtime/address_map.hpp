// SPDX-License-Identifier: BSD-3-Clause
// Addresses: the coherent window, the part of it each node hands out, and one task's address map. Pure: the caller
// maps, unmaps and counts references from what these functions return.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include <norma/mach.h>

#include "dsm/core/core.hpp"
#include "rpc/wire.hpp"

namespace norma::rt {

inline constexpr std::uint64_t kMapPage = 4096;

constexpr bool page_aligned(std::uint64_t value) {
    return value % kMapPage == 0;
}
constexpr std::uint64_t page_floor(std::uint64_t value) {
    return value - value % kMapPage;
}

// A size rounded up to pages; no value if that wraps.
constexpr std::optional<std::uint64_t> page_ceil(std::uint64_t size) {
    const std::uint64_t rounded = page_floor(size + (kMapPage - 1));
    return rounded < size ? std::nullopt : std::optional(rounded);
}

struct Range {
    std::uint64_t start = 0;
    std::uint64_t size = 0;

    constexpr std::uint64_t end() const { return start + size; }
    constexpr bool contains(std::uint64_t address) const { return address - start < size; }
    // Also for [address, address + bytes) that wraps.
    constexpr bool contains(std::uint64_t address, std::uint64_t bytes) const {
        return address >= start && address - start <= size && bytes <= size - (address - start);
    }
    bool operator==(const Range &) const = default;
};

// The addresses that mean the same in every task of the job, cut into one slice per node. Bytes that the division
// leaves over belong to no slice, but may be asked for by address.
struct Window {
    std::uint64_t base = 0;
    std::uint64_t size = 0;
    std::uint32_t slices = 1;

    constexpr bool valid() const {
        return page_aligned(base) && page_aligned(size) && base + size >= base && slices > 0 && slice_bytes() > 0;
    }
    constexpr Range range() const { return {base, size}; }
    constexpr std::uint64_t slice_bytes() const { return page_floor(size / slices); }
    constexpr Range slice(std::uint32_t node) const { return {base + node * slice_bytes(), slice_bytes()}; }
    // The node whose slice an address is in.
    constexpr std::optional<std::uint32_t> slice_of(std::uint64_t address) const {
        if (!range().contains(address)) {
            return std::nullopt;
        }
        const std::uint64_t index = (address - base) / slice_bytes();
        return index < slices ? std::optional(static_cast<std::uint32_t>(index)) : std::nullopt;
    }
};

// The free addresses of one node's slice, for all tasks of the job. A range that was handed out comes back only by
// release(), which the caller calls when no task can map it any more.
class SliceAllocator {
  public:
    explicit SliceAllocator(Range slice);

    // First fit, at an address that has none of the bits of `mask`. size: whole pages, not 0. No value: no gap is big
    // enough.
    std::optional<std::uint64_t> allocate(std::uint64_t size, std::uint64_t mask = 0);
    // Keeps a range out of allocate(): a task asked for these addresses. Any part outside the slice is not looked at,
    // and parts that are taken already stay taken.
    void reserve(Range range);
    // Makes a range free; parts outside the slice are not looked at.
    void release(Range range);

    std::uint64_t free_bytes() const { return free_bytes_; }
    std::size_t gaps() const { return gaps_.size(); }

  private:
    Range clip(Range range) const;

    Range slice_;
    std::uint64_t free_bytes_ = 0;
    std::map<std::uint64_t, std::uint64_t> gaps_; // start -> end; neither touching nor overlapping
};

// What a task maps, and what nodes count the users of: a memory object as it was allocated (0), or a snapshot
// (docs/snapshots.md).
struct Stretch {
    dsm::ObjectId object;
    std::uint64_t number = 0;
    auto operator<=>(const Stretch &) const = default;
};

struct MapEntry {
    std::uint64_t start = 0;
    std::uint64_t size = 0;
    Stretch stretch;
    std::uint64_t offset = 0; // into the stretch
    vm_prot_t protection = VM_PROT_DEFAULT;
    vm_prot_t max_protection = VM_PROT_ALL;
    vm_inherit_t inheritance = VM_INHERIT_DEFAULT;
    vm_behavior_t behavior = VM_BEHAVIOR_DEFAULT;

    std::uint64_t end() const { return start + size; }
    std::uint64_t offset_of(std::uint64_t address) const { return offset + (address - start); }
    bool operator==(const MapEntry &) const = default;
};

// A piece of the map whose current protection is another one than before.
struct ProtectionChange {
    MapEntry entry; // as it is now, cut to the piece
    vm_prot_t before = VM_PROT_NONE;
    bool operator==(const ProtectionChange &) const = default;
};

// Entries are page-aligned, inside the window or the program's data, sorted and disjoint. Neighbours that differ in
// nothing but position are one entry, so splitting a region back and forth leaves no crumbs. Copying the map clones it.
//
// Ranges are rounded outward to pages. Every change is all or nothing. Common results: KERN_SUCCESS with nothing done
// for size 0, KERN_INVALID_ADDRESS for a range that wraps or leaves the window.
class AddressMap {
  public:
    // data: where the program has its variables, if they are coherent memory; outside the window.
    explicit AddressMap(Window window, Range data = {});

    // Not rounded: KERN_INVALID_ARGUMENT for what is unaligned or no valid attribute, KERN_PROTECTION_FAILURE for a
    // protection beyond the maximum, KERN_NO_SPACE for an overlap.
    kern_return_t insert(const MapEntry &entry);

    // Holes are fine. Appends what was mapped there to `removed`.
    kern_return_t remove(std::uint64_t address, std::uint64_t size, std::vector<MapEntry> &removed);

    // KERN_INVALID_ARGUMENT (no such protection), KERN_INVALID_ADDRESS (a hole), KERN_PROTECTION_FAILURE (beyond the
    // maximum of some page; the maximum itself never rises). Appends the pieces whose current protection changed.
    kern_return_t protect(std::uint64_t address, std::uint64_t size, bool set_maximum, vm_prot_t protection,
                          std::vector<ProtectionChange> &changed);

    // KERN_INVALID_ARGUMENT (no such attribute), KERN_INVALID_ADDRESS (a hole).
    kern_return_t inherit(std::uint64_t address, std::uint64_t size, vm_inherit_t inheritance);
    // The same. Only behaviors that last: WILLNEED and DONTNEED are no attributes but orders.
    kern_return_t set_behavior(std::uint64_t address, std::uint64_t size, vm_behavior_t behavior);
    // KERN_INVALID_ADDRESS unless there are no holes.
    kern_return_t check_mapped(std::uint64_t address, std::uint64_t size) const;

    // What is still mapped as `entry` says: the pieces of its range with the same pages of the same object.
    std::vector<MapEntry> parts_of(const MapEntry &entry) const;
    // The pieces that make up the pages of a range. KERN_INVALID_ADDRESS: a hole; KERN_PROTECTION_FAILURE: not all of
    // them allow `access`.
    kern_return_t pieces(std::uint64_t address, std::uint64_t size, vm_prot_t access,
                         std::vector<MapEntry> &found) const;

    // The entry that holds an address, or null. Pointers and spans into the map last until the next change.
    const MapEntry *lookup(std::uint64_t address) const;
    // The entry that holds an address, else the first one after it, else null.
    const MapEntry *region(std::uint64_t address) const;
    std::span<const MapEntry> entries() const { return entries_; }
    bool empty() const { return entries_.empty(); }
    // Whether any page of a stretch is (still) mapped.
    bool maps(const Stretch &stretch) const;
    // The pages that a range touches; none if it leaves the window.
    std::optional<Range> round_outward(std::uint64_t address, std::uint64_t size) const;

  private:
    using Iterator = std::vector<MapEntry>::iterator;

    Iterator first_ending_after(std::uint64_t address);
    bool possible(std::uint64_t address, std::uint64_t size) const;
    bool covered(Range range) const;
    template <class Change> kern_return_t change(std::uint64_t address, std::uint64_t size, Change change);
    void split_at(std::uint64_t address);
    void merge_around(Range range);

    Range window_, data_;
    std::vector<MapEntry> entries_;
};

inline constexpr std::size_t kStretchBytes = 24;
void put_stretch(rpc::Writer &writer, const Stretch &stretch);
Stretch get_stretch(rpc::Reader &reader);
void put_stretches(rpc::Writer &writer, std::span<const Stretch> stretches);
std::vector<Stretch> get_stretches(rpc::Reader &reader);

// Entries on the wire, for cloning a map to another node. A map that does not fit one record goes in several.
inline constexpr std::size_t kMapEntryBytes = 52;
void encode_entries(rpc::Writer &writer, std::span<const MapEntry> entries);
// Inserts what it reads. False if that is not a valid list of entries for this map, which is then unchanged; `reader`
// stands behind the list if true.
bool decode_entries(rpc::Reader &reader, AddressMap &map);

} // namespace norma::rt
