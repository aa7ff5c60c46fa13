// SPDX-License-Identifier: BSD-3-Clause
// Threads that come, go and die, and what they keep meanwhile.
#include "runtime/heap/heap.hpp"
#include "runtime/heap/inbox.hpp"

namespace norma::rt::heap {

// The next owner of a slot finds all that the last one left, also if that one has left it by dying, perhaps in here.
Slot *Heap::take_over(const Part &home, std::uint32_t number) {
    Slot &slot = *home.slot(number);
    slot.part = home.number();
    slot.number = number;
    slot.part_base = home.base();
    slot.descriptors = reinterpret_cast<std::byte *>(&home.descriptor(0));
    const auto reachable = [this](const void *address) {
        return address != nullptr && !hooks_.lost(part_of(address).number());
    };
    if (reachable(slot.batch_in_hand.load())) {
        finish_sending(slot);
    }
    if (reachable(slot.unit_in_hand.load())) {
        finish_refill(geometry_, slot);
    }
    return &slot;
}

Slot *Heap::attach(std::uint32_t number, std::uint64_t owner) {
    const Part home = part(number);
    for (std::uint32_t i = 0; i < geometry_.slots; ++i) {
        std::uint64_t before = home.slot_owner(i).load();
        if ((before == 0 || !hooks_.alive(before)) && home.slot_owner(i).compare_exchange_strong(before, owner)) {
            return take_over(home, i);
        }
    }
    return nullptr;
}

void Heap::detach(Slot *slot) {
    flush(slot);
    part(slot->part).slot_owner(slot->number).store(0);
}

void Heap::flush(Slot *slot) {
    for (unsigned size_class = 0; size_class < kClasses; ++size_class) {
        give_back(part(slot->part), slot->magazine(size_class), 0);
    }
    for (std::uint32_t to = 0; to < geometry_.layout.parts; ++to) {
        Pile pile = slot->outgoing(to).pile();
        if (pile.size() != 0 && hooks_.lost(to)) {
            slot->outgoing(to).count.store(0);
        } else if (pile.size() != 0) {
            send_or_give_back(*slot, to);
        }
    }
}

std::uint32_t Heap::recover(std::uint32_t number, std::uint64_t owner) {
    const Part home = part(number);
    std::uint32_t recovered = 0;
    for (std::uint32_t i = 0; i < geometry_.slots; ++i) {
        std::uint64_t before = home.slot_owner(i).load();
        if (before != 0 && !hooks_.alive(before) && home.slot_owner(i).compare_exchange_strong(before, owner)) {
            detach(take_over(home, i));
            ++recovered;
        }
    }
    return recovered;
}

} // namespace norma::rt::heap
