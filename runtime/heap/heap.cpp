// SPDX-License-Identifier: BSD-3-Clause
// Allocating and freeing.
#include "runtime/heap/heap.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "runtime/heap/inbox.hpp"
#include "runtime/heap/units.hpp"

namespace norma::rt::heap {

Heap::Heap(const Layout &layout, const Hooks &hooks) : geometry_(layout), hooks_(hooks) {
    assert(possible(layout));
    assert(hooks.alive != nullptr && hooks.lost != nullptr && hooks.broken != nullptr && hooks.gone != nullptr);
}

bool Heap::contains(const void *address) const {
    const auto offset = static_cast<std::size_t>(static_cast<const std::byte *>(address) - geometry_.layout.base);
    return offset < geometry_.layout.parts * geometry_.layout.part_bytes;
}

Part Heap::part_of(const void *address) const {
    const auto offset = static_cast<std::size_t>(static_cast<const std::byte *>(address) - geometry_.layout.base);
    return part(static_cast<std::uint32_t>(offset / geometry_.layout.part_bytes));
}

void *Heap::allocate(Slot *slot, std::size_t size, std::size_t align) {
    unsigned size_class;
    if (size <= kLargestSmall && align <= kGrain) [[likely]] {
        size_class = class_of(size);
    } else if (!std::has_single_bit(align)) {
        return nullptr;
    } else if (size <= kLargestSmall && align <= kLargestSmall) {
        size_class = class_of(size, align);
    } else {
        return allocate_run(*slot, size, align);
    }
    const Pile magazine = slot->magazine(size_class);
    if (magazine.size() != 0 && !some_died_.load(std::memory_order_relaxed)) [[likely]] {
        return magazine.pop();
    }
    return allocate_slowly(*slot, size_class);
}

void *Heap::allocate_zeroed(Slot *slot, std::size_t count, std::size_t size) {
    std::size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return nullptr;
    }
    void *block = allocate(slot, bytes);
    if (block != nullptr) {
        std::memset(block, 0, bytes);
    }
    return block;
}

// Asked last of all: a part of whose state some is lost looks all free.
bool Heap::whole(const Part &owner, const std::byte *start, std::size_t bytes) const {
    return !some_died_.load(std::memory_order_relaxed) || (!hooks_.lost(owner.number()) && !hooks_.gone(start, bytes));
}

void *Heap::pop_whole(const Part &owner, unsigned size_class, Pile pile) const {
    while (pile.size() != 0) {
        std::byte *const block = pile.pop();
        if (whole(owner, block, kSizeClasses[size_class].size)) {
            return block;
        }
    }
    return nullptr;
}

void *Heap::take_block(const Part &owner, unsigned size_class, Pile pile, std::uint32_t wanted, Slot &slot) const {
    void *block = pop_whole(owner, size_class, pile);
    while (block == nullptr && !hooks_.lost(owner.number()) && refill(owner, size_class, pile, wanted, slot)) {
        block = pop_whole(owner, size_class, pile);
    }
    return block;
}

void *Heap::allocate_slowly(Slot &slot, unsigned size_class) {
    const Part own = part(slot.part);
    const Pile magazine = slot.magazine(size_class);
    const std::uint32_t wanted = kSizeClasses[size_class].kept / 2;
    if (void *block = pop_whole(own, size_class, magazine); block != nullptr) {
        return block;
    }
    drain(slot.part);
    if (void *block = take_block(own, size_class, magazine, wanted, slot); block != nullptr) {
        return block;
    }
    make_room(slot);
    if (void *block = take_block(own, size_class, magazine, wanted, slot); block != nullptr) {
        return block;
    }
    return allocate_elsewhere(slot, [&](const Part &other) {
        Word count{0};
        std::byte *item = nullptr;
        return take_block(other, size_class, Pile(count, &item, 1), 1, slot);
    });
}

void *Heap::take_whole_run(const Part &owner, std::uint32_t units, std::size_t align) const {
    while (!hooks_.lost(owner.number())) {
        std::byte *const block = take_run(owner, units, align);
        if (block == nullptr || whole(owner, block, units * kUnit)) {
            return block;
        }
        retire_run(owner, block, units, hooks_.gone);
    }
    return nullptr;
}

void *Heap::allocate_run(Slot &slot, std::size_t size, std::size_t align) {
    if (size > geometry_.layout.part_bytes || align > geometry_.layout.part_bytes) {
        return nullptr;
    }
    const auto units = static_cast<std::uint32_t>(std::max<std::size_t>((size + kUnit - 1) / kUnit, 1));
    align = std::max(align, kUnit);
    drain(slot.part);
    void *block = take_whole_run(part(slot.part), units, align);
    if (block == nullptr) {
        make_room(slot);
        block = take_whole_run(part(slot.part), units, align);
    }
    if (block == nullptr) {
        block = allocate_elsewhere(slot, [&](const Part &other) { return take_whole_run(other, units, align); });
    }
    return block;
}

// By the other part's atomics, one block at a time: its pages travel. Its node may not have heard yet of a death that
// this one has heard of: then it cannot tell either what of its part is gone.
template <typename Take> void *Heap::allocate_elsewhere(const Slot &slot, Take take) {
    for (std::uint32_t i = 1; i < geometry_.layout.parts; ++i) {
        const std::uint32_t other = (slot.part + i) % geometry_.layout.parts;
        if (!hooks_.lost(other) && whole(part(other), part(other).base(), kPage)) {
            if (void *block = take(part(other)); block != nullptr) {
                return block;
            }
        }
    }
    return nullptr;
}

// What the dead have left, and what this thread keeps.
void Heap::make_room(Slot &slot) {
    recover(slot.part, part(slot.part).slot_owner(slot.number).load());
    flush(&slot);
}

void Heap::release(Slot *slot, void *address) {
    if (address == nullptr) {
        return;
    }
    auto *const block = static_cast<std::byte *>(address);
    const auto offset = static_cast<std::size_t>(block - slot->part_base);
    if (offset >= geometry_.layout.part_bytes) [[unlikely]] {
        release_slowly(*slot, block);
        return;
    }
    const std::size_t unit = offset / kUnit;
    const Descriptor now(reinterpret_cast<const Word *>(slot->descriptors)[unit].load(std::memory_order_relaxed));
    if (!now.is_slab()) [[unlikely]] {
        release_slowly(*slot, block);
        return;
    }
    const SizeClass &kind = kSizeClasses[now.value()];
    const auto in_unit = static_cast<std::uint32_t>(offset % kUnit);
    const Pile magazine = slot->magazine(static_cast<unsigned>(now.value()));
    if (kind.index_of(in_unit) * kind.size != in_unit || magazine.full() ||
        (magazine.size() != 0 && magazine.top() == block)) [[unlikely]] {
        release_slowly(*slot, block);
        return;
    }
    magazine.push(block);
}

void Heap::release_slowly(Slot &slot, std::byte *block) {
    if (!contains(block) || reinterpret_cast<std::uintptr_t>(block) % kGrain != 0) {
        hooks_.broken("freed, but not the start of a block", block);
        return;
    }
    const Part owner = part_of(block);
    if (hooks_.lost(owner.number())) {
        return;
    }
    if (owner.number() != slot.part) {
        release_to(slot, owner.number(), block);
        return;
    }
    const Descriptor now = owner.described(static_cast<std::uint32_t>(owner.offset_of(block) / kUnit));
    if (!now.is_slab()) {
        Returns(owner, hooks_).put(block);
        return;
    }
    const Pile magazine = slot.magazine(static_cast<unsigned>(now.value()));
    if (magazine.size() != 0 && magazine.top() == block) {
        hooks_.broken("freed twice", block);
    } else if (magazine.full()) {
        give_back(owner, magazine, magazine.size() / 2);
        magazine.push(block);
    } else {
        hooks_.broken("freed, but not the start of a block", block);
    }
}

// How large a block is that belongs elsewhere cannot be seen here. But what is large begins where a unit does; so a
// pile goes when such a one comes, which for small blocks happens about once per unit's worth of them.
void Heap::release_to(Slot &slot, std::uint32_t owner, std::byte *block) {
    const Pile pile = slot.outgoing(owner).pile();
    if (pile.full()) {
        send_or_give_back(slot, owner);
    }
    pile.push(block);
    if (part(owner).offset_of(block) % kUnit == 0) {
        send_or_give_back(slot, owner);
    }
}

void Heap::send_or_give_back(Slot &slot, std::uint32_t owner) {
    if (!send(slot, part(owner))) {
        give_back(part(owner), slot.outgoing(owner).pile(), 0);
    }
}

void Heap::give_back(const Part &to, Pile pile, std::uint32_t leave) {
    Returns returns(to, hooks_);
    while (pile.size() > leave) {
        std::byte *const block = pile.pop();
        if (!hooks_.lost(to.number())) {
            returns.put(block);
        }
    }
}

void Heap::drain(std::uint32_t number) {
    if (hooks_.lost(number)) {
        return;
    }
    const Part owner = part(number);
    Returns returns(owner, hooks_);
    for (std::uint32_t from = 0; from < geometry_.layout.parts; ++from) {
        if (from != number && !hooks_.lost(from)) {
            heap::drain(owner.inbox(from), returns);
        }
    }
}

bool Heap::resize_in_place(const Slot &slot, std::byte *block, std::size_t size) {
    const Part owner = part_of(block);
    const auto unit = static_cast<std::uint32_t>(owner.offset_of(block) / kUnit);
    const Descriptor now = owner.described(unit);
    if (now.is_slab()) {
        return size <= kLargestSmall && class_of(size) == now.value();
    }
    if (!now.is_run() || size <= kLargestSmall || size > geometry_.layout.part_bytes) {
        return false;
    }
    const auto units = static_cast<std::uint32_t>((size + kUnit - 1) / kUnit);
    const auto before = static_cast<std::uint32_t>(now.value());
    if (units <= before || whole(owner, block + before * kUnit, (units - before) * kUnit)) {
        return units == before || (owner.number() == slot.part && resize_run(owner, unit, before, units));
    }
    return false;
}

void *Heap::resize(Slot *slot, void *address, std::size_t size) {
    if (address == nullptr) {
        return allocate(slot, size);
    }
    auto *const block = static_cast<std::byte *>(address);
    if (block_at(block).data() != block) {
        hooks_.broken("resized, but not the start of a block", block);
        return nullptr;
    }
    if (resize_in_place(*slot, block, size)) {
        return block;
    }
    void *const moved = allocate(slot, size);
    if (moved != nullptr) {
        std::memcpy(moved, block, std::min(size, usable(block)));
        release(slot, block);
    }
    return moved;
}

std::size_t Heap::usable(const void *block) const {
    return block_at(block).size();
}

std::span<std::byte> Heap::block_at(const void *address) const {
    if (!contains(address)) {
        return {};
    }
    const Part owner = part_of(address);
    if (hooks_.lost(owner.number())) {
        return {};
    }
    const std::size_t offset = owner.offset_of(address);
    auto unit = static_cast<std::uint32_t>(offset / kUnit);
    Descriptor now = owner.described(unit);
    if (now.is_slab()) {
        const SizeClass &kind = kSizeClasses[now.value()];
        const std::uint32_t index = kind.index_of(static_cast<std::uint32_t>(offset % kUnit));
        return index < kind.blocks ? std::span(owner.unit(unit) + std::size_t{index} * kind.size, kind.size)
                                   : std::span<std::byte>();
    }
    if (now.is_inside()) {
        unit -= static_cast<std::uint32_t>(now.value());
        now = owner.described(unit);
    }
    return now.is_run() ? std::span(owner.unit(unit), now.value() * kUnit) : std::span<std::byte>();
}

} // namespace norma::rt::heap
