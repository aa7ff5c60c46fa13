// SPDX-License-Identifier: BSD-3-Clause
// Where everything is in a part: its metadata in front, each kind in pages of its own, then the units that are handed
// out. All-zero metadata means: everything is free, nobody is there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/heap/size_classes.hpp"

namespace norma::rt::heap {

// The region [base, base + parts * part_bytes), at the same address in every task. One part per node; base and
// part_bytes are multiples of kUnit.
struct Layout {
    std::byte *base;
    std::uint32_t parts;
    std::size_t part_bytes;
};

// All metadata is made of these, so that a task may die between any two instructions, and any node may look.
using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 8);

struct Slot;
struct Inbox;

// What a unit is used for. A unit that is free, or about to be made something of, has descriptor 0.
class Descriptor {
  public:
    constexpr explicit Descriptor(std::uint64_t word) : word_(word) {}
    static constexpr Descriptor slab(unsigned size_class) { return Descriptor(size_class << 2 | 1); }
    static constexpr Descriptor run(std::uint32_t units) { return Descriptor(std::uint64_t{units} << 2 | 2); }
    static constexpr Descriptor inside(std::uint32_t distance) { return Descriptor(std::uint64_t{distance} << 2 | 3); }

    bool is_slab() const { return (word_ & 3) == 1; }
    bool is_run() const { return (word_ & 3) == 2; }    // its first unit
    bool is_inside() const { return (word_ & 3) == 3; } // another unit of a run, value() units behind the first
    std::uint64_t value() const { return word_ >> 2; }  // size class, units, or distance
    std::uint64_t word() const { return word_; }
    bool operator==(const Descriptor &) const = default;

  private:
    std::uint64_t word_;
};

// The same for all parts.
struct Geometry {
    explicit Geometry(const Layout &where);

    // Whether anything is left for blocks in parts of this kind.
    static bool possible(const Layout &where);

    Layout layout;
    std::uint32_t units; // of a part, with those that hold its metadata
    std::uint32_t first; // the first one that is handed out
    std::uint32_t slots;
    std::size_t slot_bytes;
    std::size_t used_at, descriptors_at, partial_at, partial_bytes, blocks_at, owners_at, slots_at, inboxes_at;
};

// One part, as a cheap value.
class Part {
  public:
    Part(const Geometry &geometry, std::uint32_t number)
        : geometry_(&geometry), number_(number), base_(geometry.layout.base + number * geometry.layout.part_bytes) {}

    const Geometry &geometry() const { return *geometry_; }
    std::uint32_t number() const { return number_; }
    std::byte *base() const { return base_; }
    std::byte *unit(std::uint32_t unit) const { return base_ + unit * kUnit; }
    std::size_t offset_of(const void *address) const {
        return static_cast<std::size_t>(static_cast<const std::byte *>(address) - base_);
    }

    // The first word of `used` where something may be free. A guess, that saves looking at what is full.
    Word &first_free() const { return *words(0); }
    // One bit per unit, set: taken. The units of the metadata have bits too, which nobody looks at.
    Word *used() const { return words(geometry_->used_at); }
    Word &descriptor(std::uint32_t unit) const { return words(geometry_->descriptors_at)[unit]; }
    Descriptor described(std::uint32_t unit) const { return Descriptor(descriptor(unit).load()); }
    // One bit per unit, set: a slab of this class that has free blocks. Also set for some that have none, or have
    // become something else since.
    Word *partial(unsigned size_class) const {
        return words(geometry_->partial_at + size_class * geometry_->partial_bytes);
    }
    // One bit per block of a slab, set: free.
    Word *blocks(std::uint32_t unit) const { return words(geometry_->blocks_at + unit * (kUnit / kGrain / 8)); }
    // Whose slot it is; 0: nobody's.
    Word &slot_owner(std::uint32_t slot) const { return words(geometry_->owners_at)[slot]; }
    Slot *slot(std::uint32_t slot) const {
        return reinterpret_cast<Slot *>(base_ + geometry_->slots_at + slot * geometry_->slot_bytes);
    }
    // What tasks of node `from` have freed here.
    Inbox &inbox(std::uint32_t from) const;

  private:
    Word *words(std::size_t at) const { return reinterpret_cast<Word *>(base_ + at); }

    const Geometry *geometry_;
    std::uint32_t number_;
    std::byte *base_;
};

} // namespace norma::rt::heap
