// SPDX-License-Identifier: BSD-3-Clause
#include "tests/exploration/state_view.hpp"

#include "dsm/core/sides.hpp"

namespace norma::exploration {

namespace {

// The core shows its users only what they need. The names of private members may be used in an explicit instantiation,
// and so the compiler, not this file, keeps up with them: a member that is renamed is an error here.
template <class Name, auto Pointer> struct Reveal {
    friend constexpr auto reveal(Name) { return Pointer; }
};
#define NORMA_REVEAL(Name, member)                                                                                     \
    struct Name {                                                                                                      \
        friend constexpr auto reveal(Name);                                                                            \
    };                                                                                                                 \
    template struct Reveal<Name, &dsm::member>

NORMA_REVEAL(Down, State::down_);
NORMA_REVEAL(Cache, State::cache_);
NORMA_REVEAL(Requests, State::requests_);
NORMA_REVEAL(Deferred, State::deferred_);
NORMA_REVEAL(Directory, State::directory_);
NORMA_REVEAL(Transactions, State::transactions_);
NORMA_REVEAL(FreeSlots, Slab<dsm::State::Transaction>::free_);
NORMA_REVEAL(Queue, State::queue_);
#undef NORMA_REVEAL

std::uint32_t bits(const dsm::NodeSet &set) {
    std::uint32_t result = 0;
    for (dsm::NodeId node = 0; node < kMostNodes; ++node) {
        result |= std::uint32_t{set[node]} << node;
    }
    return result;
}

template <class Get> GetView view_of_get(const Get &get) {
    return {.from = get.from,
            .request = get.request,
            .base = get.base,
            .count = get.count,
            .write = get.write,
            .have = get.have,
            .release = get.release};
}

CacheView cache_view(const dsm::State &state, dsm::PageIndex index) {
    const auto &page = (state.*reveal(Cache{})).look(index);
    CacheView result{.access = page.access,
                     .wants_read = (page.want & dsm::kWantRead) != 0,
                     .wants_write = (page.want & dsm::kWantWrite) != 0,
                     .epoch = page.epoch};
    if (page.request != dsm::kNoSlot) {
        const auto &request = (state.*reveal(Requests{}))[page.request];
        result.request = request.number;
        result.base = request.base;
        result.count = request.count;
        result.write = request.write;
    }
    return result;
}

template <class Transaction> TransactionView transaction_view(const Transaction &transaction, std::uint32_t slot) {
    return {.number = transaction.number,
            .slot = slot,
            .get = view_of_get(transaction.get),
            .mask = transaction.mask,
            .waiting = bits(transaction.waiting),
            .supplier = transaction.supplier,
            .upgrade = transaction.upgrade,
            .answering = transaction.phase == decltype(transaction.phase)::answering};
}

RecordView record_view(const dsm::State &state, dsm::PageIndex index) {
    const auto &page = (state.*reveal(Directory{})).look(index);
    const auto &queue = state.*reveal(Queue{});
    RecordView result{.owner = page.owner,
                      .sharers = bits(page.sharers),
                      .lost = page.lost,
                      .busy = page.busy != dsm::kNoSlot,
                      .transaction = {},
                      .queue = {}};
    if (result.busy) {
        result.transaction = transaction_view((state.*reveal(Transactions{}))[page.busy], page.busy);
    }
    for (std::uint32_t slot = page.queue_first; slot != dsm::kNoSlot; slot = queue[slot].next) {
        result.queue.add(view_of_get(queue[slot]));
    }
    return result;
}

} // namespace

StateView view_of(const dsm::State &state, std::uint64_t pages) {
    StateView result;
    result.down = bits(state.*reveal(Down{}));
    for (dsm::PageIndex page = 0; page < pages; ++page) {
        result.cache.add(cache_view(state, page));
        if (state.is_home()) {
            result.records.add(record_view(state, page));
        }
    }
    for (const std::uint32_t slot : (state.*reveal(Transactions{})).*reveal(FreeSlots{})) {
        result.free_slots.add(slot);
    }
    for (const dsm::Msg &forward : state.*reveal(Deferred{})) {
        result.deferred.add(forward);
    }
    return result;
}

} // namespace norma::exploration
