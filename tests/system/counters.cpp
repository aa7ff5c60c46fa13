// SPDX-License-Identifier: BSD-3-Clause
// Counters that tasks on all nodes increment, under a lock and without one, all on one page.
#include "tests/system/app.hpp"

#include <chrono>
#include <vector>

namespace {

constexpr int kTasks = 3;
constexpr int kThreads = 2; // of each task

struct Counters {
    norma::mutex lock;
    long locked;
    std::atomic<long> free;
};

template <class F> double count_everywhere(F increment) {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<norma::task> tasks;
    std::vector<norma::thread> threads;
    for (int i = 0; i < kTasks; ++i) {
        tasks.push_back(norma::clone_to(i % norma::node_count()));
        for (int k = 0; k < kThreads; ++k) {
            threads.push_back(tasks.back().start(increment));
        }
    }
    for (const auto &thread : threads) {
        thread.wait();
    }
    for (auto &task : tasks) {
        task.terminate(); // throws if it has ended by itself
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

} // namespace

// counters LOCKED FREE: how often each thread increments.
SYSTEM_CASE(counters) {
    const long locked = systest::number(args, 0, 1000);
    const long free = systest::number(args, 1, 100'000);
    auto *counters = systest::shared<Counters>();
    counters->lock = norma::mutex::create();
    const auto free_time = count_everywhere([counters, free] {
        for (long i = 0; i < free; ++i) {
            counters->free.fetch_add(1);
        }
    });
    const auto locked_time = count_everywhere([counters, locked] {
        for (long i = 0; i < locked; ++i) {
            const std::lock_guard guard(counters->lock);
            counters->locked += 1;
        }
    });
    CHECK_EQ(kTasks * kThreads * free, counters->free.load());
    CHECK_EQ(kTasks * kThreads * locked, counters->locked);
    fmt::print("free: {:.3g}/s, locked: {:.3g}/s\n", kTasks * kThreads * static_cast<double>(free) / free_time,
               kTasks * kThreads * static_cast<double>(locked) / locked_time);
    return 0;
}
