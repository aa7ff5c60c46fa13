// SPDX-License-Identifier: BSD-3-Clause
// The way in: checks what comes from outside, hands it to the right side, and lets the home's two sides talk until
// they have nothing more to say.
#include "dsm/core/sides.hpp"

#include <algorithm>

namespace norma::dsm {

// Of a page that nobody has asked for.
State::DirectoryPage State::record_at(NodeId home, bool settled) {
    return {.sharers = {},
            .busy = kNoSlot,
            .queue_first = kNoSlot,
            .queue_last = kNoSlot,
            .owner = home,
            .lost = false,
            .settled = settled};
}

State::State(ObjectId object, NodeId self, NodeId home, std::uint64_t pages, FirstNumbers first)
    : object_(object), self_(self), home_(home), pages_(pages), next_request_(first.request),
      next_transaction_(first.transaction),
      cache_(
          pages,
          CachePage{.epoch = 0, .request = kNoSlot, .access = self == home ? Access::write : Access::none, .want = 0},
          CachePage{.epoch = 0, .request = kNoSlot, .access = Access::none, .want = 0}),
      directory_(pages, record_at(home, true), record_at(home, false)) {
    NORMA_CHECK(self < kMaxNodes && home < kMaxNodes);
    NORMA_CHECK(first.transaction != 0 && first.request != 0);
    NORMA_CHECK(pages > 0 && pages <= kEndOfPages);
    if (is_home()) {
        line_.emplace_back();
    }
}

void send(std::vector<Msg> &to_self, NodeId self, NodeId to, const Msg &msg, Outbox &out) {
    if (to == self) {
        to_self.push_back(msg);
    } else {
        out.push_back({.type = Effect::Type::send, .access = Access::none, .to = to, .base = 0, .mask = 0, .msg = msg});
    }
}

class Inbox {
  public:
    Inbox(State &state, Outbox &out) : s_(state), cache_(state, out), directory_(state, out) {}

    void take(const Event &event) {
        switch (event.type) {
        case Event::Type::fault:
            NORMA_CHECK(event.page < kEndOfPages);
            cache_.fault(event.page, event.write, std::clamp(event.window, 1U, kBatch));
            break;
        case Event::Type::evict:
            NORMA_CHECK(event.page < kEndOfPages);
            cache_.evict(event.page, static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
                                         event.window, 1, std::min<std::uint64_t>(kBatch, s_.room(event.page)))));
            break;
        case Event::Type::message:
            take_message(event.from, event.msg);
            break;
        case Event::Type::node_down:
            take_death(event.from);
            break;
        case Event::Type::freeze:
        case Event::Type::snapshot:
        case Event::Type::thaw:
        case Event::Type::end:
            take_order(event);
            break;
        }
        // What one side says to the other can make it answer; the list is short and never grows between steps.
        for (std::size_t i = 0; i < s_.to_self_.size(); ++i) {
            const Msg msg = s_.to_self_[i];
            dispatch(s_.self_, msg);
        }
        s_.to_self_.clear();
        directory_.discard_unneeded();
    }

  private:
    void take_message(NodeId from, const Msg &msg) {
        if (!plausible(from, msg)) {
            ++s_.rejected_;
        } else if (s_.down_[from] && msg.type != MsgType::data) {
            // Everything a dead node took part in has been concluded without it. Data alone may still be of use: the
            // home waits for the requester to say whether it came.
            ++s_.late_;
        } else {
            dispatch(from, msg);
        }
    }

    void take_order(const Event &event) {
        NORMA_CHECK(s_.is_home() && s_.has_stretch(event.stretch));
        switch (event.type) {
        case Event::Type::freeze:
            return directory_.freeze(event.stretch);
        case Event::Type::snapshot:
            return directory_.snapshot(event.stretch);
        case Event::Type::thaw:
            return directory_.thaw(event.stretch);
        default:
            return directory_.end(event.stretch);
        }
    }

    void take_death(NodeId node) {
        NORMA_CHECK(node < kMaxNodes && node != s_.self_);
        if (s_.down_[node]) {
            return;
        }
        s_.down_.set(node);
        if (s_.is_home()) {
            directory_.on_node_down(node);
        } else if (node == s_.home_) {
            cache_.on_home_down();
        }
    }

    void dispatch(NodeId from, const Msg &msg) {
        switch (msg.type) {
        case MsgType::get:
            return directory_.on_get(from, msg);
        case MsgType::release:
            return directory_.on_release(from, msg);
        case MsgType::inval_ack:
            return directory_.on_inval_ack(from, msg);
        case MsgType::done:
            return directory_.on_done(from, msg);
        case MsgType::forward:
            return cache_.on_forward(msg);
        case MsgType::inval:
            return cache_.on_inval(msg);
        case MsgType::data:
            // The home knows who was told to send it what; a forged answer must not end its request.
            if (s_.is_home() && !directory_.awaits(from, msg)) {
                ++s_.late_;
                return;
            }
            return cache_.on_data(from, msg);
        case MsgType::grant:
            return cache_.on_grant(msg);
        case MsgType::fail:
            return cache_.on_fail(msg);
        case MsgType::freeze:
            return cache_.on_freeze(msg);
        case MsgType::frozen:
            return directory_.on_frozen(from, msg);
        case MsgType::forget:
            return cache_.forget(s_.stretch_of(msg.base));
        }
    }

    // Could a node that follows the protocol have sent this to me?
    bool plausible(NodeId from, const Msg &msg) const {
        if (from >= kMaxNodes || from == s_.self_ || msg.base >= kEndOfPages || !mask_inside(msg)) {
            return false;
        }
        const bool to_home = s_.is_home();
        const bool from_home = from == s_.home_;
        switch (msg.type) {
        case MsgType::get:
            return to_home && msg.count >= 1 && msg.count <= std::min<std::uint64_t>(kBatch, s_.room(msg.base)) &&
                   (msg.write || !msg.have) && s_.existed(msg.base);
        case MsgType::release:
            return to_home && msg.mask != 0 && s_.existed(msg.base);
        case MsgType::inval_ack:
            return to_home && msg.txn != 0 && msg.mask != 0;
        case MsgType::done:
            return to_home && msg.txn != 0;
        case MsgType::forward:
            return from_home && msg.txn != 0 && msg.mask != 0 && msg.requester < kMaxNodes && msg.requester != s_.self_;
        case MsgType::inval:
        case MsgType::grant:
            return from_home && msg.txn != 0 && msg.mask != 0;
        case MsgType::data:
            return msg.txn != 0;
        case MsgType::fail:
            return from_home && msg.mask != 0;
        case MsgType::freeze:
            return from_home && msg.txn != 0 && msg.base % s_.pages_ == 0;
        case MsgType::frozen:
            return to_home && msg.txn != 0 && msg.base % s_.pages_ == 0;
        case MsgType::forget:
            return from_home && msg.base % s_.pages_ == 0;
        }
        return false;
    }

    bool mask_inside(const Msg &msg) const {
        const std::uint64_t room = s_.room(msg.base);
        return room >= kBatch || msg.mask >> room == 0;
    }

    State &s_;
    CacheSide cache_;
    DirectorySide directory_;
};

void step(State &state, const Event &event, Outbox &out) {
    out.clear();
    Inbox(state, out).take(event);
}

} // namespace norma::dsm
