// SPDX-License-Identifier: BSD-3-Clause
// What there is, counted anew each time: allocating and freeing count nothing.
#include "runtime/heap/heap.hpp"
#include "runtime/heap/inbox.hpp"
#include "runtime/heap/units.hpp"

namespace norma::rt::heap {
namespace {

// What is taken of a unit; a run counts where it begins.
std::size_t taken_of(const Part &part, std::uint32_t unit) {
    const Descriptor now = part.described(unit);
    if (now.is_run()) {
        return now.value() * kUnit;
    }
    if (!now.is_slab()) {
        return 0;
    }
    const auto size_class = static_cast<unsigned>(now.value());
    const SizeClass &kind = kSizeClasses[size_class];
    return std::size_t{kind.blocks - blocks_free(part, unit, size_class)} * kind.size;
}

} // namespace

std::size_t Heap::kept_in_slot(Slot &slot) const {
    std::size_t bytes = 0;
    for (unsigned size_class = 0; size_class < kClasses; ++size_class) {
        bytes += std::size_t{slot.magazine(size_class).size()} * kSizeClasses[size_class].size;
    }
    for (std::uint32_t to = 0; to < geometry_.layout.parts; ++to) {
        const Pile pile = slot.outgoing(to).pile();
        for (std::uint32_t place = 0; place < pile.size(); ++place) {
            bytes += usable(pile.item(place));
        }
    }
    return bytes;
}

std::size_t Heap::kept_in_inbox(const Inbox &inbox) const {
    std::size_t bytes = 0;
    for (const Inbox::Batch &batch : inbox.batches) {
        for (const Word &item : batch) {
            bytes += usable(reinterpret_cast<const void *>(item.load()));
        }
    }
    return bytes;
}

Statistics Heap::statistics(std::uint32_t number) const {
    const Part home = part(number);
    Statistics result;
    result.units = geometry_.units - geometry_.first;
    result.units_free = units_free(home);
    for (std::uint32_t unit = geometry_.first; unit < geometry_.units; ++unit) {
        result.bytes_taken += taken_of(home, unit);
    }
    for (std::uint32_t i = 0; i < geometry_.slots; ++i) {
        if (home.slot_owner(i).load() != 0) {
            result.bytes_kept += kept_in_slot(*home.slot(i));
        }
    }
    for (std::uint32_t from = 0; from < geometry_.layout.parts; ++from) {
        if (from != number && !hooks_.lost(from)) {
            result.bytes_kept += kept_in_inbox(home.inbox(from));
        }
    }
    return result;
}

std::size_t Heap::bytes_live() const {
    std::size_t taken = 0, kept = 0;
    for (std::uint32_t number = 0; number < geometry_.layout.parts; ++number) {
        if (!hooks_.lost(number)) {
            const Statistics one = statistics(number);
            taken += one.bytes_taken;
            kept += one.bytes_kept;
        }
    }
    return taken - kept;
}

} // namespace norma::rt::heap
