/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the macros of parmacs.m4 stand for: C over POSIX threads, which norma/pthread.h has on all nodes. With
 * NORMA_PARMACS_PLAIN defined it is those of the C library, for comparison. Not for programs to name. */
#ifndef NORMA_PARMACS_H
#define NORMA_PARMACS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifndef NORMA_PARMACS_PLAIN
#include <norma/pthread.h>
#endif

enum { NORMA_PARMACS_MOST = 1024 };

/* The program's threads besides its first. */
struct norma_parmacs {
    pthread_t threads[NORMA_PARMACS_MOST];
    int count;
};

/* Its count may come only when it is first waited at; from then on nobody writes to it. */
struct norma_parmacs_barrier {
    pthread_mutex_t lock;
    unsigned count;
    pthread_barrier_t barrier;
};

struct norma_parmacs_loop {
    pthread_mutex_t lock;
    pthread_cond_t all_done;
    long next;
    int done;
    int turn;
};

struct norma_parmacs_flag {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int set;
};

static inline void norma_parmacs_check(int error, const char *what) {
    if (error != 0) {
        fprintf(stderr, "parmacs: %s: %s\n", what, strerror(error));
        exit(1);
    }
}

static inline void norma_parmacs_begin(struct norma_parmacs *program) {
    program->count = 0;
}

static inline void *norma_parmacs_enter(void *function) {
    void (*body)(void);
    memcpy(&body, &function, sizeof body);
    body();
    return NULL;
}

/* One thread; or, if it is said how many threads run `body` in all, the others of them and then the caller too. */
static inline void norma_parmacs_create(struct norma_parmacs *program, void (*body)(void), int all) {
    const int others = all == 0 ? 1 : all - 1;
    void *function = NULL;
    memcpy(&function, &body, sizeof body);
    for (int i = 0; i < others; ++i) {
        const int room = program->count < NORMA_PARMACS_MOST;
        norma_parmacs_check(room ? 0 : EAGAIN, "CREATE");
        norma_parmacs_check(pthread_create(&program->threads[program->count], NULL, norma_parmacs_enter, function),
                            "CREATE");
        ++program->count;
    }
    if (all != 0) {
        body();
    }
}

static inline void norma_parmacs_wait(struct norma_parmacs *program) {
    while (program->count > 0) {
        --program->count;
        norma_parmacs_check(pthread_join(program->threads[program->count], NULL), "WAIT_FOR_END");
    }
}

static inline void norma_parmacs_locks(pthread_mutex_t *locks, int count) {
    for (int i = 0; i < count; ++i) {
        pthread_mutex_init(&locks[i], NULL);
    }
}

static inline void norma_parmacs_barrier_begin(struct norma_parmacs_barrier *barrier, unsigned count) {
    pthread_mutex_init(&barrier->lock, NULL);
    barrier->count = 0;
    if (count > 0) {
        norma_parmacs_check(pthread_barrier_init(&barrier->barrier, NULL, count), "BARINIT");
        barrier->count = count;
    }
}

static inline void norma_parmacs_meet(struct norma_parmacs_barrier *barrier, unsigned count) {
    if (__atomic_load_n(&barrier->count, __ATOMIC_ACQUIRE) == 0) {
        pthread_mutex_lock(&barrier->lock);
        if (barrier->count == 0) {
            norma_parmacs_check(pthread_barrier_init(&barrier->barrier, NULL, count), "BARRIER");
            __atomic_store_n(&barrier->count, count, __ATOMIC_RELEASE);
        }
        pthread_mutex_unlock(&barrier->lock);
    }
    norma_parmacs_check(count == 0 || count == barrier->count ? 0 : EINVAL, "BARRIER, of another number than before");
    const int result = pthread_barrier_wait(&barrier->barrier);
    norma_parmacs_check(result == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : result, "BARRIER");
}

static inline void norma_parmacs_barrier_end(struct norma_parmacs_barrier *barrier) {
    if (barrier->count != 0) {
        pthread_barrier_destroy(&barrier->barrier);
    }
}

static inline void norma_parmacs_loop_begin(struct norma_parmacs_loop *loop) {
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->all_done, NULL);
    loop->next = 0;
    loop->done = 0;
    loop->turn = 0;
}

/* The next number up to `last`; -1 when there is none left and all threads have been told so. */
static inline void norma_parmacs_next(struct norma_parmacs_loop *loop, int *number, long last, int threads) {
    pthread_mutex_lock(&loop->lock);
    if (loop->next <= last) {
        *number = (int)loop->next++;
    } else {
        *number = -1;
        const int turn = loop->turn;
        if (++loop->done == threads) {
            loop->next = 0;
            loop->done = 0;
            ++loop->turn;
            pthread_cond_broadcast(&loop->all_done);
        }
        while (turn == loop->turn) {
            pthread_cond_wait(&loop->all_done, &loop->lock);
        }
    }
    pthread_mutex_unlock(&loop->lock);
}

static inline void norma_parmacs_flag_begin(struct norma_parmacs_flag *flag) {
    pthread_mutex_init(&flag->lock, NULL);
    pthread_cond_init(&flag->changed, NULL);
    flag->set = 0;
}

static inline void norma_parmacs_flag_set(struct norma_parmacs_flag *flag, int set) {
    pthread_mutex_lock(&flag->lock);
    flag->set = set;
    pthread_cond_broadcast(&flag->changed);
    pthread_mutex_unlock(&flag->lock);
}

static inline void norma_parmacs_flag_wait(struct norma_parmacs_flag *flag, int set) {
    pthread_mutex_lock(&flag->lock);
    while (flag->set != set) {
        pthread_cond_wait(&flag->changed, &flag->lock);
    }
    pthread_mutex_unlock(&flag->lock);
}

/* Microseconds, from no particular moment. */
static inline unsigned long norma_parmacs_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)now.tv_sec * 1000000 + (unsigned long)now.tv_nsec / 1000;
}

#endif
