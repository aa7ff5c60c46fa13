// SPDX-License-Identifier: BSD-3-Clause
// <norma/pthread.h>: mutexes, spin locks, and conditions.
#include "runtime/pthread/thread.hpp"

#include <cerrno>
#include <climits>
#include <cstddef>
#include <new>

namespace norma::threads {

namespace {

// In the room of a pthread_mutex_t; the kind is where the C library's initialisers have it.
struct Mutex {
    Word word;
    Word again; // how often the owner of a recursive one has it besides the first time
    Word unused[2];
    int kind;
    Thread *owner; // not of normal ones
};
static_assert(sizeof(Mutex) <= sizeof(pthread_mutex_t) && offsetof(Mutex, kind) == 16);

struct Condition {
    Word turn;    // changes with every wake
    Word awaited; // somebody may have waited since the last broadcast
    clockid_t clock;
};
static_assert(sizeof(Condition) <= sizeof(pthread_cond_t));

Mutex &of(pthread_mutex_t *mutex) {
    return *reinterpret_cast<Mutex *>(mutex);
}
Condition &of(pthread_cond_t *condition) {
    return *reinterpret_cast<Condition *>(condition);
}
// pthread_spinlock_t is a volatile int.
Word &of(pthread_spinlock_t *lock) {
    return *reinterpret_cast<Word *>(const_cast<int *>(lock));
}

bool has_owner(const Mutex &mutex) {
    return mutex.kind == PTHREAD_MUTEX_RECURSIVE || mutex.kind == PTHREAD_MUTEX_ERRORCHECK;
}

// Only the caller can have made itself the owner, so nobody changes that meanwhile.
bool is_mine(Mutex &mutex) {
    return has_owner(mutex) && std::atomic_ref(mutex.owner).load(std::memory_order_relaxed) == &self();
}

int take_again(Mutex &mutex, int error) {
    if (mutex.kind != PTHREAD_MUTEX_RECURSIVE) {
        return error;
    }
    if (mutex.again == UINT_MAX) {
        return EAGAIN;
    }
    ++mutex.again;
    return 0;
}

void set_owner(Mutex &mutex, Thread *owner) {
    if (has_owner(mutex)) {
        std::atomic_ref(mutex.owner).store(owner, std::memory_order_relaxed);
    }
}

int take(Mutex &mutex, Deadline deadline) {
    if (is_mine(mutex)) {
        return take_again(mutex, EDEADLK);
    }
    if (try_lock(mutex.word)) {
        set_owner(mutex, &self());
        return 0;
    }
    if (!deadline.is_valid()) {
        return EINVAL;
    }
    const int error = lock(mutex.word, deadline);
    if (error == 0) {
        set_owner(mutex, &self());
    }
    return error;
}

int wait(Condition &condition, pthread_mutex_t *mutex, Deadline deadline) {
    if (!deadline.is_valid()) {
        return EINVAL;
    }
    const Word turn = at(condition.turn).load();
    at(condition.awaited).store(1);
    if (const int error = norma_pthread_mutex_unlock(mutex); error != 0) {
        return error;
    }
    const int result = wait_at(condition.turn, turn, deadline);
    const int locked = norma_pthread_mutex_lock(mutex);
    return locked != 0 ? locked : result;
}

} // namespace

} // namespace norma::threads

using norma::threads::at;
using norma::threads::Deadline;
using norma::threads::of;

extern "C" {

int norma_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    int kind = PTHREAD_MUTEX_NORMAL;
    if (attributes != nullptr) {
        int shared = PTHREAD_PROCESS_PRIVATE;
        int robust = PTHREAD_MUTEX_STALLED;
        int protocol = PTHREAD_PRIO_NONE;
        pthread_mutexattr_gettype(attributes, &kind);
        pthread_mutexattr_getpshared(attributes, &shared);
        pthread_mutexattr_getrobust(attributes, &robust);
        pthread_mutexattr_getprotocol(attributes, &protocol);
        if (shared != PTHREAD_PROCESS_PRIVATE || robust != PTHREAD_MUTEX_STALLED || protocol != PTHREAD_PRIO_NONE) {
            return ENOTSUP;
        }
    }
    new (mutex) norma::threads::Mutex{.word = 0, .again = 0, .unused = {}, .kind = kind, .owner = nullptr};
    return 0;
}

int norma_pthread_mutex_destroy(pthread_mutex_t *mutex) {
    return at(of(mutex).word).load() == 0 ? 0 : EBUSY;
}

int norma_pthread_mutex_lock(pthread_mutex_t *mutex) {
    return take(of(mutex), {});
}

int norma_pthread_mutex_trylock(pthread_mutex_t *mutex) {
    auto &which = of(mutex);
    if (is_mine(which)) {
        return take_again(which, EBUSY);
    }
    if (!norma::threads::try_lock(which.word)) {
        return EBUSY;
    }
    set_owner(which, &norma::threads::self());
    return 0;
}

int norma_pthread_mutex_timedlock(pthread_mutex_t *mutex, const timespec *deadline) {
    return take(of(mutex), {.time = deadline});
}

int norma_pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const timespec *deadline) {
    return take(of(mutex), {.time = deadline, .clock = clock});
}

int norma_pthread_mutex_unlock(pthread_mutex_t *mutex) {
    auto &which = of(mutex);
    if (has_owner(which)) {
        if (!is_mine(which)) {
            return EPERM;
        }
        if (which.again > 0) {
            --which.again;
            return 0;
        }
        set_owner(which, nullptr);
    }
    norma::threads::unlock(which.word);
    return 0;
}

int norma_pthread_spin_init(pthread_spinlock_t *lock, int shared) {
    of(lock) = 0;
    return shared == PTHREAD_PROCESS_PRIVATE ? 0 : ENOTSUP;
}
int norma_pthread_spin_destroy(pthread_spinlock_t * /*lock*/) {
    return 0;
}
int norma_pthread_spin_lock(pthread_spinlock_t *lock) {
    return norma::threads::lock(of(lock));
}
int norma_pthread_spin_trylock(pthread_spinlock_t *lock) {
    return norma::threads::try_lock(of(lock)) ? 0 : EBUSY;
}
int norma_pthread_spin_unlock(pthread_spinlock_t *lock) {
    norma::threads::unlock(of(lock));
    return 0;
}

int norma_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes) {
    clockid_t clock = CLOCK_REALTIME;
    if (attributes != nullptr) {
        int shared = PTHREAD_PROCESS_PRIVATE;
        pthread_condattr_getpshared(attributes, &shared);
        pthread_condattr_getclock(attributes, &clock);
        if (shared != PTHREAD_PROCESS_PRIVATE) {
            return ENOTSUP;
        }
    }
    new (condition) norma::threads::Condition{.turn = 0, .awaited = 0, .clock = clock};
    return 0;
}

int norma_pthread_cond_destroy(pthread_cond_t * /*condition*/) {
    return 0; // nobody looks at it after it has been waked
}

int norma_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    return wait(of(condition), mutex, {});
}

int norma_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const timespec *deadline) {
    auto &which = of(condition);
    return wait(which, mutex, {.time = deadline, .clock = which.clock});
}

int norma_pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                                 const timespec *deadline) {
    return wait(of(condition), mutex, {.time = deadline, .clock = clock});
}

int norma_pthread_cond_signal(pthread_cond_t *condition) {
    auto &which = of(condition);
    if (at(which.awaited).load() != 0) {
        at(which.turn).fetch_add(1);
        norma::threads::wake_at(&which.turn, 1);
    }
    return 0;
}

int norma_pthread_cond_broadcast(pthread_cond_t *condition) {
    auto &which = of(condition);
    if (at(which.awaited).exchange(0) != 0) {
        at(which.turn).fetch_add(1);
        norma::threads::wake_at(&which.turn, INT_MAX);
    }
    return 0;
}
}
