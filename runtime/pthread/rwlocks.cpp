// SPDX-License-Identifier: BSD-3-Clause
// <norma/pthread.h>: read-write locks and barriers.
#include "runtime/pthread/thread.hpp"

#include <norma/norma.h>

#include <cerrno>
#include <climits>
#include <new>

namespace norma::threads {

namespace {

struct ReadWriteLock {
    Word guard; // for all that follows
    Word readers;
    Word turn; // changes when who waits should look again
    Word waiting;
    Thread *writer;
};
static_assert(sizeof(ReadWriteLock) <= sizeof(pthread_rwlock_t));

ReadWriteLock &of(pthread_rwlock_t *lock) {
    return *reinterpret_cast<ReadWriteLock *>(lock);
}

enum class Wish { read, write };

bool is_free_for(const ReadWriteLock &which, Wish wish) {
    return which.writer == nullptr && (wish == Wish::read || which.readers == 0);
}

// With the guard held, before and after.
int wait_for_turn(ReadWriteLock &which, Deadline deadline) {
    const Word turn = which.turn;
    ++which.waiting;
    unlock(which.guard);
    const int error = wait_at(which.turn, turn, deadline);
    const int locked = lock(which.guard);
    if (locked == 0) {
        --which.waiting;
    }
    return locked != 0 ? locked : error;
}

int take(ReadWriteLock &which, Wish wish, Deadline deadline) {
    if (const int error = lock(which.guard); error != 0) {
        return error;
    }
    int error = 0;
    while (error == 0 && !is_free_for(which, wish)) {
        if (which.writer == &self()) {
            error = EDEADLK;
        } else {
            error = deadline.is_valid() ? wait_for_turn(which, deadline) : EINVAL;
        }
    }
    if (error == ENOTRECOVERABLE) {
        return error; // and so is the guard
    }
    if (error == 0 && wish == Wish::read) {
        ++which.readers;
    } else if (error == 0) {
        which.writer = &self();
    }
    unlock(which.guard);
    return error;
}

int try_take(ReadWriteLock &which, Wish wish) {
    const timespec past{};
    const int error = take(which, wish, {.time = &past});
    return error == ETIMEDOUT || error == EDEADLK ? EBUSY : error;
}

struct Barrier {
    norma_sync_t id;
};
static_assert(sizeof(Barrier) <= sizeof(pthread_barrier_t));

Barrier &of(pthread_barrier_t *barrier) {
    return *reinterpret_cast<Barrier *>(barrier);
}

} // namespace

} // namespace norma::threads

using norma::threads::of;
using norma::threads::Wish;

extern "C" {

int norma_pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attributes) {
    if (attributes != nullptr) {
        int shared = PTHREAD_PROCESS_PRIVATE;
        pthread_rwlockattr_getpshared(attributes, &shared);
        if (shared != PTHREAD_PROCESS_PRIVATE) {
            return ENOTSUP;
        }
    }
    new (lock) norma::threads::ReadWriteLock{};
    return 0;
}

int norma_pthread_rwlock_destroy(pthread_rwlock_t *lock) {
    const auto &which = of(lock);
    return which.writer == nullptr && which.readers == 0 ? 0 : EBUSY;
}

int norma_pthread_rwlock_rdlock(pthread_rwlock_t *lock) {
    return take(of(lock), Wish::read, {});
}
int norma_pthread_rwlock_tryrdlock(pthread_rwlock_t *lock) {
    return try_take(of(lock), Wish::read);
}
int norma_pthread_rwlock_timedrdlock(pthread_rwlock_t *lock, const timespec *deadline) {
    return take(of(lock), Wish::read, {.time = deadline});
}

int norma_pthread_rwlock_wrlock(pthread_rwlock_t *lock) {
    return take(of(lock), Wish::write, {});
}
int norma_pthread_rwlock_trywrlock(pthread_rwlock_t *lock) {
    return try_take(of(lock), Wish::write);
}
int norma_pthread_rwlock_timedwrlock(pthread_rwlock_t *lock, const timespec *deadline) {
    return take(of(lock), Wish::write, {.time = deadline});
}

int norma_pthread_rwlock_unlock(pthread_rwlock_t *lock) {
    auto &which = of(lock);
    if (const int error = norma::threads::lock(which.guard); error != 0) {
        return error;
    }
    int error = 0;
    if (which.writer == &norma::threads::self()) {
        which.writer = nullptr;
    } else if (which.writer != nullptr || which.readers == 0) {
        error = EPERM;
    } else {
        --which.readers;
    }
    const bool wakes = error == 0 && which.readers == 0 && which.waiting > 0;
    which.turn += wakes ? 1 : 0;
    const auto *turn = &which.turn; // whoever gets the lock now may free it
    norma::threads::unlock(which.guard);
    if (wakes) {
        norma::threads::wake_at(turn, INT_MAX);
    }
    return error;
}

// Outside a job barriers are the C library's.

int norma_pthread_barrier_init(pthread_barrier_t *barrier, const pthread_barrierattr_t *attributes, unsigned count) {
    if (norma_in_job() == 0) {
        return NORMA_C_LIBRARY(pthread_barrier_init)(barrier, attributes, count);
    }
    if (attributes != nullptr) {
        int shared = PTHREAD_PROCESS_PRIVATE;
        pthread_barrierattr_getpshared(attributes, &shared);
        if (shared != PTHREAD_PROCESS_PRIVATE) {
            return ENOTSUP;
        }
    }
    if (count == 0) {
        return EINVAL;
    }
    return norma_barrier_create(count, &of(barrier).id) == KERN_SUCCESS ? 0 : EAGAIN;
}

int norma_pthread_barrier_destroy(pthread_barrier_t *barrier) {
    if (norma_in_job() == 0) {
        return NORMA_C_LIBRARY(pthread_barrier_destroy)(barrier);
    }
    return norma_sync_destroy(of(barrier).id) == KERN_INVALID_VALUE ? EINVAL : 0;
}

int norma_pthread_barrier_wait(pthread_barrier_t *barrier) {
    if (norma_in_job() == 0) {
        return NORMA_C_LIBRARY(pthread_barrier_wait)(barrier);
    }
    boolean_t serial = FALSE;
    kern_return_t status = KERN_ABORTED;
    while (status == KERN_ABORTED) { // who was interrupted has not arrived
        status = norma_barrier_wait(of(barrier).id, &serial);
    }
    switch (status) {
    case KERN_SUCCESS:
        return serial != FALSE ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
    case KERN_TERMINATED:
    case KERN_NODE_DOWN:
        return EOWNERDEAD;
    default:
        return EINVAL;
    }
}
}
