// SPDX-License-Identifier: BSD-3-Clause
// The move of a home. First everybody who has the object stops asking and says when nothing he asked for is out; then
// nothing about the object is on its way, and the directory goes to the next home, which tells everybody. The
// specification is docs/rehoming.md.
#include "dsm/core/sides.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace norma::dsm {

namespace {

bool any_of(std::span<const PageRun> runs, PageIndex page) {
    const auto after =
        std::ranges::upper_bound(runs, page, {}, [](const PageRun &run) { return run.first; }) - runs.begin();
    return after > 0 &&
           page - runs[static_cast<std::size_t>(after - 1)].first < runs[static_cast<std::size_t>(after - 1)].count;
}

// What a directory says, page by page, as few messages.
class Records {
  public:
    explicit Records(std::uint64_t number) : number_(number) {}

    enum class Kind : std::uint8_t { owner, sharer, lost };
    void add(PageIndex page, Kind kind, NodeId node) {
        masks_[{page / kBatch, kind, node}] |= std::uint64_t{1} << (page % kBatch);
    }
    std::vector<Msg> take() const {
        std::vector<Msg> messages;
        for (const auto &[key, mask] : masks_) {
            messages.push_back({.type = MsgType::record,
                                .write = key.kind == Kind::owner,
                                .requester = key.node,
                                .txn = number_,
                                .base = key.group * kBatch,
                                .mask = mask,
                                .lost = key.kind == Kind::lost});
        }
        return messages;
    }

  private:
    struct Key {
        PageIndex group;
        Kind kind;
        NodeId node;
        auto operator<=>(const Key &) const = default;
    };
    std::uint64_t number_;
    std::map<Key, std::uint64_t> masks_;
};

} // namespace

bool State::may_move() const {
    return is_home() && !move_ && line_.size() == 1 && line_.front().number == 0 && !line_.front().ended &&
           !line_.front().holds_writes();
}

// ---- the home ----

void HomeMove::begin(NodeId to, const NodeSet &holders) {
    NORMA_CHECK(s_.may_move() && holders[to] && !holders[s_.self_] && !s_.down_[to]);
    const std::uint64_t number = s_.next_transaction_++;
    const NodeSet live = holders & ~s_.down_;
    s_.move_ = {.number = number, .to = to, .holders = live, .awaited = live, .announced = false};
    pause(number, to);
    for_each_node(live, [&](NodeId node) {
        send(s_.to_self_, s_.self_, node, {.type = MsgType::moving, .requester = to, .txn = number}, out_);
    });
}

void HomeMove::on_ready(NodeId from, const Msg &msg) {
    if (!s_.move_ || s_.move_->number != msg.txn || !s_.move_->awaited[from]) {
        ++s_.late_;
        return;
    }
    s_.move_->awaited.reset(from);
}

void HomeMove::hand_over(std::span<const PageRun> frames) {
    NORMA_CHECK(s_.move_ && s_.move_->announced && s_.transactions_.used() == 0 && s_.requests_.used() == 0);
    const State::Move move = *s_.move_;
    Records records(move.number);
    s_.directory_.for_each([&](PageIndex page, const State::DirectoryPage &entry) {
        NORMA_CHECK(entry.busy == kNoSlot && entry.queue_first == kNoSlot);
        if (entry.lost) {
            records.add(page, Records::Kind::lost, s_.self_);
        } else if (entry.owner != s_.self_ || entry.sharers.any() || any_of(frames, page)) {
            records.add(page, Records::Kind::owner, entry.owner);
            for_each_node(entry.sharers, [&](NodeId node) { records.add(page, Records::Kind::sharer, node); });
        }
    });
    for (const PageRun &run : frames) {
        for (PageIndex page = run.first; page < run.first + run.count; ++page) {
            if (const auto &entry = s_.directory_.look(page); !entry.lost && entry.owner == s_.self_) {
                records.add(page, Records::Kind::owner, s_.self_);
            }
        }
    }
    auto messages = records.take();
    NodeSet others = move.holders;
    others.set(s_.self_);
    others.reset(move.to);
    for_each_node(others, [&](NodeId node) {
        messages.push_back({.type = MsgType::record, .requester = node, .txn = move.number});
    });
    for (const Msg &record : messages) {
        send(s_.to_self_, s_.self_, move.to, record, out_);
    }
    send(s_.to_self_, s_.self_, move.to,
         {.type = MsgType::moved,
          .count = static_cast<std::uint32_t>(messages.size()),
          .txn = move.number,
          .request = s_.next_transaction_,
          .base = (s_.next_stretch_ - 1) * s_.pages_},
         out_);
    forget_holes(frames);
    s_.directory_ = StretchTable(s_.pages_, State::record_at(move.to, true), State::record_at(move.to, false));
    s_.line_.clear();
    s_.move_.reset();
    change_home(move.to);
}

// What has no frame and was never asked for is the next home's from now on.
void HomeMove::forget_holes(std::span<const PageRun> frames) {
    const State::CachePage nothing{.epoch = 0, .request = kNoSlot, .access = Access::none, .want = 0};
    StretchTable cache(s_.pages_, nothing, nothing);
    s_.cache_.for_each([&](PageIndex page, const State::CachePage &entry) {
        auto &kept = cache.at(page) = entry;
        const auto &record = s_.directory_.look(page);
        if (!record.lost && record.owner == s_.self_ && record.sharers.none() && !any_of(frames, page)) {
            kept.access = Access::none;
        }
    });
    for (const PageRun &run : frames) {
        for (PageIndex page = run.first; page < run.first + run.count; ++page) {
            cache.at(page).access = s_.cache_.look(page).access;
        }
    }
    s_.cache_ = std::move(cache);
}

void HomeMove::stay() {
    NORMA_CHECK(s_.move_.has_value());
    const State::Move move = *std::exchange(s_.move_, std::nullopt);
    tell(move.holders, MsgType::home, move.number);
    announce(Effect::Type::stays_home);
    go_on(s_.self_, move.number);
}

// ---- the next home ----

void HomeMove::on_record(const Msg &msg) {
    if (msg.txn <= s_.last_move_) {
        ++s_.late_;
        return;
    }
    if (s_.pause_->records.size() > (s_.pages_ / kBatch + 2) * (2 * kMaxNodes + 1)) {
        ++s_.rejected_; // more than there can be
        return;
    }
    s_.pause_->records.push_back(msg);
    become_home();
}

void HomeMove::on_moved(const Msg &msg) {
    if (msg.txn <= s_.last_move_) {
        ++s_.late_;
        return;
    }
    s_.pause_->moved = msg;
    become_home();
}

// If it has all it needs.
void HomeMove::become_home() {
    if (!s_.pause_->moved || s_.pause_->records.size() != s_.pause_->moved->count) {
        return;
    }
    const State::Pause pause = *s_.pause_;
    const Msg &moved = *pause.moved;
    change_home(s_.self_);
    s_.next_transaction_ = moved.request;
    s_.next_stretch_ = s_.stretch_of(moved.base) + 1;
    s_.line_ = {State::Stretch()};
    take_records(pause);
    tell(s_.line_.front().given & ~s_.down_, MsgType::home, moved.txn);
    announce(Effect::Type::became_home);
    s_.orphans_.clear(); // they are holders
    for_each_node(s_.down_, [&](NodeId node) { DirectorySide(s_, out_).on_node_down(node); });
    go_on(s_.self_, moved.txn);
}

void HomeMove::take_records(const State::Pause &pause) {
    s_.directory_ = StretchTable(s_.pages_, State::record_at(s_.self_, true), State::record_at(s_.self_, false));
    auto &stretch = s_.line_.front();
    const State::CachePage nothing{.epoch = 0, .request = kNoSlot, .access = Access::none, .want = 0};
    auto blank = nothing;
    blank.access = Access::write;
    StretchTable cache(s_.pages_, blank, nothing);
    for (const Msg &record : pause.records) {
        stretch.given.set(record.requester);
        if (record.write) {
            stretch.writers.set(record.requester);
        }
        for_each_bit(record.mask, [&](std::uint32_t i) {
            auto &entry = s_.directory_.at(record.base + i);
            if (record.lost) {
                entry.lost = true;
            } else if (record.write) {
                entry.owner = record.requester;
            } else {
                entry.sharers.set(record.requester);
            }
            cache.at(record.base + i).access = Access::none;
        });
    }
    stretch.given.reset(s_.self_);
    s_.cache_.for_each([&](PageIndex page, const State::CachePage &entry) {
        auto &kept = cache.at(page) = entry;
        const auto &record = s_.directory_.look(page);
        const bool told_of = record.lost || record.owner != s_.self_ || record.sharers.any();
        if (page < s_.pages_ && entry.access == Access::none && !told_of) {
            kept.access = Access::write; // a hole, which nobody has
            kept.epoch = pause.number;   // what concerned the page here before is over
        }
    });
    s_.cache_ = std::move(cache);
    for (const Msg &record : pause.records) {
        for_each_bit(record.mask, [&](std::uint32_t i) { believe_own_copy(record.base + i); });
    }
}

// What the old home has said of this node's copies it knows better itself. It makes no difference if that home keeps to
// the protocol.
void HomeMove::believe_own_copy(PageIndex page) {
    auto &entry = s_.directory_.at(page);
    const Access access = s_.cache_.look(page).access;
    const bool here = access == Access::read || access == Access::write;
    entry.sharers.reset(entry.owner);
    if (here && !entry.lost && entry.owner != s_.self_) {
        entry.sharers.set(s_.self_);
    } else if (!here) {
        entry.sharers.reset(s_.self_);
        if (entry.owner == s_.self_ && !entry.lost) {
            entry.lost = true;
            entry.sharers.reset();
        }
    }
}

// ---- every holder ----

void HomeMove::pause(std::uint64_t number, NodeId next_home) {
    s_.pause_ = {.number = number,
                 .next_home = next_home,
                 .ready = s_.is_home(), // who has nobody to say it to
                 .unsent = {},
                 .records = {},
                 .moved = std::nullopt};
}

// A home that speaks of its next move has been told of, or has called off, the one before.
void HomeMove::on_moving(NodeId from, const Msg &msg) {
    if (msg.txn <= s_.last_move_ || (s_.pause_ && msg.txn <= s_.pause_->number)) {
        ++s_.late_;
        return;
    }
    if (s_.pause_) {
        go_on(from, s_.pause_->number);
    }
    pause(msg.txn, msg.requester);
    if (s_.down_[msg.requester]) {
        ask_other(msg.requester);
    }
}

void HomeMove::settle() {
    const bool quiet = s_.requests_.used() == 0 && s_.deferred_.empty();
    if (s_.move_ && !s_.move_->announced && s_.move_->awaited.none() && quiet && s_.transactions_.used() == 0 &&
        s_.queue_.used() == 0) {
        s_.move_->announced = true;
        announce(Effect::Type::may_hand_over);
    }
    if (s_.pause_ && !s_.pause_->ready && quiet && !s_.down_[s_.home_]) {
        s_.pause_->ready = true;
        send(s_.to_self_, s_.self_, s_.home_, {.type = MsgType::ready, .txn = s_.pause_->number}, out_);
    }
    if (!s_.pause_ && s_.down_[s_.home_]) {
        for (const auto &[orphan, number] : std::exchange(s_.orphans_, {})) {
            send(s_.to_self_, s_.self_, orphan, {.type = MsgType::homeless, .txn = number}, out_);
        }
    }
}

void HomeMove::on_home(NodeId from, const Msg &msg) {
    if (msg.txn <= s_.last_move_) {
        ++s_.late_;
    } else if (s_.pause_ && msg.txn >= s_.pause_->number) {
        go_on(from, msg.txn);
    } else {
        s_.last_move_ = msg.txn; // it is called off, which was faster, or slower, than the news of the next one
    }
}

void HomeMove::go_on(NodeId home, std::uint64_t number) {
    const State::Pause pause = *std::exchange(s_.pause_, std::nullopt);
    s_.last_move_ = number;
    change_home(home);
    announce(Effect::Type::home_known);
    cache_.ask_for(pause.unsent);
}

void HomeMove::change_home(NodeId home) {
    s_.former_homes_.set(s_.home_);
    s_.former_homes_.reset(home);
    s_.home_ = home;
}

void HomeMove::tell(const NodeSet &nodes, MsgType type, std::uint64_t number) {
    for_each_node(nodes, [&](NodeId node) { send(s_.to_self_, s_.self_, node, {.type = type, .txn = number}, out_); });
}

void HomeMove::announce(Effect::Type type) {
    out_.push_back({.type = type, .access = Access::none, .to = 0, .base = 0, .mask = 0, .msg = {}, .from = 0});
}

// ---- when one of the two homes dies ----

void HomeMove::on_node_down(NodeId node) {
    s_.orphans_.erase(node);
    if (s_.move_) { // at the home
        s_.move_->holders.reset(node);
        s_.move_->awaited.reset(node);
        if (s_.move_->to == node) {
            stay();
        }
        return;
    }
    if (s_.pause_ && (node == s_.home_ || node == s_.pause_->next_home)) {
        ask_other(node);
    }
}

// Of the two homes, that one is down. It is the other one that knows which of them was the home last, unless it is this
// node.
void HomeMove::ask_other(NodeId dead) {
    const NodeId other = dead == s_.home_ ? s_.pause_->next_home : s_.home_;
    if (other == dead || other == s_.self_ || s_.down_[other]) {
        no_home(s_.home_);
    } else {
        send(s_.to_self_, s_.self_, other, {.type = MsgType::orphan, .txn = s_.pause_->number}, out_);
    }
}

bool HomeMove::has_handed_over(std::uint64_t number) const {
    return s_.pause_ && s_.pause_->number == number && s_.pause_->next_home == s_.home_;
}

void HomeMove::on_orphan(NodeId from, const Msg &msg) {
    if (s_.move_ && s_.move_->number == msg.txn) {
        stay();
    } else if (s_.is_home()) {
        send(s_.to_self_, s_.self_, from, {.type = MsgType::home, .txn = msg.txn}, out_);
    } else if (msg.txn <= s_.last_move_ || has_handed_over(msg.txn)) {
        send(s_.to_self_, s_.self_, from, {.type = MsgType::homeless, .txn = msg.txn}, out_);
    } else {
        s_.orphans_[from] = msg.txn; // it knows of a death of which this node will hear, too, if it has not
    }
}

void HomeMove::on_homeless(NodeId from, const Msg &msg) {
    if (msg.txn <= s_.last_move_) {
        ++s_.late_;
        return;
    }
    no_home(from == s_.home_ ? s_.pause_->next_home : s_.home_);
}

void HomeMove::no_home(NodeId home) {
    const State::Pause pause = *std::exchange(s_.pause_, std::nullopt);
    s_.last_move_ = pause.number;
    change_home(home);
    announce(Effect::Type::home_known);
    cache_.give_up(pause.unsent);
}

} // namespace norma::dsm
