// SPDX-License-Identifier: BSD-3-Clause
// The two sides of a node's share of an object. They talk by messages, also where both are at the home. The exception
// is what the directory does to the home's own copy: supply, access and removal are direct calls, so that the copy and
// the record change at the same moment.
#pragma once

#include "dsm/core/core.hpp"

#include <bit>
#include <span>
#include <utility>

namespace norma::dsm {

inline constexpr std::uint8_t kWantRead = 1;
inline constexpr std::uint8_t kWantWrite = 2;

// The `count` lowest bits, 1 <= count <= 64.
constexpr std::uint64_t low_bits(std::uint32_t count) {
    return ~std::uint64_t{0} >> (64 - count);
}

// visit(i) for every set bit i, lowest first.
template <class Visit> void for_each_bit(std::uint64_t mask, Visit visit) {
    for (; mask != 0; mask &= mask - 1) {
        visit(static_cast<std::uint32_t>(std::countr_zero(mask)));
    }
}

// visit(node) for every member, lowest first. (The set's own search skips empty words; it is libstdc++'s.)
template <class Visit> void for_each_node(const NodeSet &set, Visit visit) {
    for (std::size_t node = set._Find_first(); node < kMaxNodes; node = set._Find_next(node)) {
        visit(static_cast<NodeId>(node));
    }
}

// To another node: an effect. To oneself: kept until the message in hand has been dealt with.
void send(std::vector<Msg> &to_self, NodeId self, NodeId to, const Msg &msg, Outbox &out);

class CacheSide {
  public:
    CacheSide(State &state, Outbox &out) : s_(state), out_(out) {}

    void fault(PageIndex page, bool write, std::uint32_t window);
    void evict(PageIndex page, std::uint32_t window);
    // Asks for a page that no thread waits for, unless it is being asked for.
    void fetch(PageIndex page);
    void on_data(NodeId from, const Msg &msg);
    void on_grant(const Msg &msg);
    void on_forward(const Msg &msg);
    void on_inval(const Msg &msg);
    void on_fail(const Msg &msg);
    void on_freeze(const Msg &msg);
    void on_home_down();
    void forget(std::uint64_t stretch);

    // For the home's directory only.
    void on_here(std::uint64_t request, PageIndex base);
    // The home's copy of `from` becomes its copy of `to`.
    void settle(PageIndex from, PageIndex to);
    void freeze(std::uint64_t stretch, std::uint64_t txn);

    // For the move of a home only.
    // Asks for what local threads have begun to want while nothing could be asked for.
    void ask_for(std::span<const std::pair<PageIndex, std::uint32_t>> unsent);
    // The threads that want it will not get it.
    void give_up(std::span<const std::pair<PageIndex, std::uint32_t>> unsent);

    // Sends the pages of a forward that are held here, gives them up if they are wanted for writing, and returns them.
    std::uint64_t supply(const Msg &forward);
    // Gives up the pages of mask, all of which are held here.
    void drop(PageIndex base, std::uint64_t mask, std::uint64_t txn);

  private:
    void on_fetched(const Msg &data);
    void ask(PageIndex page, bool write, std::uint32_t window);
    std::uint32_t window_from(PageIndex page, std::uint32_t window) const;
    std::uint32_t find_request(std::uint64_t number, PageIndex base) const;
    void conclude(std::uint32_t slot, std::uint64_t txn, std::uint64_t accepted, Access got);
    void ask_again(const State::Request &request);
    bool on_its_way(const Msg &forward) const;
    bool defer(const Msg &forward);
    void supply_deferred();
    std::uint64_t in_time(const Msg &answer) const;
    void concern(PageIndex base, std::uint64_t mask, std::uint64_t txn);
    void set_access(PageIndex base, std::uint64_t mask, Access access);
    std::uint64_t held(PageIndex base, std::uint64_t mask, std::uint64_t txn) const;
    std::uint64_t having(PageIndex base, std::uint64_t mask, Access access) const;
    void protect(PageIndex base, std::uint64_t mask);
    void emit(Effect::Type type, PageIndex base, std::uint64_t mask, Access access = Access::none);
    void send_home(const Msg &msg) { send(s_.to_self_, s_.self_, s_.home_, msg, out_); }

    State &s_;
    Outbox &out_;
};

// The move of an object's home to another node (docs/rehoming.md): what the home, the next home and the other holders
// do.
class HomeMove {
  public:
    HomeMove(State &state, CacheSide &cache, Outbox &out) : s_(state), cache_(cache), out_(out) {}

    void begin(NodeId to, const NodeSet &holders);
    void hand_over(std::span<const PageRun> frames);
    void stay();
    void on_moving(NodeId from, const Msg &msg);
    void on_ready(NodeId from, const Msg &msg);
    void on_record(const Msg &msg);
    void on_moved(const Msg &msg);
    void on_home(NodeId from, const Msg &msg);
    void on_orphan(NodeId from, const Msg &msg);
    void on_homeless(NodeId from, const Msg &msg);
    void on_node_down(NodeId node);
    // After everything else in a step: says so if nothing that was asked for is out any more.
    void settle();

  private:
    void pause(std::uint64_t number, NodeId next_home);
    void go_on(NodeId home, std::uint64_t number);
    void ask_other(NodeId dead);
    void no_home(NodeId home);
    void become_home();
    void take_records(const State::Pause &pause);
    void believe_own_copy(PageIndex page);
    void forget_holes(std::span<const PageRun> frames);
    bool has_handed_over(std::uint64_t number) const;
    void change_home(NodeId home);
    void tell(const NodeSet &nodes, MsgType type, std::uint64_t number);
    void announce(Effect::Type type);

    State &s_;
    CacheSide &cache_;
    Outbox &out_;
};

class DirectorySide {
  public:
    DirectorySide(State &state, Outbox &out) : s_(state), out_(out), own_copy_(state, out) {}

    void on_get(NodeId from, const Msg &msg);
    void on_release(NodeId from, const Msg &msg);
    void on_inval_ack(NodeId from, const Msg &msg);
    void on_done(NodeId from, const Msg &msg);
    void on_frozen(NodeId from, const Msg &msg);
    void on_node_down(NodeId node);
    // What whoever uses the object at its home does with whole stretches (docs/snapshots.md).
    void freeze(std::uint64_t stretch);
    void snapshot(std::uint64_t stretch);
    void thaw(std::uint64_t stretch);
    void end(std::uint64_t stretch);
    // After everything else in a step: ended stretches that nobody needs leave the line.
    void discard_unneeded();
    // Whether a transaction of the home's own waits for this data message.
    bool awaits(NodeId from, const Msg &data) const;

  private:
    using Page = State::DirectoryPage;
    using Get = State::Get;
    using Transaction = State::Transaction;
    using Stretch = State::Stretch;

    void accept(const Get &get);
    void refuse(const Get &get, bool lost);
    void start(Get get);
    void start_removal(const Get &get);
    void begin(const Transaction &opening);
    std::uint64_t extras(const Transaction &transaction) const;
    bool fits(const Transaction &transaction, PageIndex index) const;
    void advance(std::uint32_t slot);
    void remove(std::uint32_t slot);
    void grant(std::uint32_t slot);
    void supply(std::uint32_t slot);
    void forward(Transaction &transaction);
    Msg forward_of(const Transaction &transaction) const;
    void restart(std::uint32_t slot);
    void abandon(std::uint32_t slot);
    void commit(const Transaction &transaction, Page &page, bool accepted);
    void close(std::uint32_t slot);
    void release(std::uint32_t slot);
    void serve_queues(PageIndex base, std::uint64_t mask);
    void review(std::uint32_t slot, NodeId node);

    // directory_stretches.cpp
    bool prepare(Get &get);
    bool settle(const Get &get, std::size_t place);
    bool preserve(Get &get, std::size_t place);
    void copy(PageIndex from, PageIndex to);
    void settled(PageIndex from, PageIndex to);
    Get own_get(PageIndex base, std::uint32_t count) const;
    void fetch(PageIndex base, std::uint32_t count);
    PageIndex source_of(PageIndex page, std::size_t place) const;
    std::optional<PageIndex> reader_of(PageIndex page, std::size_t place) const;
    bool has_reader(PageIndex page) const;
    void give(const Transaction &opening);
    void hold(const Get &get, std::size_t place);
    void announce(const Stretch &stretch);
    void let_write(Stretch &stretch);
    void no_longer_freezing(Stretch &stretch, NodeId node);
    void no_longer_needed(PageIndex page, std::size_t place);
    template <class Visit> void for_each_needed(std::size_t place, Visit visit) const;
    void count_needed(std::size_t place);
    void empty_one();
    bool quiet(const Stretch &stretch) const;
    void discard(std::size_t place);

    void wait(PageIndex at, const Get &get);
    void enqueue(Page &page, const Get &get);
    void enqueue_first(Page &page, const Get &get);
    Get dequeue(Page &page);
    bool queued(const Page &page, const Get &get) const;
    void drop_queued(Page &page, NodeId from);

    NodeSet rivals(const Page &page, NodeId requester) const;
    NodeId supplier_of(const Page &page, bool write) const;
    bool holds(const Page &page, NodeId node) const { return page.owner == node || page.sharers[node]; }
    void forget(Page &page, NodeId node) const;
    void heal(Page &page) const;
    void lose(Page &page) const;
    void drop_own_copy(const Transaction &transaction);
    std::uint32_t find_transaction(const Msg &msg) const;
    void send_to(NodeId to, const Msg &msg) { send(s_.to_self_, s_.self_, to, msg, out_); }

    State &s_;
    Outbox &out_;
    CacheSide own_copy_;
};

} // namespace norma::dsm
