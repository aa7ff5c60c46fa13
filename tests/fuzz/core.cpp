// SPDX-License-Identifier: BSD-3-Clause
// Any events in any order into one node's core: threads that touch pages, messages that nobody may have sent, deaths,
// snapshots of what is frozen.
// No assertion may break, what is rejected changes nothing, what is kept is bounded by the size of the object, and the
// effects can always be carried out: an executor that knows the mappings checks each of them.
#include "tests/fuzz/targets.hpp"

#include "dsm/core/core.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace fuzz {

using namespace norma::dsm;

namespace {

constexpr NodeId kHome = 0;
constexpr std::uint64_t kFirstTransaction = 1000;
constexpr std::uint64_t kStretches = 4;
constexpr unsigned kNodes = 5; // those that take part; a few messages claim to be from others

class Executor {
  public:
    Executor(NodeId self, std::uint64_t pages)
        : state_({.home = kHome, .incarnation = 1, .serial = 7}, self, kHome, pages,
                 {.transaction = kFirstTransaction, .request = 1}),
          frames_(pages * kStretches, Access::none), stretches_(1) {
        std::fill_n(frames_.begin(), pages, self == kHome ? Access::write : Access::none);
    }

    void run(const Event &event) {
        const State before = state_;
        if (event.type == Event::Type::message &&
            (event.msg.type == MsgType::data || event.msg.type == MsgType::grant)) {
            newest_ = std::max(newest_, event.msg.txn);
        }
        if (traced()) {
            trace(event);
        }
        step(state_, event, out_);
        const bool rejected = state_.rejected() > before.rejected();
        // At the home, what one side makes of a message may be rejected by the other.
        FUZZ_CHECK(!rejected || state_.is_home() || (out_.empty() && state_ == before));
        staged_ = 0;
        bool hands_over = false;
        for (const auto &effect : out_) {
            hands_over |= effect.type == Effect::Type::may_hand_over;
            carry_out(effect, event);
        }
        FUZZ_CHECK(staged_ == 0);
        if (event.type == Event::Type::hand_over) {
            give_holes();
        }
        check_bounds();
        if (hands_over) {
            Event handing;
            handing.type = Event::Type::hand_over;
            run(handing);
        }
    }

    // At the home: that it moves, if it can.
    void move_home(NodeId to) {
        if (state_.self() != to && state_.may_move() && !state_.is_down(to)) {
            Event event;
            event.type = Event::Type::move_home;
            event.from = to;
            event.holders.set(to);
            event.holders.set((to + 1) % kNodes, state_.self() != (to + 1) % kNodes);
            run(event);
        }
    }

    // At the home: what its caller may say of the stretch at this moment, of what is wanted. What became a home only
    // later knows of stretches what it was told.
    void order(Event::Type wanted, std::uint64_t stretch) {
        if (state_.self() != kHome || moved_ || !state_.is_home() || stretch >= stretches_.size() ||
            stretches_[stretch].ended) {
            return;
        }
        Stretch &about = stretches_[stretch];
        if (wanted == Event::Type::freeze) {
            ++about.freezes;
        } else if (wanted == Event::Type::snapshot && about.frozen && stretches_.size() < kStretches) {
            FUZZ_CHECK(state_.next_stretch() == stretches_.size());
            stretches_.emplace_back();
        } else if (wanted == Event::Type::thaw && about.freezes > 0) {
            about.frozen = --about.freezes > 0 && about.frozen;
        } else if (wanted == Event::Type::end && about.freezes == 0) {
            about.ended = true;
        } else {
            return;
        }
        if (state_.is_moving()) {
            Event stay;
            stay.type = Event::Type::stay_home;
            run(stay);
        }
        Event event;
        event.type = wanted;
        event.stretch = stretch;
        run(event);
    }

  private:
    struct Stretch {
        unsigned freezes = 0;
        bool frozen = false, ended = false;
    };

    // FUZZ_TRACE=1 tells what happens, for whoever looks into an input.
    static bool traced() {
        static const bool wanted = std::getenv("FUZZ_TRACE") != nullptr;
        return wanted;
    }
    void trace(const Event &event) const {
        constexpr std::array kTypes{"fault", "evict", "message",   "node down", "freeze",   "snapshot",
                                    "thaw",  "end",   "move home", "hand over", "stay home"};
        std::fprintf(stderr, "%s%s from %u, page %llu write %d window %u; %s\n", state_.describe().c_str(),
                     kTypes.at(static_cast<std::size_t>(event.type)), event.from,
                     static_cast<unsigned long long>(event.page), event.write ? 1 : 0, event.window,
                     event.type == Event::Type::message ? norma::dsm::describe(event.msg).c_str() : "");
    }

    void carry_out(const Effect &effect, const Event &event) {
        if (effect.type == Effect::Type::send) {
            return send(effect, event);
        }
        if (effect.type == Effect::Type::freeze || effect.type == Effect::Type::forget ||
            effect.type == Effect::Type::frozen) {
            return carry_out_of_stretch(effect, event);
        }
        if (effect.type == Effect::Type::may_hand_over || effect.type == Effect::Type::stays_home ||
            effect.type == Effect::Type::home_known) {
            return;
        }
        if (effect.type == Effect::Type::became_home) {
            return take_holes();
        }
        FUZZ_CHECK(effect.mask != 0 && effect.base < frames_.size());
        FUZZ_CHECK(static_cast<std::uint64_t>(std::bit_width(effect.mask)) <= frames_.size() - effect.base);
        if (effect.type == Effect::Type::install) {
            FUZZ_CHECK(event.type == Event::Type::message && event.msg.type == MsgType::data);
            FUZZ_CHECK(effect.base == event.msg.base && (effect.mask & ~event.msg.mask) == 0);
        }
        for (unsigned i = 0; i < kBatch; ++i) {
            if ((effect.mask >> i & 1) != 0) {
                FUZZ_CHECK(effect.type != Effect::Type::copy || frames_.at(effect.from + i) == Access::read);
                change(frames_[effect.base + i], effect);
            }
        }
        if (effect.type == Effect::Type::stage) {
            FUZZ_CHECK(staged_ == 0);
            staged_ = effect.mask;
        }
    }

    // A home freezes nothing under a transaction that is no newer than a right that it has given. If it does, the core
    // goes by the right, and the first fault lifts the protection.
    void carry_out_of_stretch(const Effect &effect, const Event &event) {
        const bool old = !state_.is_home() && event.msg.txn <= newest_;
        FUZZ_CHECK(effect.base % state_.pages() == 0);
        if (effect.type == Effect::Type::frozen) {
            stretches_.at(effect.base / state_.pages()).frozen = true;
            return;
        }
        for (PageIndex page = effect.base; page < effect.base + state_.pages() && page < frames_.size(); ++page) {
            if (effect.type == Effect::Type::forget) {
                frames_[page] = Access::none;
            } else if (frames_[page] == Access::write && !(old && state_.access(page) == Access::write)) {
                frames_[page] = Access::read;
            }
        }
    }

    // Nothing was ever written: what nobody has asked for has no frame.
    void give_holes() {
        moved_ = true;
        for (PageIndex page = 0; page < frames_.size(); ++page) {
            frames_[page] = state_.access(page) == Access::none ? Access::none : frames_[page];
        }
    }
    void take_holes() {
        moved_ = true;
        for (PageIndex page = 0; page < state_.pages(); ++page) {
            frames_[page] = frames_[page] == Access::none ? state_.access(page) : frames_[page];
        }
    }

    static void change(Access &frame, const Effect &effect) {
        const bool here = frame == Access::read || frame == Access::write;
        switch (effect.type) {
        case Effect::Type::protect:
            FUZZ_CHECK(here);
            frame = Access::read;
            break;
        case Effect::Type::stage:
            FUZZ_CHECK(frame == Access::read);
            break;
        case Effect::Type::drop:
            FUZZ_CHECK(frame == Access::read);
            frame = Access::none;
            break;
        case Effect::Type::install:
            FUZZ_CHECK(!here && (effect.access == Access::read || effect.access == Access::write));
            frame = effect.access;
            break;
        case Effect::Type::resolve:
            FUZZ_CHECK(effect.access == Access::lost || here);
            frame = effect.access == Access::write ? Access::write : frame;
            break;
        case Effect::Type::copy:
            FUZZ_CHECK(!here);
            frame = Access::read;
            break;
        default:
            break;
        }
    }

    // The home's word is taken for which stretches there are: an answer may name any page that was asked about.
    void send(const Effect &effect, const Event &event) {
        FUZZ_CHECK(effect.to != state_.self() && effect.to < kMaxNodes);
        FUZZ_CHECK(effect.msg.base < frames_.size() ||
                   (event.type == Event::Type::message && effect.msg.base == event.msg.base));
        if (effect.msg.type == MsgType::data) {
            FUZZ_CHECK(effect.msg.mask == staged_);
            staged_ = 0;
        }
    }

    void check_bounds() const {
        const PageIndex pages = frames_.size();
        FUZZ_CHECK(state_.pending_requests() <= pages);
        FUZZ_CHECK(state_.open_transactions() <= pages);
        FUZZ_CHECK(state_.queued_gets() <= pages * kMaxNodes);
        FUZZ_CHECK(state_.deferred_forwards() <= pages * kMaxNodes);
        FUZZ_CHECK(out_.size() <= 64 + pages * (kMaxNodes + 8));
        for (PageIndex page = 0; page < pages; ++page) {
            const auto access = state_.access(page);
            const auto frame = frames_[page];
            FUZZ_CHECK(access == Access::lost || access == frame);
        }
    }

    State state_;
    std::vector<Access> frames_;     // what is mapped
    std::vector<Stretch> stretches_; // at the home
    Outbox out_;
    std::uint64_t staged_ = 0;
    bool moved_ = false;       // there has been another home
    std::uint64_t newest_ = 0; // transaction under which something has been given
};

// Numbers as they occur in a young object, and now and then any number at all.
std::uint64_t some_number(Choices &choices, std::uint64_t first) {
    const auto pick = choices.byte();
    return pick < 0xf0 ? first + pick % 16 : choices.number();
}

Msg some_message(Choices &choices, std::uint64_t pages) {
    Msg msg;
    msg.type = static_cast<MsgType>(choices.below(21));
    const auto flags = choices.byte();
    msg.write = (flags & 1) != 0;
    msg.have = (flags & 2) != 0;
    msg.lost = (flags & 12) == 12;
    msg.requester = static_cast<NodeId>((flags & 0xf0) == 0xf0 ? choices.number() : (flags >> 4) % kNodes);
    msg.count = 1 + choices.below(4);
    msg.txn = some_number(choices, kFirstTransaction - 1);
    msg.request = some_number(choices, 0);
    msg.base = choices.byte() < 0xf0 ? choices.below(static_cast<unsigned>(pages * kStretches)) : choices.number();
    const auto mask = choices.byte();
    msg.mask = mask < 0xf0 ? mask & 15 : choices.number();
    return msg;
}

Event some_event(Choices &choices, unsigned what, NodeId self, std::uint64_t pages) {
    Event event;
    if (what < 80) {
        event.type = what < 70 ? Event::Type::fault : Event::Type::evict;
        event.page = choices.below(static_cast<unsigned>(pages * kStretches));
        event.write = choices.flag();
        event.window = choices.below(6);
    } else if (what < 250) {
        event.type = Event::Type::message;
        event.from = static_cast<NodeId>(what < 248 ? what % kNodes : choices.number());
        event.msg = some_message(choices, pages);
    } else {
        event.type = Event::Type::node_down;
        event.from = static_cast<NodeId>((self + 1U + choices.below(kNodes - 1)) % kNodes);
    }
    return event;
}

} // namespace

// The first bytes choose whose core it is, the home's or another node's, and how many pages there are.
void core(Bytes input) {
    Choices choices(input);
    const auto self = static_cast<NodeId>(choices.flag() ? 1 : kHome);
    const std::uint64_t pages = choices.flag() ? 70 : 1 + choices.below(4);
    Executor executor(self, pages);
    while (choices.any_left()) {
        const auto what = choices.byte();
        if (what >= 253) {
            constexpr std::array kOrders{Event::Type::freeze, Event::Type::snapshot, Event::Type::thaw,
                                         Event::Type::end};
            const auto order = choices.below(kOrders.size() + 1);
            if (order == kOrders.size()) {
                executor.move_home(static_cast<NodeId>(choices.below(kNodes)));
            } else {
                executor.order(kOrders.at(order), choices.below(kStretches));
            }
        } else {
            executor.run(some_event(choices, what, self, pages));
        }
    }
}

} // namespace fuzz
