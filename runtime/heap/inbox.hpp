// SPDX-License-Identifier: BSD-3-Clause
// How blocks freed on another node come home: each part has an inbox for every other node, of batches of one page. So a
// page of an inbox is only ever on two nodes, and is out of use when one of them dies.
#pragma once

#include <array>

#include "runtime/heap/slabs.hpp"
#include "runtime/heap/slot.hpp"

namespace norma::rt::heap {

struct Inbox {
    static constexpr std::uint32_t kBatches = 8;
    static constexpr std::uint32_t kBatchItems = kPage / sizeof(Word);
    using Batch = std::array<Word, kBatchItems>;

    // Of each batch: empty, being filled (and out of which slot), or full; and how often it has been filled.
    alignas(kPage) std::array<Word, kBatches> states;
    alignas(kPage) std::array<Batch, kBatches> batches;
};
static_assert(sizeof(Inbox) == (1 + Inbox::kBatches) * kPage);

// Empties an outgoing pile of the slot into a batch of the owner's inbox. False: there is no room, nothing was done.
bool send(Slot &slot, const Part &to);

// What the dead owner of a slot had begun to send is sent as far as it got.
void finish_sending(Slot &slot);

// Gives back what is in the inbox. Any number of tasks may be at it at once, and die over it.
void drain(Inbox &inbox, Returns &returns);

} // namespace norma::rt::heap
