// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/sync.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

namespace norma::rt {

namespace {

// The kind of object an operation is for; no value: any kind, or (cond_await, cond_cancel) perhaps one already gone.
std::optional<SyncKind> kind_for(SyncOp op) {
    switch (op) {
    case SyncOp::barrier_wait:
    case SyncOp::barrier_expect:
        return SyncKind::barrier;
    case SyncOp::mutex_lock:
    case SyncOp::mutex_trylock:
    case SyncOp::mutex_unlock:
        return SyncKind::mutex;
    case SyncOp::cond_enqueue:
    case SyncOp::cond_signal:
    case SyncOp::cond_broadcast:
        return SyncKind::condition;
    case SyncOp::semaphore_wait:
    case SyncOp::semaphore_trywait:
    case SyncOp::semaphore_post:
        return SyncKind::semaphore;
    case SyncOp::cond_await:
    case SyncOp::cond_cancel:
    case SyncOp::destroy:
        break;
    }
    return std::nullopt;
}

bool known(SyncOp op) {
    return op >= SyncOp::barrier_wait && op <= SyncOp::barrier_expect;
}

bool known(SyncKind kind) {
    return kind >= SyncKind::barrier && kind <= SyncKind::semaphore;
}

} // namespace

// Whom a death takes along.
struct SyncHome::Gone {
    enum class What : std::uint8_t { task, thread, node } what;
    std::uint64_t value;

    bool covers(const Waiter &who) const {
        return value == (what == What::task ? who.task : what == What::thread ? who.thread : who.node);
    }
    bool breaks(const Object &barrier) const {
        switch (what) {
        case What::task:
            return barrier.users.contains(value);
        case What::node:
            return std::ranges::any_of(barrier.users, [&](const auto &user) { return user.second == value; });
        case What::thread:
            break;
        }
        return false;
    }
};

SyncHome::SyncHome(std::uint16_t node, std::uint32_t incarnation, SyncLimits limits)
    : node_(node), incarnation_(incarnation), limits_(limits) {}

kern_return_t SyncHome::create(SyncKind kind, std::uint32_t value, SyncId &id) {
    if (!known(kind) || (kind == SyncKind::barrier && value == 0)) {
        return KERN_INVALID_ARGUMENT;
    }
    const SyncId fresh = new_id();
    if (fresh == 0) {
        return KERN_RESOURCE_SHORTAGE;
    }
    id = fresh;
    Object &object = objects_[id];
    object.kind = kind;
    object.value = value;
    return KERN_SUCCESS;
}

SyncId SyncHome::new_id() {
    if (objects_.size() >= limits_.objects || last_serial_ >= limits_.serials) {
        return 0;
    }
    return make_sync_id(node_, incarnation_, ++last_serial_);
}

void SyncHome::request(SyncOp op, SyncId id, const Waiter &who, Outcomes &out) {
    if (const auto reply = perform(op, id, who, out)) {
        out.push_back({who, reply->status, reply->flag});
    }
}

std::optional<SyncHome::Reply> SyncHome::perform(SyncOp op, SyncId id, const Waiter &who, Outcomes &out) {
    if (!known(op)) {
        return Reply{KERN_INVALID_ARGUMENT};
    }
    if (op == SyncOp::cond_await) {
        return cond_await(id, who);
    }
    if (op == SyncOp::cond_cancel) {
        return cond_cancel(id, who, out);
    }
    Object *object = find(id);
    if (object == nullptr || object->kind == SyncKind::word || kind_for(op).value_or(object->kind) != object->kind) {
        return Reply{KERN_INVALID_VALUE};
    }
    return perform_on(*object, op, id, who, out);
}

std::optional<SyncHome::Reply> SyncHome::perform_on(Object &object, SyncOp op, SyncId id, const Waiter &who,
                                                    Outcomes &out) {
    switch (op) {
    case SyncOp::barrier_wait:
        return barrier_wait(object, id, who, out);
    case SyncOp::barrier_expect:
        return barrier_expect(object, who);
    case SyncOp::mutex_lock:
        return mutex_lock(object, id, who);
    case SyncOp::mutex_trylock:
        return mutex_trylock(object, who);
    case SyncOp::mutex_unlock:
        return mutex_unlock(object, who, out);
    case SyncOp::cond_enqueue:
        return Reply{park(object, id, who, Stage::enqueued) ? KERN_SUCCESS : KERN_INVALID_ARGUMENT};
    case SyncOp::cond_signal:
        return cond_signal(object, out);
    case SyncOp::cond_broadcast:
        settle_all(object, {KERN_SUCCESS, false}, out);
        return Reply{KERN_SUCCESS};
    case SyncOp::semaphore_wait:
        return semaphore_wait(object, id, who);
    case SyncOp::semaphore_trywait:
        return semaphore_trywait(object);
    case SyncOp::semaphore_post:
        return semaphore_post(object, out);
    case SyncOp::destroy:
        return destroy(id, out);
    case SyncOp::cond_await:
    case SyncOp::cond_cancel:
        break;
    }
    assert(false && "perform() answers every other operation");
    return Reply{KERN_FAILURE};
}

// ---- Barriers ----

std::optional<SyncHome::Reply> SyncHome::barrier_wait(Object &barrier, SyncId id, const Waiter &who, Outcomes &out) {
    if (barrier.tainted) {
        return Reply{KERN_TERMINATED};
    }
    if (parked_.contains(who.thread)) {
        return Reply{KERN_INVALID_ARGUMENT};
    }
    barrier.users.insert_or_assign(who.task, who.node);
    if (barrier.queue.size() + 1 < barrier.value) {
        park(barrier, id, who, Stage::blocked);
        return std::nullopt;
    }
    settle_all(barrier, {KERN_SUCCESS, false}, out);
    return Reply{KERN_SUCCESS, true};
}

// Whoever waits here learns of the death of this task even if it never arrives.
SyncHome::Reply SyncHome::barrier_expect(Object &barrier, const Waiter &who) {
    if (barrier.tainted) {
        return {KERN_TERMINATED};
    }
    barrier.users.insert_or_assign(who.task, who.node);
    return {KERN_SUCCESS};
}

// ---- Mutexes ----

void SyncHome::take(Object &mutex, const Waiter &who) {
    mutex.holder = who;
    mutex.tainted = false;
}

std::optional<SyncHome::Reply> SyncHome::mutex_lock(Object &mutex, SyncId id, const Waiter &who) {
    if (!mutex.holder) {
        return mutex_trylock(mutex, who);
    }
    if (mutex.holder->thread == who.thread || !park(mutex, id, who, Stage::blocked)) {
        return Reply{KERN_INVALID_ARGUMENT};
    }
    return std::nullopt;
}

SyncHome::Reply SyncHome::mutex_trylock(Object &mutex, const Waiter &who) {
    if (mutex.holder) {
        return {KERN_RESOURCE_SHORTAGE};
    }
    if (parked_.contains(who.thread)) {
        return {KERN_INVALID_ARGUMENT};
    }
    const bool tainted = mutex.tainted;
    take(mutex, who);
    return {tainted ? KERN_TERMINATED : KERN_SUCCESS, true};
}

SyncHome::Reply SyncHome::mutex_unlock(Object &mutex, const Waiter &who, Outcomes &out) {
    if (!mutex.holder || mutex.holder->thread != who.thread || mutex.holder->task != who.task) {
        return {KERN_INVALID_ARGUMENT};
    }
    hand_over(mutex, out);
    return {KERN_SUCCESS};
}

// Straight to the longest waiter: the mutex is never seen free while somebody waits.
void SyncHome::hand_over(Object &mutex, Outcomes &out) {
    mutex.holder.reset();
    if (mutex.queue.empty()) {
        return;
    }
    const auto next = mutex.queue.front();
    const kern_return_t status = mutex.tainted ? KERN_TERMINATED : KERN_SUCCESS;
    take(mutex, parked_.at(next).waiter);
    settle(next, {status, true}, 0, out);
}

// ---- Semaphores ----

std::optional<SyncHome::Reply> SyncHome::semaphore_wait(Object &semaphore, SyncId id, const Waiter &who) {
    if (semaphore.value > 0) {
        return semaphore_trywait(semaphore);
    }
    if (!park(semaphore, id, who, Stage::blocked)) {
        return Reply{KERN_INVALID_ARGUMENT};
    }
    return std::nullopt;
}

SyncHome::Reply SyncHome::semaphore_trywait(Object &semaphore) {
    if (semaphore.value == 0) {
        return {KERN_OPERATION_TIMED_OUT};
    }
    --semaphore.value;
    return {KERN_SUCCESS};
}

SyncHome::Reply SyncHome::semaphore_post(Object &semaphore, Outcomes &out) {
    if (!semaphore.queue.empty()) {
        settle(semaphore.queue.front(), {KERN_SUCCESS, false}, 0, out);
        return {KERN_SUCCESS};
    }
    if (semaphore.value == std::numeric_limits<std::uint32_t>::max()) {
        return {KERN_RESOURCE_SHORTAGE};
    }
    ++semaphore.value;
    return {KERN_SUCCESS};
}

// ---- Condition variables ----

SyncHome::Reply SyncHome::cond_signal(Object &condition, Outcomes &out) {
    if (!condition.queue.empty()) {
        settle(condition.queue.front(), {KERN_SUCCESS, false}, last_turn_, out);
    }
    return {KERN_SUCCESS};
}

SyncHome::Reply SyncHome::unknown(SyncId id) {
    const Object *object = find(id);
    const bool condition = object != nullptr && object->kind == SyncKind::condition;
    return {condition ? KERN_INVALID_ARGUMENT : KERN_INVALID_VALUE};
}

// The object is not asked: it may have been destroyed after it settled this thread.
std::optional<SyncHome::Reply> SyncHome::cond_await(SyncId id, const Waiter &who) {
    const auto found = parked_.find(who.thread);
    if (found == parked_.end() || found->second.object != id || found->second.waiter.task != who.task) {
        return unknown(id);
    }
    Parked &parked = found->second;
    switch (parked.stage) {
    case Stage::blocked:
        return Reply{KERN_INVALID_ARGUMENT};
    case Stage::enqueued:
        parked.stage = Stage::blocked;
        parked.waiter = who;
        return std::nullopt;
    case Stage::settled:
        break;
    }
    const Reply reply{parked.result};
    unpark(who.thread);
    return reply;
}

// False means that no wake counts for this thread: it was not woken, or the wake went to somebody else.
SyncHome::Reply SyncHome::cond_cancel(SyncId id, const Waiter &who, Outcomes &out) {
    const auto found = parked_.find(who.thread);
    if (found == parked_.end() || found->second.object != id || found->second.waiter.task != who.task) {
        const Reply reply = unknown(id);
        return reply.status == KERN_INVALID_VALUE ? reply : Reply{KERN_SUCCESS, true};
    }
    const Parked parked = found->second;
    if (parked.stage == Stage::blocked) {
        cancel(parked.waiter, out);
        return {KERN_SUCCESS, false};
    }
    unpark(who.thread);
    if (parked.stage == Stage::settled) {
        pass_on(id, parked.signal, out);
    }
    return {KERN_SUCCESS, false};
}

// A signal whose receiver could not use it goes to the next thread that was waiting when it was sent. Not to a later
// one: that wake would be spurious. But a thread that a later signal has chosen may as well be woken by this one, and
// so the later one is freed, which more threads are entitled to.
void SyncHome::pass_on(SyncId id, std::uint64_t signal, Outcomes &out) {
    for (bool traded = true; traded;) {
        traded = false;
        for (auto &[thread, parked] : parked_) {
            if (parked.object == id && parked.turn <= signal && parked.signal > signal) {
                std::swap(parked.signal, signal);
                traded = true;
            }
        }
    }
    Object *condition = find(id);
    if (condition == nullptr || condition->queue.empty()) {
        return;
    }
    const auto next = condition->queue.front();
    if (parked_.at(next).turn <= signal) {
        settle(next, {KERN_SUCCESS, false}, signal, out);
    }
}

// ---- Waiting ----

SyncHome::Object *SyncHome::find(SyncId id) {
    const auto found = objects_.find(id);
    return found == objects_.end() ? nullptr : &found->second;
}

bool SyncHome::park(Object &object, SyncId id, const Waiter &who, Stage stage) {
    const auto [entry, fresh] = parked_.try_emplace(who.thread);
    if (!fresh) {
        return false;
    }
    Parked &parked = entry->second;
    parked.object = id;
    parked.waiter = who;
    parked.stage = stage;
    parked.place = object.queue.insert(object.queue.end(), who.thread);
    parked.turn = ++last_turn_;
    ++object.parked;
    return true;
}

void SyncHome::unpark(std::uint64_t thread) {
    const auto entry = parked_.find(thread);
    assert(entry != parked_.end());
    const SyncId id = entry->second.object;
    if (entry->second.stage != Stage::settled) {
        find(id)->queue.erase(entry->second.place);
    }
    parked_.erase(entry);
    let_go(id);
}

void SyncHome::settle(std::uint64_t thread, Reply reply, std::uint64_t signal, Outcomes &out) {
    Parked &parked = parked_.at(thread);
    assert(parked.stage != Stage::settled);
    if (parked.stage == Stage::blocked) {
        out.push_back({parked.waiter, reply.status, reply.flag});
        unpark(thread);
        return;
    }
    find(parked.object)->queue.erase(parked.place);
    parked.stage = Stage::settled;
    parked.result = reply.status;
    parked.signal = signal;
}

void SyncHome::settle_all(Object &object, Reply reply, Outcomes &out) {
    while (!object.queue.empty()) {
        settle(object.queue.front(), reply, 0, out);
    }
}

bool SyncHome::cancel(const Waiter &who, Outcomes &out) {
    const auto found = parked_.find(who.thread);
    if (found == parked_.end() || found->second.stage != Stage::blocked || found->second.waiter != who) {
        return false;
    }
    settle(who.thread, {KERN_OPERATION_TIMED_OUT, false}, 0, out);
    return true;
}

bool SyncHome::abort(std::uint64_t thread, Outcomes &out, std::int32_t status) {
    const auto found = parked_.find(thread);
    if (found == parked_.end() || found->second.stage != Stage::blocked) {
        return false;
    }
    settle(thread, {status, false}, 0, out);
    return true;
}

SyncHome::Reply SyncHome::destroy(SyncId id, Outcomes &out) {
    settle_all(objects_.at(id), {KERN_TERMINATED, false}, out);
    objects_.erase(id);
    return {KERN_SUCCESS};
}

// ---- Deaths and moves ----

void SyncHome::task_died(std::uint64_t task, Outcomes &out) {
    bury({Gone::What::task, task}, out);
}

void SyncHome::task_left(std::uint64_t task, Outcomes &out) {
    for (auto &[id, object] : objects_) {
        object.users.erase(task);
    }
    bury({Gone::What::task, task}, out);
}

void SyncHome::thread_died(std::uint64_t thread, Outcomes &out) {
    bury({Gone::What::thread, thread}, out);
}

void SyncHome::node_died(std::uint16_t node, Outcomes &out) {
    bury({Gone::What::node, node}, out);
}

// The dead leave every queue before anything is given away, so that nothing is given to them.
void SyncHome::bury(const Gone &gone, Outcomes &out) {
    std::vector<Parked> dead;
    for (const auto &[thread, parked] : parked_) {
        if (gone.covers(parked.waiter)) {
            dead.push_back(parked);
        }
    }
    std::ranges::sort(dead, {}, &Parked::turn); // the same order every time
    for (const Parked &parked : dead) {
        unpark(parked.waiter.thread);
    }
    for (auto &[id, object] : objects_) {
        if (object.holder && gone.covers(*object.holder)) {
            object.tainted = true;
            hand_over(object, out);
        } else if (gone.breaks(object)) {
            object.tainted = true;
            object.users.clear();
            settle_all(object, {KERN_TERMINATED, false}, out);
        }
    }
    for (const Parked &parked : dead) {
        if (parked.stage == Stage::settled) {
            pass_on(parked.object, parked.signal, out);
        }
    }
}

void SyncHome::task_moved(const TaskMove &move) {
    for (auto &[id, object] : objects_) {
        if (object.users.erase(move.from) > 0) {
            object.users.insert_or_assign(move.to, move.to_node);
        }
        auto &holder = object.holder;
        if (holder && holder->task == move.from && (move.all_threads || holder->thread == move.from_thread)) {
            holder = Waiter{move.to_node, move.to, move.all_threads ? holder->thread : move.to_thread, 0};
        }
    }
}

} // namespace norma::rt
