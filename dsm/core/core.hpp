// SPDX-License-Identifier: BSD-3-Clause
// The coherence core: what one node knows of one memory object, and how it answers one event. Pure: no clock, thread,
// socket, system call or lock. The caller gives an event, step() changes the state and lists effects in the outbox,
// and the caller carries them out in order before the next event.
#pragma once

#include "dsm/core/tables.hpp"

#include <bitset>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace norma::dsm {

using NodeId = std::uint16_t;
inline constexpr unsigned kMaxNodes = 256;
inline constexpr unsigned kBatch = 64; // pages one message may cover
using NodeSet = std::bitset<kMaxNodes>;
using PageIndex = std::uint64_t;
inline constexpr PageIndex kEndOfPages = PageIndex{1} << 51; // a file holds no more
inline constexpr NodeId kNoNode = kMaxNodes;

// Globally unique for ever: serials are never reused within one incarnation of a node server.
struct ObjectId {
    std::uint32_t home = 0;
    std::uint32_t incarnation = 0;
    std::uint64_t serial = 0;
    auto operator<=>(const ObjectId &) const = default;
};

// What a node may do with a page.
enum class Access : std::uint8_t {
    none,  // no frame here
    read,  // a frame, write-protected in every local mapping (at the home it may be a hole that reads as zeros)
    write, // exclusive: the only copy in the job (at the home it may be a hole that reads as zeros)
    lost,  // poisoned: the only copy died with its node
};

enum class MsgType : std::uint8_t {
    get = 1,   // requester -> home: I need pages [base, base + count); base is the one a thread waits for
    forward,   // home -> owner: supply the pages to `requester`; write: and give them up
    inval,     // home -> sharer: drop the pages
    inval_ack, // sharer -> home
    data,      // owner -> requester: the pages (payload: those in mask & ~zero, in order of page)
    grant,     // home -> requester: the access you asked for, for pages whose data you hold already
    done,      // requester -> home, if neither is the supplier: over; mask = the pages accepted
    fail,      // home -> requester: the supplier died; pages that did not arrive are not coming
    release,   // holder -> home: I should like to be rid of these pages; until you take them they stay
    freeze,    // home -> node: rights to write the stretch that begins at base, given under transactions below txn, end
    frozen,    // node -> home: they have ended
    forget,    // home -> node: the stretch that begins at base is over; drop what you hold of it
    // The home moves (docs/rehoming.md); txn is the number of the move.
    moving,   // home -> holder: to `requester`; ask for nothing more, and say when nothing you asked for is out
    ready,    // holder -> home: nothing is
    record,   // home -> next home: of the directory (mask 0: `requester` is a holder of the object)
    moved,    // home -> next home: you have the directory when `count` records have come
    home,     // next home -> holder: I am the home; or home -> holder: I stay it
    orphan,   // holder -> one of the two homes: the other one is down, are you the home?
    homeless, // the answer: no, and there is none any more
};

// One message about one object. Fields that a type does not use are 0.
struct Msg {
    MsgType type{};
    bool write = false;      // get, forward, data, grant: exclusive access wanted or given; record: owns them
    bool have = false;       // get: I hold a readable copy of base
    NodeId requester = 0;    // forward; moving: the next home; record: who owns or shares the pages
    std::uint32_t count = 0; // get: size of the window, 1 .. kBatch; moved: how many records there are
    std::uint64_t txn = 0;   // all but get, release: the home's number of the transaction, the page epoch; never reused
    // get, forward, data, grant, fail: the requester's own number, echoed; never reused. moved: the next transaction's
    std::uint64_t request = 0;
    PageIndex base = 0;
    std::uint64_t mask = 0; // all but get: bit i is page base + i
    std::uint64_t zero = 0; // data: pages of mask that are all zeros and carry no payload (set by the executor)
    bool lost = false;      // fail, record: the pages are poisoned
    auto operator<=>(const Msg &) const = default;
};

struct PageRun {
    PageIndex first = 0;
    std::uint64_t count = 0;
};

struct Event {
    enum class Type : std::uint8_t {
        fault,
        evict,
        message,
        node_down,
        // At the home only, all about `stretch` (docs/snapshots.md):
        freeze,   // nobody may write in it until as many thaws; Effect::frozen says when that is so
        snapshot, // of a frozen stretch: it becomes stretch State::next_stretch()
        thaw,
        end, // no task maps it any more, on any node
        // At the home only, of an object that may move: its home is to be `from`, and `holders` are the other nodes
        // that have the object, that one among them. Effect::may_hand_over says when nothing is on its way any more.
        move_home,
        hand_over, // then: `frames` are the pages that have frames here
        stay_home, // it is not to move after all
    } type{};
    // fault: a local thread touched `page` and the mapping did not allow it. `window` (1 .. kBatch) is how many pages
    // from `page` on the caller would like to have; only the first is owed.
    PageIndex page = 0;
    bool write = false;
    std::uint32_t window = 1;
    // evict: what is held of the `window` pages from `page` on should leave this node.
    // message, node_down
    NodeId from = 0;
    Msg msg{};
    // freeze, snapshot, thaw, end
    std::uint64_t stretch = 0;
    NodeSet holders{};                 // move_home
    std::span<const PageRun> frames{}; // hand_over; in order
};

struct Effect {
    enum class Type : std::uint8_t {
        protect, // write-protect the pages in every local mapping, before anything that follows
        stage,   // read the frames of the pages into a buffer: the payload of the next send
        drop,    // discard the frames in every local mapping
        install, // the payload of the message being handled becomes the frames; writable or write-protected
        resolve, // local threads that wait for these pages: the access is now `access` (write also lifts protection)
        send,    // to `to`
        copy,    // the frames of `from` + i become those of base + i, for each bit i of mask; write-protected
        freeze,  // write-protect the pages() pages from base on in every local mapping
        forget,  // discard the frames of the pages() pages from base on; no local mapping of them is left
        frozen,  // the stretch that begins at base: whoever froze it may go on
        may_hand_over, // the home can move: hand_over or stay_home has to follow
        became_home,   // this node is the home now
        stays_home,    // this node was to hand it over, and will not
        home_known,    // the move of which this node was told is over: State::home() is where the home is, or was last
    } type{};
    Access access{};        // install, resolve
    NodeId to = 0;          // send
    PageIndex base = 0;     // all but send
    std::uint64_t mask = 0; // all but send, freeze, forget, frozen and what concerns the home
    Msg msg{};              // send
    PageIndex from = 0;     // copy
};
using Outbox = std::vector<Effect>; // reused by the caller; cleared by step()

// Where the numbers this node gives out begin. 0 is reserved for "none"; both grow for ever.
struct FirstNumbers {
    std::uint64_t transaction = 1; // used at the home only
    std::uint64_t request = 1;
};

// What one node knows of one memory object: the cache side (every node) and the directory side (used at the home only).
// A page of which nothing was ever heard has no entry: at the home it is writable, elsewhere it is not here.
class State {
  public:
    State(ObjectId object, NodeId self, NodeId home, std::uint64_t pages, FirstNumbers first = {});

    const ObjectId &object() const { return object_; }
    NodeId self() const { return self_; }
    NodeId home() const { return home_; }
    std::uint64_t pages() const { return pages_; } // of each stretch
    std::uint64_t stretch_of(PageIndex page) const { return page / pages_; }
    bool is_home() const { return self_ == home_; }
    // Whether the home, this node, can move now: it does not already, and there is one stretch, which is not frozen.
    bool may_move() const;
    bool is_moving() const { return move_.has_value(); } // at the home
    bool waits_for_home() const { return pause_.has_value(); }
    bool is_down(NodeId node) const { return down_[node]; }

    // Cache side.
    Access access(PageIndex page) const {
        const CachePage &entry = cache_.look(page);
        return limit(page, entry.access, entry.epoch);
    }
    // visit(page, number of pages) for the pages of [first, first + count), all of one stretch, that are here for
    // reading only; of a stretch that was frozen once, for all of them.
    template <class Visit> void for_each_readable_run(PageIndex first, std::uint64_t count, Visit visit) const {
        if (floor(first) != 0) {
            visit(first, count);
            return;
        }
        PageIndex start = 0;
        std::uint64_t length = 0;
        cache_.for_each_of(stretch_of(first), [&](PageIndex page, const CachePage &entry) {
            if (page < first || page - first >= count || entry.access != Access::read) {
                return;
            }
            if (length > 0 && page == start + length) {
                ++length;
                return;
            }
            if (length > 0) {
                visit(start, length);
            }
            start = page;
            length = 1;
        });
        if (length > 0) {
            visit(start, length);
        }
    }
    bool pending(PageIndex page) const { return cache_.look(page).request != kNoSlot; }
    std::size_t pending_requests() const { return requests_.used(); }
    std::size_t deferred_forwards() const { return deferred_.size(); }

    // Directory side; meaningful at the home.
    NodeId owner(PageIndex page) const { return directory_.look(page).owner; }
    const NodeSet &sharers(PageIndex page) const { return directory_.look(page).sharers; }
    bool lost(PageIndex page) const { return directory_.look(page).lost; }
    bool busy(PageIndex page) const { return directory_.look(page).busy != kNoSlot; }
    std::size_t open_transactions() const { return transactions_.used(); }
    std::size_t queued_gets() const { return queue_.used(); }
    bool settled(PageIndex page) const { return directory_.look(page).settled; }
    // visit(page) for the pages of a stretch that another node owns.
    template <class Visit> void for_each_elsewhere(std::uint64_t stretch, Visit visit) const {
        directory_.for_each_of(stretch, [&](PageIndex page, const DirectoryPage &entry) {
            if (entry.owner != self_ && !entry.lost) {
                visit(page);
            }
        });
    }
    // Stretches of which a snapshot can be made, or that one which can reads through to.
    bool has_stretch(std::uint64_t stretch) const { return place_of(stretch) < line_.size(); }
    // The number of the next snapshot's; none if there are no more.
    std::optional<std::uint64_t> next_stretch() const {
        return next_stretch_ < kEndOfPages / pages_ ? std::optional(next_stretch_) : std::nullopt;
    }
    std::vector<std::uint64_t> line() const;

    // Messages that their sender cannot have sent: malformed, or not its business. Ignored.
    std::uint64_t rejected() const { return rejected_; }
    // Messages that came too late to matter: of a transaction or request that is over, or from a dead node. Ignored.
    std::uint64_t late() const { return late_; }

    // Two states with equal bytes behave alike for ever. Counters of ignored messages are not part of it.
    std::vector<std::uint8_t> canonical() const;
    std::string describe() const;
    bool operator==(const State &other) const { return canonical() == other.canonical(); }

  private:
    friend class CacheSide;
    friend class DirectorySide;
    friend class Inbox;
    friend class HomeMove;

    struct CachePage {
        std::uint64_t epoch = 0;         // the newest transaction that is known here to have concerned the page
        std::uint32_t request = kNoSlot; // the request under way that covers the page
        Access access = Access::none;
        std::uint8_t want = 0; // what local threads wait for: kWantRead, kWantWrite
    };
    struct Request {
        std::uint64_t number = 0;
        PageIndex base = 0;
        std::uint32_t count = 0;
        bool write = false;
    };
    struct DirectoryPage {
        NodeSet sharers;                     // without the owner
        std::uint32_t busy = kNoSlot;        // the page's transaction
        std::uint32_t queue_first = kNoSlot; // gets that wait for it to end, in order of arrival
        std::uint32_t queue_last = kNoSlot;
        NodeId owner = 0;
        bool lost = false;
        bool settled = true; // false: pending
    };
    static DirectoryPage record_at(NodeId home, bool settled);
    struct Get {
        std::uint64_t request = 0; // 0: nobody asked; the home's directory wants a copy there
        PageIndex base = 0;
        std::uint32_t count = 0;
        std::uint32_t next = kNoSlot;
        NodeId from = 0;
        bool write = false;
        bool have = false;
        bool release = false; // not for the page but to be rid of it; request, write and have mean nothing
    };
    enum class Phase : std::uint8_t {
        invalidating, // waits for the acknowledgements of `waiting`
        answering,    // a third node supplies; waits for the requester's done
    };
    struct Transaction {
        std::uint64_t number = 0;
        Get get{};
        std::uint64_t mask = 0;
        NodeSet waiting;
        NodeId supplier = 0; // who sends the data; of an upgrade: the requester itself
        Phase phase = Phase::invalidating;
        bool upgrade = false;
    };
    // A stretch in the line (docs/snapshots.md).
    struct Stretch {
        std::uint64_t number = 0;
        std::uint64_t freeze = 0;  // the transaction number of the last freeze
        std::uint32_t freezes = 0; // that were not thawed yet
        bool ended = false;        // no task maps it
        std::uint64_t needed = 0;  // if it has ended: its pages that a pending page of a live stretch reads through to
        NodeSet given;             // nodes that may hold pages of it
        NodeSet writers;           // nodes that were given write access since the last freeze
        NodeSet freezing;          // nodes whose `frozen` is out
        std::map<std::pair<PageIndex, NodeId>, Get> held; // gets for writing that wait for the thaw
        // A freeze that was thawed early goes on until all have answered: a right to write that is given later must not
        // meet it.
        bool holds_writes() const { return freezes > 0 || freezing.any(); }
        bool frozen() const { return freezes > 0 && freezing.none(); }
    };

    // At the home, from move_home to hand_over or stay_home.
    struct Move {
        std::uint64_t number = 0; // a transaction's
        NodeId to = 0;
        NodeSet holders; // live ones
        NodeSet awaited; // those that have not said ready
        bool announced = false;
    };
    // At a holder, the home among them, from when it is told that the home moves until it is told where the home is.
    struct Pause {
        std::uint64_t number = 0;
        NodeId next_home = kNoNode;
        bool ready = false;                                      // it has said so
        std::vector<std::pair<PageIndex, std::uint32_t>> unsent; // what was asked for meanwhile, with its window
        std::vector<Msg> records;                                // at the next home: those that have come
        std::optional<Msg> moved;                                // at the next home
    };

    // What a right to a page amounts to that was given under transaction `epoch`.
    Access limit(PageIndex page, Access access, std::uint64_t epoch) const {
        return access == Access::write && epoch < floor(page) ? Access::read : access;
    }
    std::uint64_t floor(PageIndex page) const {
        if (floors_.empty()) {
            return 0;
        }
        const auto found = floors_.find(stretch_of(page));
        return found != floors_.end() ? found->second : 0;
    }
    // How many pages there are from `page` to the end of its stretch.
    std::uint64_t room(PageIndex page) const { return pages_ - page % pages_; }
    // At the home: whether the page is, or was, of a stretch.
    bool existed(PageIndex page) const { return stretch_of(page) < next_stretch_; }
    // Where in the line; its end if nowhere.
    std::size_t place_of(std::uint64_t stretch) const;

    ObjectId object_;
    NodeId self_;
    NodeId home_;
    std::uint64_t pages_;
    NodeSet down_;
    std::uint64_t next_request_;
    std::uint64_t next_transaction_;
    StretchTable<CachePage> cache_;
    std::map<std::uint64_t, std::uint64_t> floors_; // by stretch: rights given under earlier transactions are to read
    Slab<Request> requests_;
    std::vector<Msg> deferred_; // forwards of pages that are on their way here from the home, in order of arrival
    StretchTable<DirectoryPage> directory_;
    std::vector<Stretch> line_; // at the home; each reads through to the one before it
    std::uint64_t next_stretch_ = 1;
    Slab<Transaction> transactions_;
    Slab<Get> queue_;
    std::optional<Move> move_;
    std::optional<Pause> pause_;
    std::uint64_t last_move_ = 0;             // the newest whose outcome this node knows
    NodeSet former_homes_;                    // that this node knows of
    std::map<NodeId, std::uint64_t> orphans_; // who asked of which move whether this node is the home now, too early
    std::vector<Msg> to_self_;                // messages between the home's two sides; empty between steps
    std::uint64_t rejected_ = 0;
    std::uint64_t late_ = 0;
};

// Handles one event. The effects in `out` are to be carried out in order, before the next event.
void step(State &state, const Event &event, Outbox &out);

// One line about a message, for traces.
std::string describe(const Msg &msg);

} // namespace norma::dsm
