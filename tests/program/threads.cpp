// SPDX-License-Identifier: BSD-3-Clause
// What <norma/pthread.h> adds to POSIX threads or does otherwise; what is the same everywhere is in pthreads.c.
#include "tests/system/app.hpp"

#include <norma/pthread.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using systest::Args;

using Start = void *(*)(void *);

pthread_t thread_on(int node, Start start, void *argument = nullptr) {
    pthread_t thread{};
    CHECK_EQ(0, norma_pthread_create_on(node, &thread, nullptr, start, argument));
    return thread;
}

void *joined(pthread_t thread) {
    void *value = nullptr;
    CHECK_EQ(0, pthread_join(thread, &value));
    return value;
}

long number_of(void *value) {
    return static_cast<long>(reinterpret_cast<std::intptr_t>(value));
}
void *value_of(long number) {
    return reinterpret_cast<void *>(number);
}

void *node_of_thread(void * /*unused*/) {
    return value_of(norma::this_node());
}

timespec in_milliseconds(long milliseconds, clockid_t clock = CLOCK_REALTIME) {
    timespec time{};
    clock_gettime(clock, &time);
    time.tv_nsec += milliseconds * 1'000'000;
    time.tv_sec += time.tv_nsec / 1'000'000'000;
    time.tv_nsec %= 1'000'000'000;
    return time;
}

std::atomic<bool> go;
void *until_go(void *result) {
    while (!go) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return result;
}

SYSTEM_CASE(threads_find_their_nodes) {
    const int nodes = norma::node_count();
    std::vector<pthread_t> busy;
    std::vector<int> living(static_cast<std::size_t>(nodes));
    living.at(0) = 1; // this one
    for (int i = 1; i < 2 * nodes; ++i) {
        busy.push_back(thread_on(NORMA_NODE_LEAST_LOADED, until_go));
        ++living.at(static_cast<std::size_t>(norma_pthread_node(busy.back())));
    }
    for (const int count : living) {
        CHECK_EQ(2, count);
    }
    go = true;
    for (const pthread_t thread : busy) {
        joined(thread);
    }
    for (int node = 0; node < nodes; ++node) {
        const pthread_t thread = thread_on(node, node_of_thread);
        CHECK_EQ(node, norma_pthread_node(thread));
        CHECK_EQ(node, number_of(joined(thread)));
    }
    for (int i = 1; i <= 2 * nodes; ++i) {
        pthread_t thread{};
        CHECK_EQ(0, pthread_create(&thread, nullptr, node_of_thread, nullptr));
        CHECK_EQ(i % nodes, number_of(joined(thread)));
    }
    pthread_t untouched{};
    CHECK_EQ(EINVAL, norma_pthread_create_on(nodes, &untouched, nullptr, node_of_thread, nullptr));
    CHECK_EQ(EINVAL, norma_pthread_create_on(-3, &untouched, nullptr, node_of_thread, nullptr));
    return 0;
}

// What lies on one thread's stack is everybody's, also if neither is in the first task.
void *increment(void *number) {
    ++*static_cast<std::atomic<int> *>(number);
    return nullptr;
}

void *share_a_variable(void * /*unused*/) {
    std::atomic<int> number{40};
    for (int node = 0; node < norma::node_count(); ++node) {
        joined(thread_on(node, increment, &number));
    }
    return value_of(number);
}

// Calls itself until so much of its stack is used.
[[gnu::noinline]] int fill_stack(int kilobytes) {
    volatile char here[1024];
    here[0] = static_cast<char>(kilobytes);
    return kilobytes <= 0 ? here[0] : fill_stack(kilobytes - 1) + here[0] - here[0];
}

SYSTEM_CASE(threads_stacks) {
    for (int node = 0; node <= systest::last_node(); ++node) {
        CHECK_EQ(40 + norma::node_count(), number_of(joined(thread_on(node, share_a_variable))));
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    for (const std::size_t megabytes : {1, 4, 12}) {
        pthread_attr_setstacksize(&attributes, megabytes << 20);
        const auto use = [](void *kilobytes) -> void * {
            return value_of(fill_stack(static_cast<int>(number_of(kilobytes))));
        };
        for (int node = 0; node <= systest::last_node(); ++node) {
            pthread_t thread{};
            const auto kilobytes = static_cast<long>(megabytes) * 800;
            CHECK_EQ(0, norma_pthread_create_on(node, &thread, &attributes, use, value_of(kilobytes)));
            CHECK_EQ(0, number_of(joined(thread)));
        }
    }
    pthread_attr_destroy(&attributes);
    return 0;
}

// It must not write into the heap.
SYSTEM_CASE(threads_overflow_a_stack) {
    joined(thread_on(systest::last_node(), [](void *) -> void * { return value_of(fill_stack(4096)); }));
    return 0;
}

std::atomic<int> cleaned;
void clean(void *amount) {
    cleaned += static_cast<int>(number_of(amount));
}
void *leave_early(void * /*unused*/) {
    pthread_cleanup_push(clean, value_of(1));
    pthread_cleanup_push(clean, value_of(10));
    pthread_cleanup_push(clean, value_of(100));
    pthread_cleanup_pop(0);
    pthread_exit(value_of(7));
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
}

SYSTEM_CASE(threads_end) {
    CHECK_EQ(7, number_of(joined(thread_on(systest::last_node(), leave_early))));
    CHECK_EQ(11, cleaned.load());

    const pthread_t thread = thread_on(systest::last_node(), until_go, value_of(5));
    const auto soon = in_milliseconds(30);
    void *value = nullptr;
    CHECK_EQ(EBUSY, pthread_tryjoin_np(thread, &value));
    CHECK_EQ(ETIMEDOUT, pthread_timedjoin_np(thread, &value, &soon));
    CHECK_EQ(ENOTSUP, pthread_cancel(thread));
    CHECK_EQ(ENOTSUP, pthread_kill(thread, SIGTERM));
    go = true;
    const auto late = in_milliseconds(60'000);
    CHECK_EQ(0, pthread_timedjoin_np(thread, &value, &late));
    CHECK_EQ(5, number_of(value));

    const pthread_t detached = thread_on(systest::last_node(), until_go);
    CHECK_EQ(0, pthread_detach(detached));
    return 0;
}

SYSTEM_CASE(threads_refuse) {
    pthread_t thread{};
    std::vector<char> stack(1 << 20);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack.data(), stack.size());
    CHECK_EQ(ENOTSUP, pthread_create(&thread, &attributes, node_of_thread, nullptr));
    pthread_attr_destroy(&attributes);

    pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    CHECK_EQ(0, pthread_mutex_lock(&mutex));
    CHECK_EQ(0, pthread_mutex_lock(&mutex));
    CHECK_EQ(EBUSY, pthread_mutex_destroy(&mutex));
    CHECK_EQ(0, pthread_mutex_unlock(&mutex));
    CHECK_EQ(0, pthread_mutex_unlock(&mutex));
    CHECK_EQ(EPERM, pthread_mutex_unlock(&mutex));
    pthread_mutexattr_t shared;
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    CHECK_EQ(ENOTSUP, pthread_mutex_init(&mutex, &shared));
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
    CHECK_EQ(ENOTSUP, pthread_mutex_init(&mutex, &shared));

    pthread_barrier_t barrier;
    CHECK_EQ(EINVAL, pthread_barrier_init(&barrier, nullptr, 0));
    CHECK_EQ(EINVAL, pthread_setspecific(100, &barrier));
    CHECK(pthread_getspecific(100) == nullptr);
    std::vector<pthread_key_t> keys(1);
    while (pthread_key_create(&keys.back(), nullptr) == 0) {
        keys.emplace_back();
    }
    CHECK_EQ(129U, keys.size());
    CHECK_EQ(0, pthread_setspecific(keys[3], &barrier));
    CHECK_EQ(0, pthread_key_delete(keys[3]));
    CHECK_EQ(EINVAL, pthread_key_delete(keys[3]));
    CHECK_EQ(0, pthread_key_create(&keys[3], nullptr));
    CHECK(pthread_getspecific(keys[3]) == nullptr); // it is another key
    return 0;
}

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
pthread_spinlock_t spin;

void *find_them_held(void * /*unused*/) {
    auto soon = in_milliseconds(20);
    CHECK_EQ(EBUSY, pthread_mutex_trylock(&mutex));
    CHECK_EQ(ETIMEDOUT, pthread_mutex_timedlock(&mutex, &soon));
    soon = in_milliseconds(20, CLOCK_MONOTONIC);
    CHECK_EQ(ETIMEDOUT, pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &soon));
    soon.tv_nsec = -1;
    CHECK_EQ(EINVAL, pthread_mutex_timedlock(&mutex, &soon));
    CHECK_EQ(EBUSY, pthread_spin_trylock(&spin));
    soon = in_milliseconds(20);
    CHECK_EQ(EBUSY, pthread_rwlock_tryrdlock(&rwlock));
    CHECK_EQ(ETIMEDOUT, pthread_rwlock_timedrdlock(&rwlock, &soon));
    CHECK_EQ(EBUSY, pthread_rwlock_trywrlock(&rwlock));
    CHECK_EQ(ETIMEDOUT, pthread_rwlock_timedwrlock(&rwlock, &soon));
    CHECK_EQ(EPERM, pthread_rwlock_unlock(&rwlock));
    return nullptr;
}

void *read_with_others(void * /*unused*/) {
    CHECK_EQ(0, pthread_rwlock_rdlock(&rwlock));
    CHECK_EQ(EBUSY, pthread_rwlock_trywrlock(&rwlock));
    CHECK_EQ(0, pthread_rwlock_unlock(&rwlock));
    return nullptr;
}

SYSTEM_CASE(threads_locks) {
    pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
    CHECK_EQ(0, pthread_spin_lock(&spin));
    CHECK_EQ(0, pthread_mutex_lock(&mutex));
    CHECK_EQ(0, pthread_rwlock_wrlock(&rwlock));
    CHECK_EQ(EDEADLK, pthread_rwlock_wrlock(&rwlock));
    CHECK_EQ(EDEADLK, pthread_rwlock_rdlock(&rwlock));
    joined(thread_on(systest::last_node(), find_them_held));
    CHECK_EQ(0, pthread_rwlock_unlock(&rwlock));
    CHECK_EQ(0, pthread_rwlock_rdlock(&rwlock));
    joined(thread_on(systest::last_node(), read_with_others));
    CHECK_EQ(0, pthread_rwlock_unlock(&rwlock));
    CHECK_EQ(EPERM, pthread_rwlock_unlock(&rwlock));
    const auto soon = in_milliseconds(20, CLOCK_MONOTONIC);
    CHECK_EQ(ETIMEDOUT, pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &soon));
    CHECK_EQ(0, pthread_mutex_unlock(&mutex));
    CHECK_EQ(0, pthread_spin_unlock(&spin));
    return 0;
}

// All wait at one condition, on all nodes; a broadcast lets everybody go, again and again.
int generation, gone;
void *follow(void *rounds) {
    for (long round = 1; round <= number_of(rounds); ++round) {
        pthread_mutex_lock(&mutex);
        ++gone;
        while (generation < round) {
            CHECK_EQ(0, pthread_cond_wait(&condition, &mutex));
        }
        pthread_mutex_unlock(&mutex);
    }
    return nullptr;
}

SYSTEM_CASE(threads_broadcast) {
    const long rounds = systest::number(args, 0, 20);
    const int count = 2 * norma::node_count();
    std::vector<pthread_t> followers;
    for (int i = 0; i < count; ++i) {
        followers.push_back(thread_on(NORMA_NODE_NEXT, follow, value_of(rounds)));
    }
    for (int round = 1; round <= rounds; ++round) {
        for (bool all = false; !all; std::this_thread::yield()) {
            pthread_mutex_lock(&mutex);
            all = gone == round * count;
            generation += all ? 1 : 0;
            pthread_mutex_unlock(&mutex);
        }
        pthread_cond_broadcast(&condition);
    }
    for (const pthread_t thread : followers) {
        joined(thread);
    }
    return 0;
}

SYSTEM_CASE(threads_exit_the_program) {
    joined(thread_on(systest::last_node(), [](void *) -> void * { std::exit(21); }));
    return 1;
}

SYSTEM_CASE(threads_kill_the_program) {
    joined(thread_on(systest::last_node(), [](void *) -> void * {
        ::kill(::getpid(), SIGKILL);
        return nullptr;
    }));
    return 1;
}

SYSTEM_CASE(threads_outlive_main) {
    thread_on(systest::last_node(), [](void *) -> void * {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        thread_on(0, [](void *) -> void * {
            std::puts("the last one");
            return nullptr;
        });
        return nullptr;
    });
    pthread_exit(nullptr);
}

pthread_barrier_t barrier;

SYSTEM_CASE(threads_node_dies) {
    const int doomed = systest::last_node();
    CHECK_EQ(0, pthread_barrier_init(&barrier, nullptr, 3));
    const pthread_t victim = thread_on(doomed, until_go);
    thread_on(doomed, [](void *) -> void * {
        pthread_barrier_wait(&barrier);
        return nullptr;
    });
    const pthread_t survivor = thread_on(0, [](void *) -> void * { return value_of(pthread_barrier_wait(&barrier)); });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    systest::kill_node(doomed);
    CHECK_EQ(EOWNERDEAD, pthread_join(victim, nullptr));
    CHECK_EQ(EOWNERDEAD, number_of(joined(survivor)));
    pthread_t thread{};
    CHECK_EQ(EHOSTDOWN, norma_pthread_create_on(doomed, &thread, nullptr, node_of_thread, nullptr));
    for (int i = 0; i < 4; ++i) {
        CHECK(number_of(joined(thread_on(NORMA_NODE_NEXT, node_of_thread))) != doomed);
        CHECK(number_of(joined(thread_on(NORMA_NODE_LEAST_LOADED, node_of_thread))) != doomed);
    }
    return 0;
}

} // namespace
