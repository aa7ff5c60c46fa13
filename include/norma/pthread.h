/* SPDX-License-Identifier: BSD-3-Clause
 *
 * POSIX threads on all nodes of a job: this header gives the names of <pthread.h> another meaning, so that the threads
 * of a program run on many nodes. The program is a whole program (docs/programs.md), linked with norma::pthread; it
 * includes this header before others, or is compiled with `-include norma/pthread.h`, or is linked anew with
 * norma::pthread_relink and not compiled at all. docs/threads.md tells what is different from threads of one machine.
 *
 * Each call does and returns what its namesake without `norma_` does; said here is only what is added. Types,
 * attributes and initialisers are those of <pthread.h>. Errors that every call which waits may return: ENOTRECOVERABLE
 * (the node where the object's memory was allocated has died), EAGAIN (its node server has no room for one more
 * waiter).
 */
#ifndef NORMA_PTHREAD_H
#define NORMA_PTHREAD_H

/* This header comes first, and the program's own wish would come too late. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <norma/mach.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Threads -------------------------------------------------------------------------------------------------- */

/* Instead of a node. */
#define NORMA_NODE_NEXT (-1)         /* the nodes in turn, beginning after the caller's; each thread counts by itself */
#define NORMA_NODE_LEAST_LOADED (-2) /* where the fewest threads live; asks every node */

/** Makes a thread on the next node: norma_pthread_create_on with NORMA_NODE_NEXT. */
NORMA_EXPORT int norma_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                                      void *argument);

/** Makes a thread on a node, or where NORMA_NODE_NEXT or NORMA_NODE_LEAST_LOADED says. The first call of the program
 * makes a task on every other node. Of the attributes the detach state and the stack size count. A thread's standard
 * output goes out line by line. EINVAL: no such node. EHOSTDOWN: it has died, or all have. EAGAIN: no memory for the
 * thread. ENOTSUP: a stack of the caller's, or attributes of scheduling. */
NORMA_EXPORT int norma_pthread_create_on(int node, pthread_t *thread, const pthread_attr_t *attributes,
                                         void *(*start)(void *), void *argument);

/** The node a thread was made on. */
NORMA_EXPORT int norma_pthread_node(pthread_t thread);

/** Waits for the end of a thread. EOWNERDEAD: its node has died, and it with it; the thread counts as joined.
 * EDEADLK: it is the caller. EINVAL: somebody else joins it, or it is detached. */
NORMA_EXPORT int norma_pthread_join(pthread_t thread, void **value);
NORMA_EXPORT int norma_pthread_tryjoin_np(pthread_t thread, void **value);
NORMA_EXPORT int norma_pthread_timedjoin_np(pthread_t thread, void **value, const struct timespec *deadline);

/** Gives up the wish to join a thread. */
NORMA_EXPORT int norma_pthread_detach(pthread_t thread);

/** Ends the calling thread: cleanup handlers, then destructors of its keys. Objects of C++ on its stack are not
 * destroyed. The program's first thread waits until all others have ended, and ends the program with status 0. */
NORMA_EXPORT void norma_pthread_exit(void *value) __attribute__((noreturn));

/** The calling thread; its name is the same on all nodes. */
NORMA_EXPORT pthread_t norma_pthread_self(void);

/** Whether two names are of one thread. */
NORMA_EXPORT int norma_pthread_equal(pthread_t one, pthread_t other);

/** Runs a function once, whichever thread of whatever node comes first; the others wait for it. */
NORMA_EXPORT int norma_pthread_once(pthread_once_t *once, void (*routine)(void));

/* A handler of pthread_cleanup_push, on the stack of its thread. */
struct norma_pthread_handler {
    void (*routine)(void *);
    void *argument;
    struct norma_pthread_handler *below;
};

/** Puts a cleanup handler on top of the calling thread's, or takes the top one away and calls it if `execute` is not 0;
 * pthread_cleanup_push and pthread_cleanup_pop are macros over these. */
NORMA_EXPORT void norma_pthread_cleanup_push(struct norma_pthread_handler *handler);
NORMA_EXPORT void norma_pthread_cleanup_pop(int execute);

/* ---- Mutexes -------------------------------------------------------------------------------------------------- */

/** A mutex: normal, recursive or error-checking. ENOTSUP: robust, shared between processes, with a protocol. */
NORMA_EXPORT int norma_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
NORMA_EXPORT int norma_pthread_mutex_destroy(pthread_mutex_t *mutex);

/** Locks a mutex. A word in coherent memory says whether it is free, so whoever locks it gets the page; waiting is done
 * at the node where its memory was allocated. EDEADLK: error-checking, and the caller has it. */
NORMA_EXPORT int norma_pthread_mutex_lock(pthread_mutex_t *mutex);
NORMA_EXPORT int norma_pthread_mutex_trylock(pthread_mutex_t *mutex);
NORMA_EXPORT int norma_pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *deadline);
NORMA_EXPORT int norma_pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock,
                                               const struct timespec *deadline);

/** Unlocks a mutex. EPERM: recursive or error-checking, and the caller does not have it. */
NORMA_EXPORT int norma_pthread_mutex_unlock(pthread_mutex_t *mutex);

/** Spin locks: mutexes, as nobody should spin at a page that is elsewhere. */
NORMA_EXPORT int norma_pthread_spin_init(pthread_spinlock_t *lock, int shared);
NORMA_EXPORT int norma_pthread_spin_destroy(pthread_spinlock_t *lock);
NORMA_EXPORT int norma_pthread_spin_lock(pthread_spinlock_t *lock);
NORMA_EXPORT int norma_pthread_spin_trylock(pthread_spinlock_t *lock);
NORMA_EXPORT int norma_pthread_spin_unlock(pthread_spinlock_t *lock);

/* ---- Read-write locks ----------------------------------------------------------------------------------------- */

/** A lock for one writer or many readers. Readers do not wait for writers that wait. ENOTSUP: shared between
 * processes. */
NORMA_EXPORT int norma_pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attributes);
NORMA_EXPORT int norma_pthread_rwlock_destroy(pthread_rwlock_t *lock);

/** Locks for reading. EDEADLK: the caller has it for writing. */
NORMA_EXPORT int norma_pthread_rwlock_rdlock(pthread_rwlock_t *lock);
NORMA_EXPORT int norma_pthread_rwlock_tryrdlock(pthread_rwlock_t *lock);
NORMA_EXPORT int norma_pthread_rwlock_timedrdlock(pthread_rwlock_t *lock, const struct timespec *deadline);

/** Locks for writing. EDEADLK: the caller has it for writing already. */
NORMA_EXPORT int norma_pthread_rwlock_wrlock(pthread_rwlock_t *lock);
NORMA_EXPORT int norma_pthread_rwlock_trywrlock(pthread_rwlock_t *lock);
NORMA_EXPORT int norma_pthread_rwlock_timedwrlock(pthread_rwlock_t *lock, const struct timespec *deadline);

/** Unlocks. EPERM: nobody has it, or somebody else for writing. */
NORMA_EXPORT int norma_pthread_rwlock_unlock(pthread_rwlock_t *lock);

/* ---- Conditions ----------------------------------------------------------------------------------------------- */

/** A condition. ENOTSUP: shared between processes. */
NORMA_EXPORT int norma_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
NORMA_EXPORT int norma_pthread_cond_destroy(pthread_cond_t *condition);

/** Releases the mutex, waits, and locks the mutex again. A deadline is compared with the clock of the waiter's node. */
NORMA_EXPORT int norma_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
NORMA_EXPORT int norma_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                              const struct timespec *deadline);
NORMA_EXPORT int norma_pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                                              const struct timespec *deadline);

/** Wakes one who waits, or all. */
NORMA_EXPORT int norma_pthread_cond_signal(pthread_cond_t *condition);
NORMA_EXPORT int norma_pthread_cond_broadcast(pthread_cond_t *condition);

/* ---- Barriers ------------------------------------------------------------------------------------------------- */

/** A barrier, which is one of norma's (norma_barrier_create): nobody's page moves. ENOTSUP: shared between processes.
 */
NORMA_EXPORT int norma_pthread_barrier_init(pthread_barrier_t *barrier, const pthread_barrierattr_t *attributes,
                                            unsigned count);
NORMA_EXPORT int norma_pthread_barrier_destroy(pthread_barrier_t *barrier);

/** Waits for the others. EOWNERDEAD: a node whose threads have used the barrier has died, or the one that it was made
 * on; it is broken for good. */
NORMA_EXPORT int norma_pthread_barrier_wait(pthread_barrier_t *barrier);

/* ---- Data of threads ------------------------------------------------------------------------------------------ */

/** A key, valid in all threads of all nodes. EAGAIN: there are 128 already. */
NORMA_EXPORT int norma_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
NORMA_EXPORT int norma_pthread_key_delete(pthread_key_t key);

/** What the calling thread has under a key. */
NORMA_EXPORT int norma_pthread_setspecific(pthread_key_t key, const void *value);
NORMA_EXPORT void *norma_pthread_getspecific(pthread_key_t key);

#ifdef __cplusplus
}
#endif

#endif

/* The names, unless NORMA_PTHREAD_NO_NAMES is defined, for who wants the calls alone. */
#if !defined(NORMA_PTHREAD_NO_NAMES) && !defined(NORMA_PTHREAD_NAMES)
#define NORMA_PTHREAD_NAMES
#define pthread_create norma_pthread_create
#define pthread_join norma_pthread_join
#define pthread_tryjoin_np norma_pthread_tryjoin_np
#define pthread_timedjoin_np norma_pthread_timedjoin_np
#define pthread_detach norma_pthread_detach
#define pthread_exit norma_pthread_exit
#define pthread_self norma_pthread_self
#define pthread_equal norma_pthread_equal
#define pthread_once norma_pthread_once

#define pthread_mutex_init norma_pthread_mutex_init
#define pthread_mutex_destroy norma_pthread_mutex_destroy
#define pthread_mutex_lock norma_pthread_mutex_lock
#define pthread_mutex_trylock norma_pthread_mutex_trylock
#define pthread_mutex_timedlock norma_pthread_mutex_timedlock
#define pthread_mutex_clocklock norma_pthread_mutex_clocklock
#define pthread_mutex_unlock norma_pthread_mutex_unlock
#define pthread_spin_init norma_pthread_spin_init
#define pthread_spin_destroy norma_pthread_spin_destroy
#define pthread_spin_lock norma_pthread_spin_lock
#define pthread_spin_trylock norma_pthread_spin_trylock
#define pthread_spin_unlock norma_pthread_spin_unlock

#define pthread_rwlock_init norma_pthread_rwlock_init
#define pthread_rwlock_destroy norma_pthread_rwlock_destroy
#define pthread_rwlock_rdlock norma_pthread_rwlock_rdlock
#define pthread_rwlock_tryrdlock norma_pthread_rwlock_tryrdlock
#define pthread_rwlock_timedrdlock norma_pthread_rwlock_timedrdlock
#define pthread_rwlock_wrlock norma_pthread_rwlock_wrlock
#define pthread_rwlock_trywrlock norma_pthread_rwlock_trywrlock
#define pthread_rwlock_timedwrlock norma_pthread_rwlock_timedwrlock
#define pthread_rwlock_unlock norma_pthread_rwlock_unlock

#define pthread_cond_init norma_pthread_cond_init
#define pthread_cond_destroy norma_pthread_cond_destroy
#define pthread_cond_wait norma_pthread_cond_wait
#define pthread_cond_timedwait norma_pthread_cond_timedwait
#define pthread_cond_clockwait norma_pthread_cond_clockwait
#define pthread_cond_signal norma_pthread_cond_signal
#define pthread_cond_broadcast norma_pthread_cond_broadcast

#define pthread_barrier_init norma_pthread_barrier_init
#define pthread_barrier_destroy norma_pthread_barrier_destroy
#define pthread_barrier_wait norma_pthread_barrier_wait

#define pthread_key_create norma_pthread_key_create
#define pthread_key_delete norma_pthread_key_delete
#define pthread_setspecific norma_pthread_setspecific
#define pthread_getspecific norma_pthread_getspecific

#define NORMA_PTHREAD_JOIN(one, other) one##other
#define NORMA_PTHREAD_PUSH(function, value, name)                                                                      \
    do {                                                                                                               \
        struct norma_pthread_handler name = {(function), (value), 0};                                                  \
    norma_pthread_cleanup_push(&(name))
#define NORMA_PTHREAD_PUSH_AT(function, value, line)                                                                   \
    NORMA_PTHREAD_PUSH(function, value, NORMA_PTHREAD_JOIN(norma_handler_, line))
#undef pthread_cleanup_push
#define pthread_cleanup_push(function, value) NORMA_PTHREAD_PUSH_AT(function, value, __LINE__)
#undef pthread_cleanup_pop
#define pthread_cleanup_pop(execute)                                                                                   \
    norma_pthread_cleanup_pop(execute);                                                                                \
    }                                                                                                                  \
    while (0)

/* A thread on another node cannot be cancelled or signalled, and has no place among this machine's processors. */
#define pthread_cancel(thread) ((void)(thread), ENOTSUP)
#define pthread_kill(thread, signal) ((void)(thread), (void)(signal), ENOTSUP)
#define pthread_setschedparam(thread, policy, how) ((void)(thread), (void)(policy), (void)(how), ENOTSUP)
#define pthread_getschedparam(thread, policy, how) ((void)(thread), (void)(policy), (void)(how), ENOTSUP)
#define pthread_setschedprio(thread, priority) ((void)(thread), (void)(priority), ENOTSUP)
#define pthread_getcpuclockid(thread, clock) ((void)(thread), (void)(clock), ENOTSUP)
#define pthread_setaffinity_np(thread, size, set) ((void)(thread), (void)(size), (void)(set), ENOTSUP)
#define pthread_getaffinity_np(thread, size, set) ((void)(thread), (void)(size), (void)(set), ENOTSUP)
#define pthread_setname_np(thread, name) ((void)(thread), (void)(name), ENOTSUP)
#define pthread_getname_np(thread, name, size) ((void)(thread), (void)(name), (void)(size), ENOTSUP)
#define pthread_getattr_np(thread, attributes) ((void)(thread), (void)(attributes), ENOTSUP)
#define pthread_mutex_consistent(mutex) ((void)(mutex), EINVAL)
#define pthread_mutex_getprioceiling(mutex, ceiling) ((void)(mutex), (void)(ceiling), EINVAL)
#define pthread_mutex_setprioceiling(mutex, ceiling, old) ((void)(mutex), (void)(ceiling), (void)(old), EINVAL)
#endif
