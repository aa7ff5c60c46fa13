// SPDX-License-Identifier: BSD-3-Clause
// Barrier, mutex, condition variable and semaphore between tasks of all nodes.
#include "tests/system/app.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <mutex>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using systest::shared;
using systest::spawn;

int node_of_number(int number) {
    return number % norma::node_count();
}

void join_all(std::vector<norma::task> &tasks) {
    for (auto &task : tasks) {
        JOIN(task);
    }
}

} // namespace

// Nobody is in the next phase before all have done the last one, and one of them is told that it is the serial one.
SYSTEM_CASE(sync_barrier) {
    struct Shared {
        norma::barrier meet;
        std::atomic<int> arrived, serials;
    };
    constexpr int kRounds = 100;
    auto *all = shared<Shared>();
    const int count = norma::node_count() * 2;
    all->meet = norma::barrier::create(static_cast<unsigned>(count));
    std::vector<norma::task> tasks;
    for (int number = 0; number < count; ++number) {
        tasks.push_back(spawn(node_of_number(number), [=] {
            for (int round = 0; round < kRounds; ++round) {
                all->arrived.fetch_add(1);
                all->serials.fetch_add(all->meet.wait() ? 1 : 0);
                CHECK_EQ((round + 1) * count, all->arrived.load());
                all->meet.wait();
            }
        }));
    }
    join_all(tasks);
    CHECK_EQ(kRounds, all->serials.load());
    norma_sync_t none = 0;
    CHECK_KERN(KERN_INVALID_TASK, norma_barrier_expect(all->meet.id(), tasks.front().port()));
    CHECK_KERN(KERN_INVALID_VALUE, norma_barrier_expect(~norma_sync_t{0}, mach_task_self()));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_barrier_create(0, &none));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_barrier_create(2, nullptr));
    CHECK_KERN(KERN_INVALID_VALUE, norma_barrier_wait(0, nullptr));
    CHECK_KERN(KERN_INVALID_VALUE, norma_mutex_lock(all->meet.id())); // a barrier is no mutex
    return 0;
}

// First come, first served: the waiters queue up one after the other and get the lock in that order.
SYSTEM_CASE(sync_mutex_order) {
    struct Shared {
        norma::mutex lock;
        std::atomic<int> next, asking;
    };
    auto *all = shared<Shared>();
    all->lock = norma::mutex::create();
    constexpr int kWaiters = 8;
    for (int round = 0; round < 3; ++round) {
        all->next = all->asking = 0;
        all->lock.lock();
        CHECK_KERN(KERN_INVALID_ARGUMENT, norma_mutex_lock(all->lock.id()));
        std::vector<norma::task> tasks;
        for (int number = 0; number < kWaiters; ++number) {
            tasks.push_back(spawn(node_of_number(number), [=] {
                CHECK_KERN(KERN_RESOURCE_SHORTAGE, norma_mutex_trylock(all->lock.id()));
                CHECK_KERN(KERN_INVALID_ARGUMENT, norma_mutex_unlock(all->lock.id()));
                all->asking = number + 1;
                const std::lock_guard guard(all->lock);
                CHECK_EQ(number, all->next.load());
                all->next = number + 1;
            }));
            CHECK_SOON(all->asking == number + 1);
            std::this_thread::sleep_for(std::chrono::milliseconds(20)); // from there into the queue
        }
        all->lock.unlock();
        join_all(tasks);
        CHECK_EQ(kWaiters, all->next.load());
    }
    return 0;
}

// Producers and consumers of all nodes with a queue between them: each item arrives once.
SYSTEM_CASE(sync_condition) {
    constexpr int kItems = 200; // of each producer
    struct Shared {
        norma::mutex lock;
        norma::condition_variable not_empty, not_full;
        std::array<int, 4> queue;
        std::size_t head, size;
        std::array<std::atomic<int>, 1000> times;
        std::atomic<int> taken;
    };
    auto *all = shared<Shared>();
    all->lock = norma::mutex::create();
    all->not_empty = norma::condition_variable::create();
    all->not_full = norma::condition_variable::create();
    std::vector<norma::task> tasks;
    constexpr int kPairs = 2;
    for (int number = 0; number < kPairs; ++number) {
        tasks.push_back(spawn(node_of_number(number), [=] {
            for (int i = 0; i < kItems; ++i) {
                std::unique_lock lock(all->lock);
                all->not_full.wait(lock, [all] { return all->size < all->queue.size(); });
                all->queue[(all->head + all->size++) % all->queue.size()] = number * kItems + i;
                all->not_empty.notify_one();
            }
        }));
        tasks.push_back(spawn(node_of_number(number + 1), [=] {
            for (int i = 0; i < kItems; ++i) {
                std::unique_lock lock(all->lock);
                all->not_empty.wait(lock, [all] { return all->size > 0; });
                all->times.at(static_cast<std::size_t>(all->queue[all->head])).fetch_add(1);
                all->head = (all->head + 1) % all->queue.size();
                --all->size;
                all->not_full.notify_one();
            }
        }));
    }
    join_all(tasks);
    for (std::size_t item = 0; item < std::size_t{kPairs} * kItems; ++item) {
        CHECK_EQ(1, all->times.at(item).load());
    }

    // Time limits, and waking everybody.
    std::unique_lock lock(all->lock);
    const auto begin = std::chrono::steady_clock::now();
    CHECK(all->not_empty.wait_for(lock, std::chrono::milliseconds(50)) == std::cv_status::timeout);
    CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(50));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_mutex_lock(all->lock.id())); // it is held again
    all->taken = 0;
    lock.unlock();
    std::vector<norma::task> waiters;
    for (int number = 0; number < 4; ++number) {
        waiters.push_back(spawn(node_of_number(number), [=] {
            std::unique_lock held(all->lock);
            all->taken.fetch_add(1);
            all->not_empty.wait(held);
        }));
    }
    CHECK_SOON(all->taken == 4);
    lock.lock(); // so the last one waits by now
    all->not_empty.notify_all();
    lock.unlock();
    join_all(waiters);
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_cond_wait(all->not_empty.id(), all->lock.id(), 10)); // not held
    return 0;
}

SYSTEM_CASE(sync_semaphore) {
    struct Shared {
        norma::semaphore places;
        std::atomic<int> inside, most;
    };
    auto *all = shared<Shared>();
    all->places = norma::semaphore::create(2);
    std::vector<norma::task> tasks;
    for (int number = 0; number < 2 * norma::node_count(); ++number) {
        tasks.push_back(spawn(node_of_number(number), [=] {
            for (int round = 0; round < 50; ++round) {
                all->places.acquire();
                const int now = all->inside.fetch_add(1) + 1;
                CHECK(now <= 2);
                for (int most = all->most; most < now && !all->most.compare_exchange_weak(most, now);) {
                }
                std::this_thread::sleep_for(std::chrono::microseconds(50));
                all->inside.fetch_sub(1);
                all->places.release();
            }
        }));
    }
    join_all(tasks);
    CHECK_EQ(2, all->most.load());
    CHECK(all->places.try_acquire() && all->places.try_acquire() && !all->places.try_acquire());
    const auto begin = std::chrono::steady_clock::now();
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_semaphore_wait(all->places.id(), 50));
    CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(50));
    auto *waiting = shared<std::atomic<int>>();
    auto waiter = spawn(node_of_number(1), [=] {
        *waiting = 1;
        CHECK_KERN(KERN_TERMINATED, norma_semaphore_wait(all->places.id(), -1));
    });
    CHECK_SOON(*waiting == 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    all->places.destroy();
    JOIN(waiter);
    CHECK_KERN(KERN_INVALID_VALUE, norma_semaphore_post(all->places.id()));
    return 0;
}

// A task dies: a barrier it has used is broken, a lock it holds is passed on with a warning.
SYSTEM_CASE(sync_deaths) {
    struct Shared {
        norma::barrier meet;
        norma::mutex lock;
        std::atomic<int> ready;
        std::atomic<pid_t> victim;
    };
    auto *all = shared<Shared>();
    all->meet = norma::barrier::create(3);
    all->lock = norma::mutex::create();
    auto victim = spawn(node_of_number(1), [all] {
        all->lock.lock();
        all->victim = ::getpid();
        all->meet.wait(); // never complete
    });
    auto waiter = spawn(node_of_number(2), [all] {
        all->ready = 1;
        std::error_code error;
        all->meet.wait(error);
        CHECK(error == norma::errc::terminated);
        all->meet.wait(error);
        CHECK(error == norma::errc::terminated);
    });
    CHECK_SOON(all->ready == 1 && all->victim != 0);
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, norma_mutex_trylock(all->lock.id()));
    std::this_thread::sleep_for(std::chrono::milliseconds(50)); // until both wait
    CHECK_EQ(0, ::kill(all->victim, SIGKILL));
    CHECK_EQ(SIGKILL, END_OF(victim.release()));
    JOIN(waiter);
    CHECK_KERN(KERN_TERMINATED, norma_mutex_lock(all->lock.id()));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_mutex_lock(all->lock.id())); // it is held
    CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(all->lock.id()));
    CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(all->lock.id()));
    CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(all->lock.id()));
    return 0;
}
