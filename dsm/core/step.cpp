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

// Numbers that a home in its right mind comes to.
constexpr std::uint64_t kEndOfNumbers = std::uint64_t{1} << 62;

class Inbox {
  public:
    Inbox(State &state, Outbox &out)
        : s_(state), cache_(state, out), directory_(state, out), move_(state, cache_, out) {}

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
        case Event::Type::move_home:
            move_.begin(event.from, event.holders);
            break;
        case Event::Type::hand_over:
            move_.hand_over(event.frames);
            break;
        case Event::Type::stay_home:
            move_.stay();
            break;
        }
        // What one side says to the other can make it answer; the list is short and never grows between steps.
        for (std::size_t i = 0; i < s_.to_self_.size(); ++i) {
            const Msg msg = s_.to_self_[i];
            dispatch(s_.self_, msg);
        }
        s_.to_self_.clear();
        directory_.discard_unneeded();
        move_.settle();
    }

  private:
    void take_message(NodeId from, const Msg &msg) {
        // Everything a dead node took part in has been concluded without it. Data alone may still be of use: the home
        // waits for the requester to say whether it came.
        const bool too_late = from < kMaxNodes && s_.down_[from] && msg.type != MsgType::data;
        // And what comes to a former home is of no transaction that is not over.
        if (too_late || (for_home(msg.type) && s_.former_homes_[s_.self_])) {
            ++s_.late_;
            return;
        }
        if (!plausible(from, msg)) {
            ++s_.rejected_;
            return;
        }
        if (is_home_since(from, msg)) {
            move_.on_home(from, {.type = MsgType::home, .txn = s_.pause_->number}); // which has been overtaken
        }
        dispatch(from, msg);
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
        move_.on_node_down(node);
    }

    static bool for_home(MsgType type) {
        return type == MsgType::get || type == MsgType::release || type == MsgType::inval_ack ||
               type == MsgType::done || type == MsgType::frozen || type == MsgType::ready;
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
        case MsgType::moving:
            return move_.on_moving(from, msg);
        case MsgType::ready:
            return move_.on_ready(from, msg);
        case MsgType::record:
            return move_.on_record(msg);
        case MsgType::moved:
            return move_.on_moved(msg);
        case MsgType::home:
            return move_.on_home(from, msg);
        case MsgType::orphan:
            return move_.on_orphan(from, msg);
        case MsgType::homeless:
            return move_.on_homeless(from, msg);
        }
    }

    // Could a node that follows the protocol have sent this to me?
    bool plausible(NodeId from, const Msg &msg) const {
        if (from >= kMaxNodes || from == s_.self_ || msg.base >= kEndOfPages || !mask_inside(msg)) {
            return false;
        }
        const bool to_home = s_.is_home();
        // What a former home said then may come now.
        const bool from_home = from == s_.home_ || s_.former_homes_[from] || is_home_since(from, msg);
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
        case MsgType::moving:
            return from_home && msg.txn != 0 && msg.requester < kMaxNodes && msg.requester != from;
        case MsgType::ready:
            return to_home && msg.txn != 0;
        case MsgType::record:
            return hands_over(from, msg) && msg.requester < kMaxNodes && msg.base < s_.pages_;
        case MsgType::moved:
            return hands_over(from, msg) && msg.request > msg.txn && msg.request < kEndOfNumbers &&
                   msg.base % s_.pages_ == 0;
        case MsgType::home: // of a move whose outcome is known here: from whomever
            return msg.txn <= s_.last_move_ || (msg.txn != 0 && (from_home || is_next_home(from)));
        case MsgType::homeless:
            return msg.txn <= s_.last_move_ ||
                   (s_.pause_ && msg.txn == s_.pause_->number && (from_home || is_next_home(from)));
        case MsgType::orphan:
            return msg.txn != 0;
        }
        return false;
    }

    // Only a home says such things under such a number.
    bool is_home_since(NodeId from, const Msg &msg) const {
        const bool says = msg.type == MsgType::forward || msg.type == MsgType::inval || msg.type == MsgType::freeze ||
                          msg.type == MsgType::moving;
        return says && is_next_home(from) && msg.txn > s_.pause_->number;
    }
    bool is_next_home(NodeId from) const { return s_.pause_ && from == s_.pause_->next_home; }
    bool hands_over(NodeId from, const Msg &msg) const {
        return msg.txn <= s_.last_move_ || (from == s_.home_ && is_next_home(s_.self_) && msg.txn == s_.pause_->number);
    }

    bool mask_inside(const Msg &msg) const {
        const std::uint64_t room = s_.room(msg.base);
        return room >= kBatch || msg.mask >> room == 0;
    }

    State &s_;
    CacheSide cache_;
    DirectorySide directory_;
    HomeMove move_;
};

void step(State &state, const Event &event, Outbox &out) {
    out.clear();
    Inbox(state, out).take(event);
}

} // namespace norma::dsm
