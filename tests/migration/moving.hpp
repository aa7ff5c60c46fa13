// SPDX-License-Identifier: BSD-3-Clause
// What the programs share that are moved: they set something up, are moved to another node by somebody who does not ask
// them, and look whether it is still so. The names of the cases say what it is.
#pragma once

#include "tests/system/app.hpp"

#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <unistd.h>

namespace moving {

using namespace std::chrono_literals;
using systest::self;

inline std::atomic<bool> over; // the task has been moved as often as it is to be
inline std::atomic<int> ready;

inline int node_after(int node) {
    return (node + 1) % norma::node_count();
}

inline void rest(std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
}

/// A thread that is not met outside of libraries for long, as on a machine with too much to do, keeps its task where it
/// is; then somebody may try again.
inline void move_to(int node, task_t task, int flags = 0) {
    auto status = norma_task_migrate(task, node, flags);
    while (status == KERN_OPERATION_TIMED_OUT) {
        status = norma_task_migrate(task, node, flags);
    }
    CHECK_KERN(KERN_SUCCESS, status);
}

/// Moves the task `times` times, at moments that are nobody's choice, over all nodes.
inline void move_about(task_t task, int times, int flags = 0) {
    std::minstd_rand random(static_cast<unsigned>(getpid()));
    int node = 0;
    for (int i = 0; i < times; ++i) {
        rest(std::chrono::milliseconds(random() % 30));
        node = node_after(node);
        move_to(node, task, flags);
    }
}

/// A child that runs `body` until it has been moved `times` times; then it must end well.
template <class F> int moved_while(int times, F body, int flags = 0) {
    over = false;
    auto child = systest::spawn(0, body);
    move_about(child.port(), times, flags);
    over = true;
    JOIN(child);
    return 0;
}

/// The same, but it is moved only when it has set up what is to be kept, and says so by `ready`.
template <class F> int moved_when_ready(int times, F body) {
    over = false;
    ready = 0;
    auto child = systest::spawn(0, body);
    CHECK_SOON(ready == 1);
    move_about(child.port(), times);
    over = true;
    JOIN(child);
    return 0;
}

inline void until_over() { // in the program itself, where a thread can be stopped
    while (!over) {
    }
}

inline void be_moved() {
    ready = 1;
    until_over();
}

} // namespace moving
