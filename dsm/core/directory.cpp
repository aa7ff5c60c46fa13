// SPDX-License-Identifier: BSD-3-Clause
// The directory side: who holds what, and the transactions that change it, one at a time for each page.
#include "dsm/core/sides.hpp"

#include <utility>

namespace norma::dsm {

void DirectorySide::on_get(NodeId from, const Msg &msg) {
    accept({.request = msg.request,
            .base = msg.base,
            .count = msg.count,
            .next = kNoSlot,
            .from = from,
            .write = msg.write,
            .have = msg.have,
            .release = false});
}

// Page by page: who else holds them, and so what has to be done, may differ.
void DirectorySide::on_release(NodeId from, const Msg &msg) {
    for_each_bit(msg.mask, [&](std::uint32_t i) {
        accept({.request = 0,
                .base = msg.base + i,
                .count = 1,
                .next = kNoSlot,
                .from = from,
                .write = false,
                .have = false,
                .release = true});
    });
}

void DirectorySide::accept(const Get &get) {
    const std::size_t place = s_.place_of(s_.stretch_of(get.base));
    if (place == s_.line_.size() || s_.line_[place].ended) {
        refuse(get, false); // nobody waits for it any more
    } else if (s_.directory_.at(get.base).busy == kNoSlot) {
        start(get);
    } else {
        wait(get.base, get);
    }
}

void DirectorySide::refuse(const Get &get, bool lost) {
    if (lost) { // which it remembers until it is told to forget
        s_.line_[s_.place_of(s_.stretch_of(get.base))].given.set(get.from);
    }
    if (!get.release) {
        send_to(get.from, {.type = MsgType::fail,
                           .request = get.request,
                           .base = get.base,
                           .mask = low_bits(lost ? 1 : get.count),
                           .lost = lost});
    }
}

void DirectorySide::start(Get get) {
    Page &page = s_.directory_.at(get.base);
    NORMA_CHECK(page.busy == kNoSlot);
    if (get.release) {
        start_removal(get);
        return;
    }
    if (!prepare(get) || (get.request == 0 && get.from == s_.self_)) {
        return; // it waits, or all that was wanted was to settle the page
    }
    const bool here = get.from == s_.self_ && holds(page, s_.self_); // perhaps only since the get was made
    if (here) {
        get.have = true;
    } else if (!get.have && holds(page, get.from)) {
        forget(page, get.from); // it knows best what it holds; without this it would be granted nothing for ever
    }
    if (page.lost) {
        refuse(get, true);
        return;
    }
    if (here && !get.write) {
        own_copy_.on_here(get.request, get.base);
        return;
    }
    Transaction opening{.number = s_.next_transaction_++,
                        .get = get,
                        .mask = 1,
                        .waiting = {},
                        .supplier = supplier_of(page, get.write),
                        .phase = State::Phase::invalidating,
                        .upgrade = holds(page, get.from)};
    if (opening.upgrade) {
        opening.supplier = get.from;
    }
    if (get.write) {
        opening.waiting = rivals(page, opening.supplier);
    }
    opening.mask |= extras(opening);
    begin(opening);
}

// A holder wants to be rid of its copy. If the home has one, it may simply go. Otherwise the home takes the page as if
// a thread there wanted to write: another node's copy would do too, but that node might die while this copy goes.
void DirectorySide::start_removal(const Get &get) {
    const Page &page = s_.directory_.at(get.base);
    if (page.lost || !holds(page, get.from) || get.from == s_.self_) {
        return;
    }
    if (!holds(page, s_.self_)) {
        own_copy_.fetch(get.base);
        return;
    }
    Transaction opening{.number = s_.next_transaction_++,
                        .get = get,
                        .mask = 1,
                        .waiting = {},
                        .supplier = get.from,
                        .phase = State::Phase::invalidating,
                        .upgrade = false};
    opening.waiting.set(get.from);
    begin(opening);
}

void DirectorySide::begin(const Transaction &opening) {
    const Get &get = opening.get;
    const std::uint32_t slot = s_.transactions_.take(opening);
    Transaction &transaction = s_.transactions_[slot];
    give(transaction);
    for_each_bit(transaction.mask, [&](std::uint32_t i) {
        Page &covered = s_.directory_.at(get.base + i);
        covered.busy = slot;
        if (transaction.upgrade) {
            // The requester has the bytes, so it is the owner from now on, whoever acknowledges or dies first.
            covered.sharers.set(covered.owner);
            covered.owner = get.from;
            covered.sharers.reset(get.from);
        }
    });
    if (transaction.waiting.none()) {
        advance(slot);
        return;
    }
    const Msg inval{.type = MsgType::inval, .txn = transaction.number, .base = get.base, .mask = transaction.mask};
    for_each_node(transaction.waiting, [&](NodeId node) { send_to(node, inval); });
}

// The further pages of the window that the same messages can carry.
std::uint64_t DirectorySide::extras(const Transaction &transaction) const {
    std::uint64_t mask = 0;
    for (std::uint32_t i = 1; i < transaction.get.count; ++i) {
        mask |= std::uint64_t{fits(transaction, transaction.get.base + i)} << i;
    }
    return mask;
}

bool DirectorySide::fits(const Transaction &transaction, PageIndex index) const {
    const Page &page = s_.directory_.look(index);
    const Get &get = transaction.get;
    // Between the end of one transaction and the next the page is free, but not for those who did not wait.
    const bool free = page.busy == kNoSlot && page.queue_first == kNoSlot;
    if (!free || page.lost || holds(page, get.from) != transaction.upgrade) {
        return false;
    }
    if (!page.settled || (get.write && has_reader(index))) {
        return false;
    }
    if (!transaction.upgrade && supplier_of(page, get.write) != transaction.supplier) {
        return false;
    }
    return !get.write || rivals(page, transaction.supplier) == transaction.waiting;
}

// The remote holders beside `keeper` (who will hold or supply the page): those a write has to wait for.
NodeSet DirectorySide::rivals(const Page &page, NodeId keeper) const {
    NodeSet others = page.sharers;
    others.set(page.owner);
    others.reset(keeper);
    others.reset(s_.self_);
    return others;
}

// A reader is served by the home where the home has a copy: one hop less.
NodeId DirectorySide::supplier_of(const Page &page, bool write) const {
    return !write && holds(page, s_.self_) ? s_.self_ : page.owner;
}

void DirectorySide::on_inval_ack(NodeId from, const Msg &msg) {
    const std::uint32_t slot = find_transaction(msg);
    if (slot == kNoSlot || !s_.transactions_[slot].waiting[from]) {
        ++s_.late_;
        return;
    }
    Transaction &transaction = s_.transactions_[slot];
    if (msg.mask != transaction.mask) {
        ++s_.rejected_;
        return;
    }
    transaction.waiting.reset(from);
    for_each_bit(transaction.mask, [&](std::uint32_t i) { s_.directory_.at(msg.base + i).sharers.reset(from); });
    if (transaction.waiting.none()) {
        advance(slot);
    }
}

// No remote copy stands in the way any more.
void DirectorySide::advance(std::uint32_t slot) {
    Transaction &transaction = s_.transactions_[slot];
    if (s_.down_[transaction.get.from]) {
        close(slot);
    } else if (transaction.get.release) {
        remove(slot);
    } else if (transaction.upgrade) {
        grant(slot);
    } else if (transaction.supplier == s_.self_) {
        supply(slot);
    } else if (s_.down_[transaction.supplier]) {
        restart(slot);
    } else {
        forward(transaction);
    }
}

void DirectorySide::remove(std::uint32_t slot) {
    const Get &get = s_.transactions_[slot].get;
    forget(s_.directory_.at(get.base), get.from);
    close(slot);
}

// The record says already that the requester is the owner.
void DirectorySide::grant(std::uint32_t slot) {
    const Transaction &transaction = s_.transactions_[slot];
    drop_own_copy(transaction);
    const Msg msg{.type = MsgType::grant,
                  .write = true,
                  .txn = transaction.number,
                  .request = transaction.get.request,
                  .base = transaction.get.base,
                  .mask = transaction.mask};
    if (transaction.get.from == s_.self_) {
        own_copy_.on_grant(msg);
    } else {
        send_to(transaction.get.from, msg);
    }
    close(slot);
}

// From the home's own copy. Nothing can go wrong on the way but the requester's death, so the record is true from now
// on, and nobody has to report.
void DirectorySide::supply(std::uint32_t slot) {
    const Transaction &transaction = s_.transactions_[slot];
    const std::uint64_t supplied = own_copy_.supply(forward_of(transaction));
    NORMA_CHECK(supplied == transaction.mask);
    for_each_bit(transaction.mask,
                 [&](std::uint32_t i) { commit(transaction, s_.directory_.at(transaction.get.base + i), true); });
    close(slot);
}

void DirectorySide::forward(Transaction &transaction) {
    if (transaction.get.write) {
        drop_own_copy(transaction);
    }
    transaction.phase = State::Phase::answering;
    send_to(transaction.supplier, forward_of(transaction));
}

Msg DirectorySide::forward_of(const Transaction &transaction) const {
    return {.type = MsgType::forward,
            .write = transaction.get.write,
            .requester = transaction.get.from,
            .txn = transaction.number,
            .request = transaction.get.request,
            .base = transaction.get.base,
            .mask = transaction.mask};
}

// The home's copy goes last, when only the requester or the supplier has the page beside it: until then it is what
// remains should they die.
void DirectorySide::drop_own_copy(const Transaction &transaction) {
    std::uint64_t mask = 0;
    for_each_bit(transaction.mask, [&](std::uint32_t i) {
        Page &page = s_.directory_.at(transaction.get.base + i);
        mask |= std::uint64_t{page.sharers[s_.self_]} << i;
        page.sharers.reset(s_.self_);
    });
    if (mask != 0) {
        own_copy_.drop(transaction.get.base, mask, transaction.number);
    }
}

void DirectorySide::on_done(NodeId from, const Msg &msg) {
    const std::uint32_t slot = find_transaction(msg);
    if (slot == kNoSlot) {
        ++s_.late_;
        return;
    }
    const Transaction &transaction = s_.transactions_[slot];
    if (transaction.get.from != from || transaction.phase != State::Phase::answering ||
        (msg.mask & ~transaction.mask) != 0) {
        ++s_.rejected_;
        return;
    }
    for_each_bit(transaction.mask, [&](std::uint32_t i) {
        commit(transaction, s_.directory_.at(msg.base + i), (msg.mask >> i & 1) != 0);
    });
    close(slot);
}

// What one page's record says after the requester took it, or did not. A page that was not taken was not supplied, so
// the one who should have had it does not: it died, or it says itself that it holds nothing.
void DirectorySide::commit(const Transaction &transaction, Page &page, bool accepted) {
    if (!accepted) {
        forget(page, transaction.supplier);
    } else if (!transaction.get.write) {
        page.sharers.set(transaction.get.from);
    } else {
        page.sharers.reset();
        page.owner = transaction.get.from;
    }
}

// Ends a transaction whose pages' records are right but for dead nodes in them.
void DirectorySide::close(std::uint32_t slot) {
    const PageIndex base = s_.transactions_[slot].get.base;
    const std::uint64_t mask = s_.transactions_[slot].mask;
    release(slot);
    serve_queues(base, mask);
}

void DirectorySide::release(std::uint32_t slot) {
    const Transaction &transaction = s_.transactions_[slot];
    for_each_bit(transaction.mask, [&](std::uint32_t i) {
        Page &page = s_.directory_.at(transaction.get.base + i);
        page.busy = kNoSlot;
        heal(page);
    });
    s_.transactions_.give_back(slot);
}

void DirectorySide::serve_queues(PageIndex base, std::uint64_t mask) {
    for_each_bit(mask, [&](std::uint32_t i) {
        Page &page = s_.directory_.at(base + i);
        while (page.busy == kNoSlot && page.queue_first != kNoSlot) {
            accept(dequeue(page));
        }
    });
}

bool DirectorySide::awaits(NodeId from, const Msg &data) const {
    const std::uint32_t slot = find_transaction(data);
    if (slot == kNoSlot) {
        return false;
    }
    const Transaction &transaction = s_.transactions_[slot];
    return transaction.get.from == s_.self_ && transaction.get.request == data.request &&
           (data.mask & ~transaction.mask) == 0 && transaction.supplier == from &&
           transaction.phase == State::Phase::answering;
}

std::uint32_t DirectorySide::find_transaction(const Msg &msg) const {
    const std::uint32_t slot = s_.directory_.look(msg.base).busy;
    if (slot == kNoSlot) {
        return kNoSlot;
    }
    const Transaction &transaction = s_.transactions_[slot];
    return transaction.number == msg.txn && transaction.get.base == msg.base ? slot : kNoSlot;
}

void DirectorySide::wait(PageIndex at, const Get &get) {
    Page &page = s_.directory_.at(at);
    if (!queued(page, get)) {
        enqueue(page, get);
    } else if (!get.release && (get.from != s_.self_ || get.request != 0)) {
        // A node has one request at a time for a page; this also bounds the queue. What the home wants for the
        // directory's sake it may well want again before it has come.
        ++s_.rejected_;
    }
}

void DirectorySide::enqueue_first(Page &page, const Get &get) {
    const std::uint32_t slot = s_.queue_.take(get);
    s_.queue_[slot].next = page.queue_first;
    page.queue_first = slot;
    if (page.queue_last == kNoSlot) {
        page.queue_last = slot;
    }
}

void DirectorySide::enqueue(Page &page, const Get &get) {
    const std::uint32_t slot = s_.queue_.take(get);
    if (page.queue_first == kNoSlot) {
        page.queue_first = slot;
    } else {
        s_.queue_[page.queue_last].next = slot;
    }
    page.queue_last = slot;
}

DirectorySide::Get DirectorySide::dequeue(Page &page) {
    const std::uint32_t slot = page.queue_first;
    Get get = s_.queue_[slot];
    s_.queue_.give_back(slot);
    page.queue_first = std::exchange(get.next, kNoSlot); // it may have to wait elsewhere
    if (page.queue_first == kNoSlot) {
        page.queue_last = kNoSlot;
    }
    return get;
}

bool DirectorySide::queued(const Page &page, const Get &get) const {
    for (std::uint32_t slot = page.queue_first; slot != kNoSlot; slot = s_.queue_[slot].next) {
        const Get &other = s_.queue_[slot];
        if (other.from == get.from && other.base == get.base && other.release == get.release &&
            (other.request == 0) == (get.request == 0)) {
            return true;
        }
    }
    return false;
}

} // namespace norma::dsm
