// SPDX-License-Identifier: BSD-3-Clause
// Carries out what the coherence core decides: reads faults, moves pages between frames and messages, and
// write-protects or drops them in the local tasks' mappings. One per node server, used by its loop only; nothing here
// blocks.
#pragma once

#include "dsm/backing.hpp"
#include "dsm/core/core.hpp"
#include "dsm/frames.hpp"
#include "dsm/hot_pages.hpp"
#include "dsm/stream.hpp"
#include "dsm/thread_times.hpp"
#include "dsm/userfault.hpp"
#include "rpc/transport.hpp"

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace norma::dsm {

struct Bringing;
struct LocalObject;
struct Saving;
struct Waiting;
struct Wiring;

// The memory of one local task, as far as coherent objects are mapped into it. Owned by the task's record; the pager
// keeps a pointer in each object that is mapped here, so a space outlives its mappings (unmap_all() first).
// How a program says it will use a range; the pager then need not guess from the faults.
enum class Advice : std::uint8_t { none, random, sequential };

struct Space {
    Space(int userfault_fd, ThreadTimes &account) : userfault(userfault_fd), times(account) {}
    struct Range {
        std::uint64_t start = 0, pages = 0;
        LocalObject *object = nullptr;
        PageIndex first = 0; // the object's page at `start`
        Advice advice = Advice::none;
    };
    Userfault userfault;
    ThreadTimes &times;                    // of the task, which tells it of all but the faults
    std::map<std::uint64_t, Range> ranges; // by start
    const Range *find(std::uint64_t address) const;
    void split(std::uint64_t address); // the range with the address inside, so that one begins there
};

// A message and the object it is about.
struct ObjectMsg {
    ObjectId object;
    Msg msg;
};

struct PagerCounters {
    std::uint64_t faults_read = 0, faults_write = 0, zero_filled = 0, pages_in = 0, pages_out = 0, poisoned = 0;
};

// What came of wiring: a page was lost with its node, or the machine has no memory.
enum class WiringResult : std::uint8_t { wired, lost, no_memory };

// What came of saving: all is in the file; a page was lost with its node; a page, which is still here, could not be
// written.
enum class SavingResult : std::uint8_t { saved, lost, unwritten };

// Pages of one stretch: bit i of `mask` is page base + i.
struct Batch {
    PageIndex base = 0;
    std::uint64_t mask = 0;
    bool write = false; // they are held, or wanted, for writing
};
struct Held {
    std::vector<Batch> batches;
    PageIndex next; // what comes before it is listed as far as it is here
};

// What happens to an object's home (docs/rehoming.md): it was to move from here, and can, or will not; it has come
// here; this node knows again where it is.
enum class HomeNews : std::uint8_t { may_hand_over, stays, came, known };

class Pager {
  public:
    struct Hooks {
        // The messages, which travel together; a payload belongs to the first.
        std::function<void(NodeId to, std::span<const ObjectMsg>, rpc::StagingPtr)> send;
        std::function<rpc::StagingPtr()> stage;
        // A thread of the task waits for a page that is lost for good: make its access fail, then call wake().
        std::function<void(Space &, std::uint64_t address)> poison;
        // Nobody writes in the stretch any more, on any node: whoever has frozen it may go on. May call the pager.
        std::function<void(const ObjectId &, std::uint64_t stretch)> frozen;
        std::function<void(const ObjectId &, HomeNews)> home; // likewise
        std::function<ThreadTimes::Time()> now;
    };
    Pager(NodeId self, std::uint32_t incarnation, std::uint32_t prefetch, Hooks hooks);
    ~Pager();

    // A new object with its home here, of zeros or of a file's content. Throws std::system_error if there is no memory
    // for its description.
    ObjectId create(std::uint64_t pages, std::unique_ptr<Backing> file = nullptr);
    // An object of another node's; no effect if it is known already.
    void attach(const ObjectId &id, std::uint64_t pages, NodeId home);
    void destroy(const ObjectId &id); // no mapping may be left
    bool knows(const ObjectId &id) const { return objects_.contains(id); }
    std::uint64_t pages(const ObjectId &id) const; // of each stretch
    int frames_fd(const ObjectId &id) const;
    std::uint64_t resident(const ObjectId &id) const; // bytes of its frames here

    // The task has mapped [address, address + pages) onto the object's frames from page `first` on, all of one stretch.
    // Called before any thread of the task can touch the range.
    void map(Space &space, std::uint64_t address, std::uint64_t pages, const ObjectId &id, PageIndex first);
    // The range, or a part of what was mapped, is going away. Called before the task unmaps it.
    void unmap(Space &space, std::uint64_t address, std::uint64_t pages);
    void unmap_all(Space &space);

    // Of the parts of [address, address + pages) that are mapped: how threads will use them from now on;
    void advise(Space &space, std::uint64_t address, std::uint64_t pages, Advice advice);
    // bring a copy here, of as many pages as a stream would have under way, without waiting for them;
    void fetch(Space &space, std::uint64_t address, std::uint64_t pages);
    // let what is held leave this node. A hint: a page may also stay.
    void evict(Space &space, std::uint64_t address, std::uint64_t pages);

    // What has frames here of [first, first + pages), a part of one stretch, in at most so many batches.
    Held held(const ObjectId &id, PageIndex first, std::uint64_t pages, std::size_t most) const;
    // Brings pages here, for which no thread waits. `done`, maybe at once: all have come, or will not, or the object is
    // no more. They may have gone again since.
    void bring(const ObjectId &id, std::vector<Batch> batches, std::function<void()> done);
    // Which pages of the batch are not here as they are wanted, nor on their way, nor lost; and whether any is lost.
    std::uint64_t missing(const ObjectId &id, const Batch &batch) const;
    bool has_lost(const ObjectId &id, const Batch &batch) const;

    // The pages of a stretch, of an object whose home is here, that may have been written: a bit for each. All others
    // are zeros.
    std::vector<bool> content(const ObjectId &id, std::uint64_t stretch) const;
    // Frames as they are here, whole pages; what has none reads as zeros.
    void read(const ObjectId &id, PageIndex page, std::span<std::byte> into) const;
    // Of a new object, which nobody maps yet.
    void write(const ObjectId &id, PageIndex page, std::span<const std::byte> from);

    // Pages of an object whose home is here, for writing and to stay, until as many calls of unwire() with the same
    // arguments or the object's end. From now on other nodes' requests for them are refused: their threads find the
    // pages lost. `done` may be called at once; unless it says `wired`, the pages are not.
    void wire(const ObjectId &id, PageIndex first, std::uint64_t pages, std::function<void(WiringResult)> done);
    void unwire(const ObjectId &id, PageIndex first, std::uint64_t pages);

    // Snapshots (docs/snapshots.md), of an object whose home is here. freeze() ends with the hook `frozen`, maybe
    // before it returns. Freezes are counted: each is undone by one thaw(), also if it has not ended.
    void freeze(const ObjectId &id, std::uint64_t stretch);
    // A new stretch with the content that the frozen one has. Throws std::system_error if there is no room for it.
    std::uint64_t snapshot(const ObjectId &id, std::uint64_t stretch);
    void thaw(const ObjectId &id, std::uint64_t stretch);
    // No task maps the stretch any more, on any node.
    void end(const ObjectId &id, std::uint64_t stretch);

    // The move of a home. What an object whose home is here can do otherwise than to move: it is wired, frozen, a
    // file's, or has copies. Once begun, HomeNews says whether to hand it over; freezing, wiring, or ending it calls
    // the move off.
    NodeId home(const ObjectId &id) const;
    bool waits_for_home(const ObjectId &id) const;
    bool may_move(const ObjectId &id) const;
    void move_home(const ObjectId &id, NodeId to, const NodeSet &holders);
    void hand_over(const ObjectId &id);
    void stay_home(const ObjectId &id); // no effect if it does not move

    // Of an object with a file, whose home is here (pages of the object as it was opened).
    Backing &file(const ObjectId &id) const;
    // Reads what has not been read yet.
    void load(const ObjectId &id, PageIndex first, std::uint64_t pages);
    // Brings the content of pages that have been read here, from whoever has it, and writes what differs into the file.
    // `done` may be called at once, and must not end the object.
    void save(const ObjectId &id, PageIndex first, std::uint64_t pages, std::function<void(SavingResult)> done);
    // What is here of all objects with files, without waiting for what is not.
    void save_what_is_here();

    void fault(Space &space, const PageFault &fault);
    // `payload` may be of any size. False: its sender cannot have sent it, because the payload does not fit the masks
    // or because the protocol has no such message there and then; it was ignored.
    bool message(NodeId from, const ObjectId &id, const Msg &msg, std::span<const std::byte> payload);
    void node_down(NodeId node);

    // The last message of a transaction only lets the page's next one begin. It is kept back for a moment: it travels
    // with the next message to that node, and the thread that got the page runs before it is sent. The caller sends
    // what is left before any other message, and at the latest a few microseconds later.
    bool has_notices() const { return !notices_.empty(); }
    void send_notices();

    // Of up to 64 pages at their home, a bit each: whether the page is lost, or in a transaction that may find it so.
    std::uint64_t lost(const ObjectId &id, PageIndex first, std::uint64_t pages) const;
    const PagerCounters &counters() const { return counters_; }
    const HotPages &hot_pages() const { return hot_pages_; }
    bool threads_wait() const { return waiting_ > 0; } // for a page
    void for_each_core(const std::function<void(const State &)> &visit) const;

  private:
    LocalObject *find(const ObjectId &id) const;
    void ask(LocalObject &object, StreamDetector::Ahead pages, bool write);
    std::uint64_t load(LocalObject &object, PageIndex page, std::uint64_t count);
    bool load_run(LocalObject &object, PageIndex page, std::uint64_t count);
    bool save_page(const LocalObject &object, PageIndex page);
    void save_arrived(LocalObject &object, PageIndex first, std::uint64_t count);
    void settle_savings(LocalObject &object);
    bool settle(LocalObject &object, Saving &saving);
    void settle_bringings(LocalObject &object);
    bool settle(LocalObject &object, Bringing &bringing);
    void settle_all(LocalObject &object);
    void go_on(LocalObject &object, const Msg &msg);
    StreamDetector::Ahead ahead(LocalObject &object, const Space::Range &range, PageIndex page) const;
    bool refused(LocalObject &object, NodeId from, Msg &msg);
    void settle_wirings(LocalObject &object);
    bool settle(LocalObject &object, Wiring &wiring, WiringResult &result);
    void run(LocalObject &object, const Event &event, std::span<const std::byte> payload);
    void run_about(const ObjectId &id, std::uint64_t stretch, Event::Type type);
    void announce();
    void copy(LocalObject &object, const Effect &effect);
    void protect_stretch(LocalObject &object, PageIndex base);
    void share(LocalObject &object);
    void register_range(LocalObject &object, Space &space, const Space::Range &range);
    void withdraw(LocalObject &object, PageIndex base, std::uint64_t mask);
    void protect(LocalObject &object, PageIndex base, std::uint64_t mask, const Space::Range *except);
    void install(LocalObject &object, const Effect &effect, const Msg &msg, std::span<const std::byte> payload);
    void place(LocalObject &object, PageIndex page, std::span<const std::byte> bytes, bool writable);
    void resolve(LocalObject &object, const Effect &effect);
    void satisfy(LocalObject &object, const Waiting &waiting, bool writable);
    void goes_on(const Waiting &waiting);
    template <class Which> void let_go(LocalObject &object, Which which); // woken already, or unmapped
    void unprotect(LocalObject &object, Space &space, PageIndex base, std::uint64_t mask);
    void zero_fill(LocalObject &object, const Waiting &waiting, bool writable);
    void send(LocalObject &object, NodeId to, const Msg &msg, rpc::StagingPtr payload);
    rpc::StagingPtr read_frames(LocalObject &object, PageIndex base, std::uint64_t mask, std::uint64_t &zero);

    NodeId self_;
    std::uint32_t incarnation_;
    std::uint32_t prefetch_;
    Hooks hooks_;
    std::uint64_t next_serial_ = 1, next_life_ = 0;
    std::map<ObjectId, std::unique_ptr<LocalObject>> objects_;
    LocalObject *last_ = nullptr; // the object found last: most messages are about one object
    Outbox outbox_;
    std::vector<std::pair<ObjectId, std::uint64_t>> frozen_; // stretches of which the hook has to be told
    std::vector<std::pair<ObjectId, HomeNews>> home_news_;   // likewise
    std::map<NodeId, std::vector<ObjectMsg>> notices_;       // no empty lists
    std::vector<ObjectMsg> sending_;
    PagerCounters counters_;
    HotPages hot_pages_;      // for which a thread had another node asked
    std::size_t waiting_ = 0; // entries in the objects' lists of waiting threads
};

} // namespace norma::dsm
