// SPDX-License-Identifier: BSD-3-Clause
// The directory side when a node dies: whose copy counts now, and what becomes of transactions the node took part in.
#include "dsm/core/sides.hpp"

namespace norma::dsm {

void DirectorySide::on_node_down(NodeId node) {
    // First every record, so that a request started below meets no trace of the dead node. Pages in a transaction keep
    // a dead owner until it ends: only then is it known what its last messages achieved.
    s_.directory_.for_each([&](PageIndex, Page &page) {
        drop_queued(page, node);
        page.sharers.reset(node);
        if (page.busy == kNoSlot) {
            heal(page);
        }
    });
    for (Stretch &stretch : s_.line_) {
        std::erase_if(stretch.held, [node](const auto &held) { return held.first.second == node; });
        no_longer_freezing(stretch, node);
    }
    for (std::uint32_t slot = 0; slot < s_.transactions_.end(); ++slot) {
        if (s_.transactions_.in_use(slot)) {
            review(slot, node); // no effect on a transaction that began since the loop did
        }
    }
}

void DirectorySide::review(std::uint32_t slot, NodeId node) {
    Transaction &transaction = s_.transactions_[slot];
    if (transaction.phase == State::Phase::invalidating) {
        // Even without a requester the invalidations under way have to be waited for: they will take effect.
        if (transaction.waiting[node]) {
            transaction.waiting.reset(node);
            if (transaction.waiting.none()) {
                advance(slot);
            }
        }
    } else if (transaction.get.from == node) {
        abandon(slot);
    } else if (transaction.supplier == node) {
        send_to(transaction.get.from, {.type = MsgType::fail,
                                       .txn = transaction.number,
                                       .request = transaction.get.request,
                                       .base = transaction.get.base,
                                       .mask = transaction.mask});
    }
}

// The requester died after it was given, or promised, the pages. A reader takes nothing with it. A writer may have
// written; and what a supplier has sent it, or will when the forward arrives, is in nobody's hands.
void DirectorySide::abandon(std::uint32_t slot) {
    const Transaction &transaction = s_.transactions_[slot];
    if (transaction.get.write) {
        for_each_bit(transaction.mask, [&](std::uint32_t i) { lose(s_.directory_.at(transaction.get.base + i)); });
    }
    close(slot);
}

// The supplier died before it was asked. The request goes first again, with whatever copies are left.
void DirectorySide::restart(std::uint32_t slot) {
    const Get get = s_.transactions_[slot].get;
    const std::uint64_t mask = s_.transactions_[slot].mask;
    release(slot);
    accept(get);
    serve_queues(get.base, mask);
}

void DirectorySide::forget(Page &page, NodeId node) const {
    if (page.owner != node) {
        page.sharers.reset(node);
        return;
    }
    if (page.sharers.none()) {
        lose(page);
        return;
    }
    // The home where it can: its copy serves without a hop and outlives every other node's.
    const NodeId heir = page.sharers[s_.self_] ? s_.self_ : static_cast<NodeId>(page.sharers._Find_first());
    page.sharers.reset(heir);
    page.owner = heir;
}

// Dead sharers are removed as they die, so only the owner can be dead.
void DirectorySide::heal(Page &page) const {
    if (!page.lost && s_.down_[page.owner]) {
        forget(page, page.owner);
    }
}

void DirectorySide::lose(Page &page) const {
    page.lost = true;
    page.owner = s_.self_;
    page.sharers.reset();
}

void DirectorySide::drop_queued(Page &page, NodeId from) {
    std::uint32_t slot = page.queue_first;
    page.queue_first = kNoSlot;
    page.queue_last = kNoSlot;
    while (slot != kNoSlot) {
        Get get = s_.queue_[slot];
        s_.queue_.give_back(slot);
        slot = get.next;
        if (get.from != from) {
            get.next = kNoSlot;
            enqueue(page, get);
        }
    }
}

} // namespace norma::dsm
