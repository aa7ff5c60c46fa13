// SPDX-License-Identifier: BSD-3-Clause
// What is asked of every table that tasks of several nodes share.
#pragma once

#include "tests/clone/child.hpp"

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace clonetest {

inline std::vector<int> nodes() {
    return {0, systest::last_node()};
}

inline void await(const std::atomic<int> &word, int wanted) {
    while (word != wanted) {
        std::this_thread::yield();
    }
}

/// Everybody changes the same thing at once: what a call says was there is what the one before it has set, so each
/// value that was set is met once. `set` takes a number and gives the one before it, 0 at first.
inline void change_in_order(int flags, const std::function<int(int value)> &set) {
    constexpr int kTasks = 3;
    constexpr int kRounds = 10;
    std::vector<std::atomic<int>> met(kTasks * kRounds + 1);
    std::atomic<bool> go{false};
    std::vector<int> pids;
    for (int task = 0; task < kTasks; ++task) {
        pids.push_back(child(task % norma::node_count(), flags, [&, task] {
            while (!go) {
                std::this_thread::yield();
            }
            for (int i = 0; i < kRounds; ++i) {
                ++met.at(static_cast<std::size_t>(set(task * kRounds + i + 1)));
            }
            return 0;
        }));
    }
    go = true;
    for (const int pid : pids) {
        CHECK_EQ(0, end_of(pid));
    }
    ++met.at(static_cast<std::size_t>(set(0)));
    for (const auto &times : met) {
        CHECK_EQ(1, times.load());
    }
}

/// Node 2 dies while a task there, one of node 1 and this one make changes, all of which must work where nobody has
/// died.
inline void change_while_a_node_dies(int flags, const std::function<bool(int node)> &theirs,
                                     const std::function<bool(int round)> &ours) {
    std::atomic<int> up{0};
    std::atomic<bool> stop{false};
    for (const int node : {1, 2}) {
        child(node, flags, [&, node] {
            ++up;
            while (!stop) {
                CHECK(theirs(node) || node == 2);
            }
            return 0;
        });
    }
    CHECK_SOON(up == 2);
    for (int i = 0; i < 20; ++i) {
        if (i == 10) {
            systest::kill_node(2);
        }
        CHECK(ours(i));
    }
    stop = true;
    for (int i = 0; i < 2; ++i) {
        CHECK(norma_waitpid(-1, nullptr, 0) > 0);
    }
}

} // namespace clonetest
