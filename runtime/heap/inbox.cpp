// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/heap/inbox.hpp"

namespace norma::rt::heap {
namespace {

// The word of a batch: how often it has been filled, the slot it is being filled from, and how far it is.
enum Phase : std::uint64_t { kEmpty = 0, kFilling = 1, kFull = 2 };
constexpr std::uint64_t kPhases = 3;
constexpr int kSlotShift = 2, kRoundShift = 20;

constexpr std::uint64_t kSlotMask = (std::uint64_t{1} << kRoundShift) - 1 - kPhases;

Phase phase_of(std::uint64_t state) {
    return static_cast<Phase>(state & kPhases);
}
std::uint64_t filling_next(std::uint64_t state, std::uint32_t slot) {
    const std::uint64_t round = (state >> kRoundShift) + 1;
    return round << kRoundShift | std::uint64_t{slot} << kSlotShift | kFilling;
}
std::uint64_t with_phase(std::uint64_t state, Phase phase) {
    return (state & ~kPhases) | phase;
}

// Only the slot that fills a batch may change its word meanwhile.
void fill(Inbox::Batch &batch, Word &state, std::uint64_t filling, Pile pile) {
    for (std::size_t i = 0; pile.size() != 0 && i < batch.size(); ++i) {
        batch[i].store(reinterpret_cast<std::uint64_t>(pile.pop()), std::memory_order_release);
    }
    state.store(with_phase(filling, kFull));
}

} // namespace

bool send(Slot &slot, const Part &to) {
    Inbox &inbox = to.inbox(slot.part);
    for (std::uint32_t i = 0; i < Inbox::kBatches; ++i) {
        Word &state = inbox.states[i];
        std::uint64_t seen = state.load();
        if (phase_of(seen) != kEmpty) {
            continue;
        }
        const std::uint64_t filling = filling_next(seen, slot.number);
        slot.batch_in_hand.store(&state, std::memory_order_release);
        const bool mine = state.compare_exchange_strong(seen, filling);
        if (mine) {
            fill(inbox.batches[i], state, filling, slot.outgoing(to.number()).pile());
        }
        slot.batch_in_hand.store(nullptr, std::memory_order_release);
        if (mine) {
            return true;
        }
    }
    return false;
}

void finish_sending(Slot &slot) {
    Word *const state = slot.batch_in_hand.load(std::memory_order_acquire);
    if (state == nullptr) {
        return;
    }
    std::uint64_t seen = state->load();
    if (phase_of(seen) == kFilling && (seen & kSlotMask) == std::uint64_t{slot.number} << kSlotShift) {
        state->store(with_phase(seen, kFull));
    }
    slot.batch_in_hand.store(nullptr, std::memory_order_release);
}

// Each item is taken by an exchange, so nobody returns one twice; the word says empty when all are taken, unless
// somebody else has said so, and perhaps filled it anew.
void drain(Inbox &inbox, Returns &returns) {
    for (std::uint32_t i = 0; i < Inbox::kBatches; ++i) {
        std::uint64_t seen = inbox.states[i].load();
        if (phase_of(seen) != kFull) {
            continue;
        }
        for (Word &item : inbox.batches[i]) {
            if (item.load(std::memory_order_relaxed) != 0) {
                if (const std::uint64_t block = item.exchange(0); block != 0) {
                    returns.put(reinterpret_cast<std::byte *>(block));
                }
            }
        }
        inbox.states[i].compare_exchange_strong(seen, with_phase(seen, kEmpty));
    }
}

} // namespace norma::rt::heap
