// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/heap/slabs.hpp"

#include <bit>

#include "runtime/heap/units.hpp"

namespace norma::rt::heap {
namespace {

std::uint64_t bit_of(std::uint32_t unit) {
    return std::uint64_t{1} << (unit % 64);
}

bool is_slab_of(const Part &part, std::uint32_t unit, unsigned size_class) {
    return part.described(unit) == Descriptor::slab(size_class);
}

bool is_empty(const Part &part, std::uint32_t unit, const SizeClass &kind) {
    for (std::uint32_t word = 0; word < kind.words; ++word) {
        if (part.blocks(unit)[word].load() != kind.all_free(word)) {
            return false;
        }
    }
    return true;
}

bool has_free(const Part &part, std::uint32_t unit, const SizeClass &kind) {
    for (std::uint32_t word = 0; word < kind.words; ++word) {
        if (part.blocks(unit)[word].load() != 0) {
            return true;
        }
    }
    return false;
}

bool take_all(const Part &part, std::uint32_t unit, const SizeClass &kind) {
    for (std::uint32_t word = 0; word < kind.words; ++word) {
        std::uint64_t expected = kind.all_free(word);
        if (!part.blocks(unit)[word].compare_exchange_strong(expected, 0)) {
            while (word-- > 0) {
                part.blocks(unit)[word].fetch_or(kind.all_free(word));
            }
            return false;
        }
    }
    return true;
}

// Looks again after a failure: who put the missing bits back meanwhile saw others missing, those that were taken here.
void give_back_if_empty(const Part &part, std::uint32_t unit, unsigned size_class) {
    const SizeClass &kind = kSizeClasses[size_class];
    while (is_slab_of(part, unit, size_class) && is_empty(part, unit, kind)) {
        if (take_all(part, unit, kind)) {
            part.descriptor(unit).store(0);
            part.partial(size_class)[unit / 64].fetch_and(~bit_of(unit));
            release_units(part, unit, 1);
            return;
        }
    }
}

void mark_partial(const Part &part, std::uint32_t unit, unsigned size_class) {
    Word &word = part.partial(size_class)[unit / 64];
    if ((word.load() & bit_of(unit)) == 0) {
        word.fetch_or(bit_of(unit));
    }
}

// The order matters: who frees a block sets its bit first and then looks for the mark.
void unmark_partial(const Part &part, std::uint32_t unit, unsigned size_class, Slot &slot) {
    slot.unit_in_hand.store(part.unit(unit), std::memory_order_release);
    part.partial(size_class)[unit / 64].fetch_and(~bit_of(unit));
    if (is_slab_of(part, unit, size_class) && has_free(part, unit, kSizeClasses[size_class])) {
        mark_partial(part, unit, size_class);
    }
    slot.unit_in_hand.store(nullptr, std::memory_order_release);
}

// The bits must be the caller's. A slab that became another one between two looks is found out by whoever holds some.
void put_bits(const Part &part, std::uint32_t unit, std::uint32_t word, std::uint64_t bits) {
    part.blocks(unit)[word].fetch_or(bits);
    if (const Descriptor now = part.described(unit); now.is_slab()) {
        mark_partial(part, unit, static_cast<unsigned>(now.value()));
        give_back_if_empty(part, unit, static_cast<unsigned>(now.value()));
    }
}

std::uint64_t lowest(std::uint64_t bits, std::uint32_t count) {
    while (static_cast<std::uint32_t>(std::popcount(bits)) > count) {
        bits &= ~(std::uint64_t{1} << (63 - std::countl_zero(bits)));
    }
    return bits;
}

// Returns how many blocks went from the slab to the pile.
std::uint32_t take_from(const Part &part, std::uint32_t unit, unsigned size_class, Pile pile, std::uint32_t wanted) {
    const SizeClass &kind = kSizeClasses[size_class];
    std::uint32_t taken = 0;
    for (std::uint32_t word = 0; word < kind.words && taken < wanted; ++word) {
        const std::uint64_t seen = part.blocks(unit)[word].load(std::memory_order_acquire);
        if (seen == 0) {
            continue;
        }
        const std::uint64_t pick = lowest(seen, wanted - taken);
        std::uint64_t bits = part.blocks(unit)[word].fetch_and(~pick) & pick;
        if (bits != 0 && !is_slab_of(part, unit, size_class)) {
            put_bits(part, unit, word, bits);
            return taken;
        }
        taken += static_cast<std::uint32_t>(std::popcount(bits));
        std::byte *const blocks = part.unit(unit) + std::size_t{word} * 64 * kind.size;
        for (; bits != 0; bits &= ~(std::uint64_t{1} << (63 - std::countl_zero(bits)))) { // the lowest comes out first
            pile.push(blocks + static_cast<std::size_t>(63 - std::countl_zero(bits)) * kind.size);
        }
    }
    return taken;
}

std::uint32_t take_from_slabs(const Part &part, unsigned size_class, Pile pile, std::uint32_t wanted, Slot &slot) {
    const Geometry &geometry = part.geometry();
    std::uint32_t taken = 0;
    for (std::uint32_t word = geometry.first / 64; word <= (geometry.units - 1) / 64; ++word) {
        std::uint64_t marks = part.partial(size_class)[word].load(std::memory_order_acquire);
        for (; marks != 0; marks &= marks - 1) {
            const std::uint32_t unit = word * 64 + static_cast<std::uint32_t>(std::countr_zero(marks));
            if (is_slab_of(part, unit, size_class)) {
                taken += take_from(part, unit, size_class, pile, wanted - taken);
            }
            if (taken >= wanted) {
                return taken;
            }
            unmark_partial(part, unit, size_class, slot);
        }
    }
    return taken;
}

// The new slab; 0: there is no room.
std::uint32_t make_slab(const Part &part, unsigned size_class) {
    const std::uint32_t unit = claim_units(part, 1, kUnit);
    if (unit == 0) {
        return 0;
    }
    const SizeClass &kind = kSizeClasses[size_class];
    for (std::uint32_t word = 0; word < kind.words; ++word) {
        part.blocks(unit)[word].store(kind.all_free(word), std::memory_order_relaxed);
    }
    part.descriptor(unit).store(Descriptor::slab(size_class).word());
    mark_partial(part, unit, size_class);
    return unit;
}

} // namespace

// Of a new slab some blocks are always taken: nobody would give back one that was never used.
bool refill(const Part &part, unsigned size_class, Pile pile, std::uint32_t wanted, Slot &slot) {
    std::uint32_t taken = take_from_slabs(part, size_class, pile, wanted, slot);
    while (taken == 0) {
        const std::uint32_t unit = make_slab(part, size_class);
        if (unit == 0) {
            return false;
        }
        taken = take_from(part, unit, size_class, pile, wanted); // others may have been quicker
    }
    return true;
}

void finish_refill(const Geometry &geometry, Slot &slot) {
    std::byte *const start = slot.unit_in_hand.load(std::memory_order_acquire);
    if (start == nullptr) {
        return;
    }
    const auto offset = static_cast<std::size_t>(start - geometry.layout.base);
    const Part part(geometry, static_cast<std::uint32_t>(offset / geometry.layout.part_bytes));
    const auto unit = static_cast<std::uint32_t>(part.offset_of(start) / kUnit);
    if (const Descriptor now = part.described(unit); now.is_slab()) {
        mark_partial(part, unit, static_cast<unsigned>(now.value()));
    }
    slot.unit_in_hand.store(nullptr, std::memory_order_release);
}

std::uint32_t blocks_free(const Part &part, std::uint32_t unit, unsigned size_class) {
    std::uint32_t free = 0;
    for (std::uint32_t word = 0; word < kSizeClasses[size_class].words; ++word) {
        free += static_cast<std::uint32_t>(std::popcount(part.blocks(unit)[word].load(std::memory_order_acquire)));
    }
    return free;
}

// In a part that is lost nobody knows any more what is free.
void Returns::complain(const char *what, const std::byte *block) const {
    if (!hooks_.lost(part_.number())) {
        hooks_.broken(what, block);
    }
}

void Returns::put(std::byte *block) {
    const auto unit = static_cast<std::uint32_t>(part_.offset_of(block) / kUnit);
    const Descriptor now = part_.described(unit);
    if (now.is_slab()) {
        put_into_slab(unit, static_cast<unsigned>(now.value()), block);
    } else if (!now.is_run() || block != part_.unit(unit) || !give_run(part_, unit, now)) {
        complain("freed, but not allocated", block);
    }
}

void Returns::put_into_slab(std::uint32_t unit, unsigned size_class, std::byte *block) {
    const SizeClass &kind = kSizeClasses[size_class];
    const auto offset = static_cast<std::uint32_t>(block - part_.unit(unit));
    const std::uint32_t index = kind.index_of(offset);
    if (index * kind.size != offset || index >= kind.blocks) {
        complain("freed, but not the start of a block", block);
        return;
    }
    const std::uint64_t bit = std::uint64_t{1} << (index % 64);
    if (unit != unit_ || index / 64 != word_ || (bits_ & bit) != 0) {
        commit();
        unit_ = unit;
        word_ = index / 64;
        size_class_ = size_class;
    }
    bits_ |= bit;
}

void Returns::commit() {
    if (bits_ == 0) {
        return;
    }
    const SizeClass &kind = kSizeClasses[size_class_];
    const std::uint64_t before = part_.blocks(unit_)[word_].fetch_or(bits_);
    if (const std::uint64_t twice = before & bits_; twice != 0) {
        const auto index = word_ * 64 + static_cast<std::uint32_t>(std::countr_zero(twice));
        complain("freed twice", part_.unit(unit_) + std::size_t{index} * kind.size);
    }
    mark_partial(part_, unit_, size_class_);
    if ((before | bits_) == kind.all_free(word_)) {
        give_back_if_empty(part_, unit_, size_class_);
    }
    bits_ = 0;
}

} // namespace norma::rt::heap
