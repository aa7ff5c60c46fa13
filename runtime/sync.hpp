// SPDX-License-Identifier: BSD-3-Clause
// The home-side service for barriers, mutexes, condition variables and semaphores. Pure: no clock, thread, socket or
// system call. The node server gives it requests and news of deaths, and delivers the outcomes it lists.
//
// Every request is answered by exactly one outcome, at once or when its turn comes, unless its thread has died.
// Everything is first come, first served: a mutex passes straight to the longest waiter, so nobody barges in between.
//
// Timeouts: the caller's node server has the clock. When a deadline passes it sends cancel() with the same Waiter,
// behind the request, and goes on waiting for the one outcome: KERN_OPERATION_TIMED_OUT if the waiter was still queued;
// else what it waited for was given to it before, and that outcome is on its way. So nothing granted is ever lost.
//
// Waiting for a condition, whose mutex may have another home, is a sequence that the waiting thread drives:
//   1. cond_enqueue at the condition's home; answered at once. From here on every signal counts for this thread.
//   2. mutex_unlock at the mutex's home. If it fails: cond_cancel at the condition's home, return the error. A signal
//      that had already chosen this thread passes to the next waiter that was queued when it was sent.
//   3. cond_await at the condition's home; blocks until woken (at once if a signal came during step 2). A timeout is a
//      cancel() of this call, or a cond_cancel; either way the outcome of cond_await says whether the thread was woken.
//      Whatever it is (KERN_TERMINATED: condition destroyed), the entry is used up.
//   4. mutex_lock at the mutex's home. If it does not succeed, its status is the result.
//   5. Return the outcome of step 3.
// No wake-up is lost: a signaller that holds the mutex can send its signal only after step 2, hence after step 1.
//
// Waiting at a word of coherent memory (norma_wait) is such a sequence too. Its condition is made for it:
//   1. queue_at() at the home of the word's object; answered at once, with the id that stands for the word until nobody
//      is queued there.
//   2. The thread reads the word. If it is not what is expected: cond_cancel, and it does not wait.
//   3. cond_await.
// Who changes the word and then calls wake() finds the thread in the queue, or has done so before step 1; then its
// change, which came earlier, is what step 2 reads, as memory is sequentially consistent. So no wake-up is lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include <norma/mach.h>

#include "rpc/wire.hpp"
#include "runtime/address_map.hpp"

namespace norma::rt {

using SyncId = std::uint64_t; // 0 is never a valid id

struct SyncIdParts {
    std::uint16_t home = 0;
    std::uint16_t incarnation = 0; // the low half of the home's incarnation
    std::uint32_t serial = 0;      // from 1
    auto operator<=>(const SyncIdParts &) const = default;
};

constexpr SyncId make_sync_id(std::uint16_t home, std::uint32_t incarnation, std::uint32_t serial) {
    return SyncId{home} << 48 | SyncId{incarnation & 0xffff} << 32 | serial;
}
constexpr SyncIdParts split_sync_id(SyncId id) {
    return {static_cast<std::uint16_t>(id >> 48), static_cast<std::uint16_t>(id >> 32), static_cast<std::uint32_t>(id)};
}

// The node to ask. In a job that goes on from a checkpoint, ids may name nodes that there are no more: what those had
// is at the node of that number modulo the nodes.
constexpr std::uint16_t sync_home(SyncId id, unsigned nodes) {
    return static_cast<std::uint16_t>(split_sync_id(id).home % nodes);
}

enum class SyncKind : std::uint8_t { barrier = 1, mutex, condition, semaphore, word };

enum class SyncOp : std::uint8_t {
    barrier_wait = 1, // flag: this is the one serial participant
    mutex_lock,       // flag: the lock is held now; with KERN_TERMINATED and no flag the mutex was destroyed
    mutex_trylock,    // as mutex_lock, or KERN_RESOURCE_SHORTAGE
    mutex_unlock,
    cond_enqueue,
    cond_await,
    cond_cancel, // undoes cond_enqueue; flag: too late, cond_await has taken a wake
    cond_signal,
    cond_broadcast,
    semaphore_wait,
    semaphore_trywait, // KERN_OPERATION_TIMED_OUT if there is nothing to take
    semaphore_post,    // KERN_RESOURCE_SHORTAGE at the largest value
    destroy,           // any kind; waiters get KERN_TERMINATED
    barrier_expect,    // by whom: counts as having used it
};

// Who asks. The caller's node server fills it in and vouches for it.
struct Waiter {
    std::uint16_t node = 0;
    std::uint64_t task = 0;   // unique in the job
    std::uint64_t thread = 0; // unique in the job, never 0
    std::uint64_t call = 0;   // unique among the open calls of the node; echoed by the outcome
    auto operator<=>(const Waiter &) const = default;
};

struct Outcome {
    Waiter to;
    kern_return_t status = KERN_SUCCESS;
    bool flag = false; // see SyncOp
    bool operator==(const Outcome &) const = default;
};
using Outcomes = std::vector<Outcome>;

// A word of coherent memory, under whatever addresses tasks have it.
struct SyncWord {
    Stretch stretch;
    std::uint64_t offset = 0;
    auto operator<=>(const SyncWord &) const = default;
};

// A task that was teleported: its barriers and, if a thread of it goes on, the locks of that thread go with it.
struct TaskMove {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    std::uint16_t to_node = 0;
    std::uint64_t from_thread = 0; // 0: no thread goes on
    std::uint64_t to_thread = 0;
    bool all_threads = false; // go on, as who they are
};

// An object of this kind as a checkpoint has it: nobody waits for anything then.
struct SavedSync {
    SyncId id = 0;
    SyncKind kind{};
    std::uint32_t value = 0;
    bool tainted = false;
    std::optional<Waiter> holder;
    std::map<std::uint64_t, std::uint16_t> users;
    bool operator==(const SavedSync &) const = default;
};
inline constexpr std::size_t kSyncBytes = 19; // at least
void put_sync(rpc::Writer &writer, const SavedSync &object);
bool get_sync(rpc::Reader &reader, SavedSync &object); // false: it names a user twice

struct SyncLimits {
    std::size_t objects = std::size_t{1} << 20;
    std::uint32_t serials = 0xffffffff; // ids are never reused
};

class SyncHome {
  public:
    SyncHome(std::uint16_t node, std::uint32_t incarnation, SyncLimits limits = {});

    // value: participants of a barrier, units of a semaphore; not looked at for the others. KERN_INVALID_ARGUMENT (no
    // such kind, barrier for 0), KERN_RESOURCE_SHORTAGE (limits).
    kern_return_t create(SyncKind kind, std::uint32_t value, SyncId &id);

    // KERN_INVALID_VALUE: no such object here, or of another kind. KERN_INVALID_ARGUMENT: no such operation, not the
    // holder, or a thread that is waiting already.
    void request(SyncOp op, SyncId id, const Waiter &who, Outcomes &out);

    // Queues a thread at a word; `id` is for cond_await and cond_cancel. KERN_INVALID_ARGUMENT: a thread that is
    // waiting already. KERN_RESOURCE_SHORTAGE (limits).
    kern_return_t queue_at(const SyncWord &word, const Waiter &who, SyncId &id);
    // Wakes those that have been queued longest, at most `most`; how many.
    std::uint32_t wake(const SyncWord &word, std::uint32_t most, Outcomes &out);
    bool waits_in(const dsm::ObjectId &object) const; // whether a word of it has a queue

    // Gives up the call of `who` if it is still waiting, with KERN_OPERATION_TIMED_OUT; else does nothing, returns
    // false.
    bool cancel(const Waiter &who, Outcomes &out);

    // Gives up whatever call of the thread is still waiting, with KERN_ABORTED; else does nothing, returns false.
    bool abort(std::uint64_t thread, Outcomes &out, std::int32_t status = KERN_ABORTED);

    // News of deaths; no request of the dead may come after it. Their waits are forgotten without an outcome, a mutex
    // they hold goes to the next in line with KERN_TERMINATED, a signal they had not taken goes to the next waiter.
    // A barrier breaks by the death of a task, not by that of one of its threads.
    void task_died(std::uint64_t task, Outcomes &out);
    // A task that ended of its own will, done with its barriers: as task_died, but breaks none.
    void task_left(std::uint64_t task, Outcomes &out);
    void thread_died(std::uint64_t thread, Outcomes &out);
    void node_died(std::uint16_t node, Outcomes &out);

    // Call it before task_died of the old task, which then cleans up what stayed behind.
    void task_moved(const TaskMove &move);

    // ---- sync_moving.cpp: when it goes to another node as a whole (docs/draining.md) ----
    // Ends all waits with `status`, and forgets all words. What is left are objects, threads in the queue of a
    // condition for which they do not wait yet, and those that have yet to hear.
    void withdraw_all(std::int32_t status, Outcomes &out);
    void write(rpc::Writer &writer) const; // when all has been withdrawn
    bool read(rpc::Reader &reader);        // into an empty one; false: it is no such thing
    void merge(SyncHome &&other);          // which was another node's
    // All objects; while nobody is queued at a word. Who waits is not in it.
    std::vector<SavedSync> save() const;
    // An object of a job that has been before, under the id it had there. Ids that are made from now on are greater
    // than its. KERN_INVALID_ARGUMENT: it cannot have been one, or is there already. KERN_RESOURCE_SHORTAGE (limits).
    kern_return_t restore(const SavedSync &saved);

    std::size_t objects() const { return objects_.size(); }
    std::size_t waiting() const { return parked_.size(); }

  private:
    using Queue = std::list<std::uint64_t>; // threads, longest wait first; all have a record in parked_
    struct Object {
        SyncKind kind{};
        std::uint32_t value = 0;                      // barrier: participants; semaphore: units left
        bool tainted = false;                         // barrier: broken; mutex: its last holder died holding it
        std::optional<Waiter> holder;                 // mutex
        Queue queue;                                  // never holds a thread while there is something to give it
        std::map<std::uint64_t, std::uint16_t> users; // barrier: tasks that have used it or shall, and their nodes
        std::size_t parked = 0;                       // threads whose record names it
        SyncWord word;                                // word: which
    };
    enum class Stage : std::uint8_t {
        blocked,  // in the queue, with a call to answer
        enqueued, // in a condition's queue, cond_await has not come yet
        settled,  // out of the queue: the answer waits for cond_await
    };
    struct Parked { // a thread waits for one thing at a time, so the record is found by thread
        SyncId object = 0;
        Waiter waiter;
        Stage stage = Stage::blocked;
        Queue::iterator place;
        std::uint64_t turn = 0;   // when it was queued
        kern_return_t result = 0; // settled
        std::uint64_t signal = 0; // settled by cond_signal: turns up to this were queued at that moment
    };
    struct Reply {
        kern_return_t status = KERN_SUCCESS;
        bool flag = false;
    };
    struct Gone;

    // No value: the waiter was queued, its outcome comes later.
    std::optional<Reply> perform(SyncOp op, SyncId id, const Waiter &who, Outcomes &out);
    std::optional<Reply> perform_on(Object &object, SyncOp op, SyncId id, const Waiter &who, Outcomes &out);
    static Reply barrier_expect(Object &barrier, const Waiter &who);
    std::optional<Reply> barrier_wait(Object &barrier, SyncId id, const Waiter &who, Outcomes &out);
    std::optional<Reply> mutex_lock(Object &mutex, SyncId id, const Waiter &who);
    std::optional<Reply> semaphore_wait(Object &semaphore, SyncId id, const Waiter &who);
    std::optional<Reply> cond_await(SyncId id, const Waiter &who);
    Reply mutex_trylock(Object &mutex, const Waiter &who);
    Reply mutex_unlock(Object &mutex, const Waiter &who, Outcomes &out);
    Reply semaphore_trywait(Object &semaphore);
    Reply semaphore_post(Object &semaphore, Outcomes &out);
    Reply cond_cancel(SyncId id, const Waiter &who, Outcomes &out);
    Reply cond_signal(Object &condition, Outcomes &out);
    Reply destroy(SyncId id, Outcomes &out);

    Object *find(SyncId id);
    SyncId new_id();          // 0: there are too many
    void let_go(SyncId id);   // of one thread's record; a word that nobody is queued at is forgotten
    Reply unknown(SyncId id); // why there is no wait for cond_await or cond_cancel to find
    bool park(Object &object, SyncId id, const Waiter &who, Stage stage);
    void unpark(std::uint64_t thread);
    void settle(std::uint64_t thread, Reply reply, std::uint64_t signal, Outcomes &out);
    void settle_all(Object &object, Reply reply, Outcomes &out);
    void take(Object &mutex, const Waiter &who);
    void hand_over(Object &mutex, Outcomes &out);
    void pass_on(SyncId id, std::uint64_t signal, Outcomes &out);
    void bury(const Gone &gone, Outcomes &out);

    std::uint16_t node_;
    std::uint32_t incarnation_;
    SyncLimits limits_;
    std::uint32_t last_serial_ = 0;
    std::uint64_t last_turn_ = 0;
    std::map<SyncWord, SyncId> words_;
    std::vector<SyncId> spare_ids_;    // of words that were forgotten
    std::map<SyncId, Object> objects_; // ordered, so that deaths are told in the same order every time
    std::unordered_map<std::uint64_t, Parked> parked_;
};

} // namespace norma::rt
