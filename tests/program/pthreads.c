// SPDX-License-Identifier: BSD-3-Clause
// A program with POSIX threads, as somebody would write it who has never heard of norma. What it prints depends neither
// on chance nor on where its threads run.
// Usage: pthreads THREADS ROUNDS
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_THREADS = 64, PLACES = 4 };

static int threads, rounds;
static int failures;

static void check(int holds, const char *what, int line) {
    if (!holds) {
        printf("line %d: %s does not hold\n", line, what);
        __atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

// Runs `body` in all threads; returns the sum of what they return.
static long run_all(void *(*body)(void *)) {
    pthread_t made[MOST_THREADS];
    long sum = 0;
    for (long i = 0; i < threads; ++i) {
        CHECK(pthread_create(&made[i], NULL, body, (void *)i) == 0);
    }
    for (int i = 0; i < threads; ++i) {
        void *value = NULL;
        CHECK(pthread_join(made[i], &value) == 0);
        sum += (long)value;
    }
    return sum;
}

// ---- mutexes

static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive, checking;
static long counter, twice;

static void *count(void *unused) {
    (void)unused;
    for (int i = 0; i < rounds; ++i) {
        pthread_mutex_lock(&plain);
        ++counter;
        pthread_mutex_unlock(&plain);
        pthread_mutex_lock(&recursive);
        CHECK(pthread_mutex_trylock(&recursive) == 0);
        twice += 2;
        pthread_mutex_unlock(&recursive);
        pthread_mutex_unlock(&recursive);
    }
    CHECK(pthread_mutex_unlock(&recursive) == EPERM);
    pthread_mutex_lock(&checking);
    CHECK(pthread_mutex_lock(&checking) == EDEADLK);
    CHECK(pthread_mutex_trylock(&checking) == EBUSY);
    CHECK(pthread_mutex_unlock(&checking) == 0);
    return (void *)1;
}

static void mutexes(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&recursive, &attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&checking, &attributes);
    pthread_mutexattr_destroy(&attributes);
    const long done = run_all(count);
    printf("mutexes: %ld threads counted to %ld and %ld\n", done, counter, twice);
    CHECK(pthread_mutex_destroy(&recursive) == 0 && pthread_mutex_destroy(&checking) == 0);
}

// ---- conditions

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static long queue[PLACES];
static int queued, first;

static void put(long item) {
    pthread_mutex_lock(&queue_lock);
    while (queued == PLACES) {
        pthread_cond_wait(&not_full, &queue_lock);
    }
    queue[(first + queued++) % PLACES] = item;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&queue_lock);
}

static long get(void) {
    pthread_mutex_lock(&queue_lock);
    while (queued == 0) {
        pthread_cond_wait(&not_empty, &queue_lock);
    }
    const long item = queue[first];
    first = (first + 1) % PLACES;
    --queued;
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&queue_lock);
    return item;
}

// Every second thread makes items, the others use them up.
static void *trade(void *argument) {
    const long number = (long)argument;
    long sum = 0;
    for (int i = 0; i < rounds; ++i) {
        if (number % 2 == 0) {
            put(number * 1000 + i);
        } else {
            sum += get();
        }
    }
    return (void *)sum;
}

static void conditions(void) {
    printf("conditions: the items together are %ld\n", run_all(trade));
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    pthread_mutex_lock(&queue_lock);
    while (queued == 0) {
        const int error = pthread_cond_timedwait(&not_empty, &queue_lock, &soon);
        if (error != 0) {
            printf("conditions: %s\n", strerror(error));
            break;
        }
    }
    pthread_mutex_unlock(&queue_lock);
}

// ---- read-write locks

static pthread_rwlock_t document_lock = PTHREAD_RWLOCK_INITIALIZER;
static long document[2];

static void *read_and_write(void *argument) {
    for (int i = 0; i < rounds; ++i) {
        if ((i + (long)argument) % 4 == 0) {
            pthread_rwlock_wrlock(&document_lock);
            ++document[0];
            ++document[1];
            pthread_rwlock_unlock(&document_lock);
        } else {
            pthread_rwlock_rdlock(&document_lock);
            CHECK(document[0] == document[1]);
            pthread_rwlock_unlock(&document_lock);
        }
    }
    return NULL;
}

static void read_write_locks(void) {
    run_all(read_and_write);
    printf("read-write locks: %ld changes\n", document[1]);
}

// ---- barriers, once, keys

static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static long sums[2][MOST_THREADS];
static int initialised, destroyed;

static void initialise(void) {
    ++initialised;
}

static void destroy(void *value) {
    __atomic_add_fetch(&destroyed, (int)(long)value, __ATOMIC_SEQ_CST);
}

// Each step adds up what all had in the step before.
static void *add_up(void *argument) {
    const long number = (long)argument;
    long serial = 0;
    pthread_once(&once, initialise);
    pthread_setspecific(key, (void *)(number + 1));
    sums[0][number] = number + 1;
    for (int i = 0; i < rounds; ++i) {
        serial += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
        long sum = 0;
        for (int other = 0; other < threads; ++other) {
            sum += sums[i % 2][other] % 1000;
        }
        sums[(i + 1) % 2][number] = sum + number;
        CHECK(pthread_getspecific(key) == (void *)(number + 1));
    }
    return (void *)serial;
}

static void barriers(void) {
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    pthread_key_create(&key, destroy);
    const long serial = run_all(add_up);
    long sum = 0;
    for (int i = 0; i < threads; ++i) {
        sum += sums[rounds % 2][i];
    }
    printf("barriers: %ld serial threads, sum %ld; once: %d; destructors: %d\n", serial, sum, initialised, destroyed);
    pthread_barrier_destroy(&barrier);
    pthread_key_delete(key);
}

// ---- threads

static int detached_done;

static void *detached(void *unused) {
    __atomic_add_fetch(&detached_done, 1, __ATOMIC_SEQ_CST);
    return unused;
}

static void *leaf(void *argument) {
    char *text = malloc(64); // freed by whoever joins
    snprintf(text, 64, "leaf %ld", (long)argument);
    pthread_exit(text);
}

static void *branch(void *argument) {
    pthread_t leaves[2];
    long length = 0;
    for (long i = 0; i < 2; ++i) {
        pthread_create(&leaves[i], NULL, leaf, (void *)((long)argument * 2 + i));
    }
    for (int i = 0; i < 2; ++i) {
        void *text = NULL;
        pthread_join(leaves[i], &text);
        length += (long)strlen(text);
        free(text);
    }
    return (void *)length;
}

static void families(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    for (int i = 0; i < threads; ++i) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attributes, detached, NULL) == 0);
    }
    pthread_attr_destroy(&attributes);
    printf("threads: %ld letters from leaves\n", run_all(branch));
    while (__atomic_load_n(&detached_done, __ATOMIC_SEQ_CST) < threads) {
        const struct timespec moment = {.tv_sec = 0, .tv_nsec = 1000000};
        nanosleep(&moment, NULL);
    }
    CHECK(pthread_equal(pthread_self(), pthread_self()));
    CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
}

int main(int argc, char **argv) {
    threads = argc > 1 ? atoi(argv[1]) : 4;
    rounds = argc > 2 ? atoi(argv[2]) : 100;
    if (threads < 2 || threads > MOST_THREADS || threads % 2 != 0 || rounds < 1) {
        return 2;
    }
    mutexes();
    conditions();
    read_write_locks();
    barriers();
    families();
    return failures != 0;
}
