// SPDX-License-Identifier: BSD-3-Clause
// <norma/norma.h>: synchronisation. The service behind it is described in runtime/sync.hpp.
#include "runtime/sync.hpp"
#include "norma/norma.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/migration.hpp"

#include <atomic>

namespace {

using norma::rt::Answer;
using norma::rt::call;
using norma::rt::call_waiting;
using norma::rt::kWithdrawn;
using norma::rt::migration_point;
using norma::rt::Op;
using norma::rt::SyncKind;
using norma::rt::SyncOp;

kern_return_t create(SyncKind kind, unsigned value, norma_sync_t *id) {
    if (id == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = call(Op::sync_create, MACH_PORT_NULL, {static_cast<std::uint64_t>(kind), value});
    if (answer.status == KERN_SUCCESS) {
        *id = answer.vals[0];
    }
    return answer.status;
}

Answer request(norma_sync_t id, SyncOp op, int timeout_ms = -1) {
    return call_waiting(Op::sync_request, MACH_PORT_NULL,
                        {id, static_cast<std::uint64_t>(op), static_cast<std::uint64_t>(std::int64_t{timeout_ms})}, 2);
}

// Between entering a queue and leaving it the caller's task does not move.
kern_return_t request_in_queue(norma_sync_t id, SyncOp op) {
    return call(Op::sync_request, MACH_PORT_NULL,
                {id, static_cast<std::uint64_t>(op), static_cast<std::uint64_t>(std::int64_t{-1})})
        .status;
}

// Waits in a queue that the caller has entered. kWithdrawn: it is in it no more, since the task is about to move.
kern_return_t await(norma_sync_t queue, int timeout_ms) {
    return call(Op::sync_request, MACH_PORT_NULL,
                {queue, static_cast<std::uint64_t>(SyncOp::cond_await),
                 static_cast<std::uint64_t>(std::int64_t{timeout_ms})})
        .status;
}

} // namespace

extern "C" {

kern_return_t norma_barrier_create(unsigned count, norma_sync_t *barrier) noexcept {
    return create(SyncKind::barrier, count, barrier);
}

kern_return_t norma_barrier_wait(norma_sync_t barrier, boolean_t *serial) noexcept {
    const auto answer = request(barrier, SyncOp::barrier_wait);
    if (answer.status == KERN_SUCCESS && serial != nullptr) {
        *serial = answer.vals[0] != 0;
    }
    return answer.status;
}

kern_return_t norma_barrier_expect(norma_sync_t barrier, task_t task) noexcept {
    return call(Op::barrier_expect, task, {barrier}).status;
}

kern_return_t norma_mutex_create(norma_sync_t *mutex) noexcept {
    return create(SyncKind::mutex, 0, mutex);
}
kern_return_t norma_mutex_lock(norma_sync_t mutex) noexcept {
    return request(mutex, SyncOp::mutex_lock).status;
}
kern_return_t norma_mutex_trylock(norma_sync_t mutex) noexcept {
    return request(mutex, SyncOp::mutex_trylock).status;
}
kern_return_t norma_mutex_unlock(norma_sync_t mutex) noexcept {
    return request(mutex, SyncOp::mutex_unlock).status;
}

kern_return_t norma_cond_create(norma_sync_t *cond) noexcept {
    return create(SyncKind::condition, 0, cond);
}

kern_return_t norma_cond_wait(norma_sync_t cond, norma_sync_t mutex, int timeout_ms) noexcept {
    if (const auto queued = request_in_queue(cond, SyncOp::cond_enqueue); queued != KERN_SUCCESS) {
        return queued;
    }
    if (const auto unlocked = request_in_queue(mutex, SyncOp::mutex_unlock); unlocked != KERN_SUCCESS) {
        request(cond, SyncOp::cond_cancel);
        return unlocked;
    }
    auto woken = await(cond, timeout_ms);
    if (woken == kWithdrawn) { // who signals from now on finds nobody: the caller has to look whether that was so
        migration_point();
        woken = KERN_SUCCESS;
    }
    auto locked = request(mutex, SyncOp::mutex_lock).status;
    while (locked == KERN_ABORTED) { // whatever the outcome, the caller expects to hold it
        locked = request(mutex, SyncOp::mutex_lock).status;
    }
    return locked != KERN_SUCCESS ? locked : woken;
}

kern_return_t norma_wait(const std::uint32_t *word, std::uint32_t expected, int timeout_ms) noexcept {
    const auto queued = call(Op::word_queue, MACH_PORT_NULL, {reinterpret_cast<std::uint64_t>(word)});
    if (queued.status != KERN_SUCCESS) {
        return queued.status;
    }
    const norma_sync_t queue = queued.vals[0];
    if (std::atomic_ref(*const_cast<std::uint32_t *>(word)).load() == expected) {
        const auto woken = await(queue, timeout_ms);
        if (woken != kWithdrawn) {
            return woken;
        }
        migration_point();
        return norma_wait(word, expected, timeout_ms); // who wakes has changed the word before
    }
    const auto left = request(queue, SyncOp::cond_cancel).status;
    return left == KERN_SUCCESS ? KERN_INVALID_VALUE : left;
}

kern_return_t norma_wake(const std::uint32_t *word, int count) noexcept {
    if (count < 0) {
        return KERN_INVALID_ARGUMENT;
    }
    std::atomic_thread_fence(std::memory_order_seq_cst); // what was written before is seen by who is woken
    return call(Op::word_wake, MACH_PORT_NULL,
                {reinterpret_cast<std::uint64_t>(word), static_cast<std::uint64_t>(count)})
        .status;
}

kern_return_t norma_cond_signal(norma_sync_t cond) noexcept {
    return request(cond, SyncOp::cond_signal).status;
}
kern_return_t norma_cond_broadcast(norma_sync_t cond) noexcept {
    return request(cond, SyncOp::cond_broadcast).status;
}

kern_return_t norma_semaphore_create(unsigned value, norma_sync_t *semaphore) noexcept {
    return create(SyncKind::semaphore, value, semaphore);
}
kern_return_t norma_semaphore_wait(norma_sync_t semaphore, int timeout_ms) noexcept {
    const auto op = timeout_ms == 0 ? SyncOp::semaphore_trywait : SyncOp::semaphore_wait;
    return request(semaphore, op, timeout_ms).status;
}
kern_return_t norma_semaphore_post(norma_sync_t semaphore) noexcept {
    return request(semaphore, SyncOp::semaphore_post).status;
}

kern_return_t norma_sync_destroy(norma_sync_t object) noexcept {
    return request(object, SyncOp::destroy).status;
}
}
