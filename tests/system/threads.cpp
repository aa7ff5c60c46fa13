// SPDX-License-Identifier: BSD-3-Clause
// Threads and tasks as Mach has them: made, stopped, counted and ended, on this node and on another.
#include "tests/system/app.hpp"

#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using systest::shared;

struct Progress {
    std::atomic<long> count, started, finished;
    std::atomic<int> end;
};

int other_node() {
    return norma::node_count() - 1;
}

void count_up(void *raw) {
    auto *progress = static_cast<Progress *>(raw);
    progress->started.fetch_add(1);
    while (progress->end == 0) {
        progress->count.fetch_add(1);
    }
    progress->finished.fetch_add(1);
}

void check_runs(Progress *progress) {
    const long now = progress->count;
    CHECK_SOON(progress->count > now);
}

void check_stands(Progress *progress) {
    const long now = progress->count;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK_EQ(now, progress->count.load());
}

thread_t start(task_t task, void (*entry)(void *), void *argument) {
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, entry, argument, 0, &thread));
    return thread;
}

unsigned thread_count(task_t task) {
    thread_act_array_t threads = nullptr;
    mach_msg_type_number_t count = 0;
    CHECK_KERN(KERN_SUCCESS, task_threads(task, &threads, &count));
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), systest::address_of(threads), count * sizeof(thread_t)));
    return count;
}

kern_return_t set_entry(thread_t thread, void (*entry)(void *), void *argument) {
    norma_thread_entry_data_t state{entry, argument, 0};
    return thread_set_state(thread, NORMA_THREAD_ENTRY, reinterpret_cast<thread_state_t>(&state),
                            NORMA_THREAD_ENTRY_COUNT);
}

void check_create(task_t task, Progress *progress) {
    thread_t thread = THREAD_NULL;
    const auto before = thread_count(task);
    CHECK_KERN(KERN_SUCCESS, thread_create(task, &thread));
    CHECK_EQ(before + 1, thread_count(task));
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_resume(thread)); // nowhere to start
    CHECK_EQ(KERN_INVALID_ARGUMENT, set_entry(thread, nullptr, nullptr));
    CHECK_EQ(KERN_SUCCESS, set_entry(thread, count_up, progress));
    CHECK_KERN(KERN_SUCCESS, thread_suspend(thread)); // its count is 2 now
    CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
    CHECK_EQ(0L, progress->started.load());
    CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
    CHECK_SOON(progress->started == 1);
    CHECK_EQ(KERN_NOT_SUPPORTED, set_entry(thread, count_up, progress));
    CHECK_KERN(KERN_FAILURE, thread_resume(thread));
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_thread_wait(thread, 5));
    progress->end = 1;
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));
    CHECK_EQ(1L, progress->finished.load());
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 0));
    CHECK_EQ(before, thread_count(task)); // though the kernel may list it a moment longer
    for (const auto status : {thread_suspend(thread), thread_resume(thread), thread_terminate(thread),
                              set_entry(thread, count_up, progress)}) {
        CHECK_EQ(KERN_TERMINATED, status);
    }
}

void check_suspend(task_t task, Progress *progress) {
    const auto thread = start(task, count_up, progress);
    check_runs(progress);
    CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
    check_stands(progress);
    CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
    CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
    check_stands(progress);
    CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
    check_runs(progress);
    CHECK_KERN(KERN_FAILURE, thread_resume(thread));
    // Ended while it runs, and another one while it is stopped.
    CHECK_KERN(KERN_SUCCESS, thread_terminate(thread));
    check_stands(progress);
    CHECK_KERN(KERN_TERMINATED, thread_terminate(thread));
    const auto second = start(task, count_up, progress);
    check_runs(progress);
    CHECK_KERN(KERN_SUCCESS, thread_suspend(second));
    CHECK_KERN(KERN_SUCCESS, thread_terminate(second));
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(second, 5000));
    check_stands(progress);
    CHECK_EQ(0L, progress->finished.load());
}

} // namespace

SYSTEM_CASE(threads_create) {
    check_create(mach_task_self(), shared<Progress>());
    auto *progress = shared<Progress>();
    const auto child = norma::clone_to(other_node());
    check_create(child.port(), progress);

    thread_t thread = 0x1234;
    norma_thread_entry_data_t state{count_up, progress, 0};
    auto *const raw = reinterpret_cast<thread_state_t>(&state);
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_create_running(child.port(), 1, raw, NORMA_THREAD_ENTRY_COUNT, &thread));
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_create_running(child.port(), NORMA_THREAD_ENTRY, raw, 1, &thread));
    CHECK_KERN(KERN_INVALID_ARGUMENT,
               thread_create_running(child.port(), NORMA_THREAD_ENTRY, nullptr, NORMA_THREAD_ENTRY_COUNT, &thread));
    CHECK_EQ(thread_t{0x1234}, thread);
    progress->end = 0;
    CHECK_KERN(KERN_SUCCESS,
               thread_create_running(child.port(), NORMA_THREAD_ENTRY, raw, NORMA_THREAD_ENTRY_COUNT, &thread));
    CHECK_SOON(progress->started == 2);
    CHECK_EQ(KERN_INVALID_ARGUMENT, set_entry(mach_thread_self(), count_up, progress));
    CHECK_KERN(KERN_INVALID_TASK, thread_create(TASK_NULL, &thread));
    CHECK_KERN(KERN_INVALID_TASK, thread_create(thread, &thread));
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_suspend(child.port())); // no thread
    return 0;
}

SYSTEM_CASE(threads_suspend) {
    check_suspend(mach_task_self(), shared<Progress>());
    auto *progress = shared<Progress>();
    const auto child = norma::clone_to(other_node());
    check_suspend(child.port(), progress);
    return 0;
}

// task_suspend: counted, all threads at once, also those that wait in a call and those made meanwhile.
SYSTEM_CASE(tasks_suspend) {
    struct Shared {
        Progress running, late;
        norma::semaphore gate;
        std::atomic<int> through;
    };
    auto *all = shared<Shared>();
    all->gate = norma::semaphore::create(0);
    const auto child = norma::clone_to(other_node());
    for (int i = 0; i < 3; ++i) {
        start(child.port(), count_up, &all->running);
    }
    const auto wait_at_gate = [](void *raw) {
        auto *given = static_cast<Shared *>(raw);
        given->gate.acquire();
        given->through = 1;
    };
    start(child.port(), wait_at_gate, all);
    CHECK_SOON(all->running.started == 3);
    CHECK_EQ(4U, thread_count(child.port()));
    child.suspend();
    check_stands(&all->running);
    start(child.port(), count_up, &all->late);
    all->gate.release();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK_EQ(0L, all->late.started.load());
    CHECK_EQ(0, all->through.load());
    child.suspend();
    child.resume();
    check_stands(&all->running);
    child.resume();
    check_runs(&all->running);
    CHECK_SOON(all->late.started == 1);
    CHECK_SOON(all->through == 1);
    CHECK_KERN(KERN_FAILURE, task_resume(child.port()));

    // A thread runs only when both counts are 0.
    const auto thread = start(child.port(), count_up, &all->late);
    CHECK_SOON(all->late.started == 2);
    child.suspend();
    CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
    child.resume();
    check_runs(&all->running);
    CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
    return 0;
}

SYSTEM_CASE(threads_of_task) {
    const auto own = thread_count(mach_task_self());
    CHECK_EQ(1U, own);
    const auto child = norma::clone_to(other_node());
    CHECK_EQ(0U, thread_count(child.port()));
    auto *progress = shared<Progress>();
    std::atomic<int> hold{1};
    std::thread library_made([&hold] {
        while (hold != 0) {
            std::this_thread::yield();
        }
    });
    CHECK_EQ(2U, thread_count(mach_task_self())); // those of the C++ library count as well
    hold = 0;
    library_made.join();
    CHECK_SOON(thread_count(mach_task_self()) == 1);

    // A thread that ends itself, in the middle of something.
    struct Order {
        Progress *progress;
        std::atomic<thread_t> self;
    };
    auto *order = shared<Order>();
    order->progress = progress;
    const auto end_itself = [](void *raw) {
        auto *given = static_cast<Order *>(raw);
        given->self = mach_thread_self();
        given->progress->started = 1;
        thread_terminate(mach_thread_self());
        given->progress->finished = 1;
    };
    const auto thread = start(mach_task_self(), end_itself, order);
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));
    CHECK_EQ(1L, progress->started.load());
    CHECK_EQ(0L, progress->finished.load());
    CHECK_KERN(KERN_TERMINATED, thread_terminate(thread));
    CHECK_SOON(thread_count(mach_task_self()) == 1);
    CHECK(order->self != mach_thread_self());
    // A stack goes when its thread does: many threads one after the other need no more than one.
    for (int i = 0; i < 300; ++i) {
        CHECK_KERN(KERN_SUCCESS, norma_thread_wait(start(
                                                       mach_task_self(), [](void *) {}, nullptr),
                                                   10'000));
    }
    return 0;
}

SYSTEM_CASE(tasks_end) {
    auto *progress = shared<Progress>();
    int status = 77;
    for (const int node : {0, other_node()}) {
        task_t child = TASK_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_task_clone(mach_task_self(), TRUE, node, &child));
        const auto thread = start(child, count_up, progress);
        check_runs(progress);
        const auto begin = std::chrono::steady_clock::now();
        CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_task_wait(child, 50, &status));
        CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(50));
        CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_task_wait(child, 0, &status));
        CHECK_EQ(77, status);
        CHECK_KERN(KERN_SUCCESS, task_terminate(child));
        check_stands(progress);
        CHECK_EQ(0, END_OF(child));

        // Its ports are dead.
        vm_address_t address = 0;
        thread_t none = THREAD_NULL;
        thread_act_array_t threads = nullptr;
        mach_msg_type_number_t count = 0;
        CHECK_KERN(KERN_INVALID_TASK, task_terminate(child));
        CHECK_KERN(KERN_INVALID_TASK, task_suspend(child));
        CHECK_KERN(KERN_INVALID_TASK, task_resume(child));
        CHECK_KERN(KERN_INVALID_TASK, task_threads(child, &threads, &count));
        CHECK_KERN(KERN_INVALID_TASK, thread_create(child, &none));
        CHECK_KERN(KERN_INVALID_TASK, norma_thread_start(child, count_up, progress, 0, &none));
        CHECK_KERN(KERN_INVALID_TASK, vm_allocate(child, &address, 4096, TRUE));
        CHECK_KERN(KERN_INVALID_TASK, vm_deallocate(child, address, 4096));
        CHECK_KERN(KERN_TERMINATED, thread_suspend(thread));
        CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 1000));
    }
    // A task that has no threads lives; one that ends by itself, or is killed, says how.
    auto idle = norma::clone_to(other_node());
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_task_wait(idle.port(), 20, &status));
    idle.run([] { return 33; });
    CHECK_EQ(33 << 8, END_OF(idle.release()));
    CHECK_EQ(SIGKILL, END_OF(systest::spawn(other_node(), [] { ::kill(::getpid(), SIGKILL); }).release()));
    CHECK_EQ(SIGABRT, END_OF(systest::spawn(other_node(), [] { std::abort(); }).release()) & 0x7f);
    CHECK_KERN(KERN_INVALID_TASK, norma_task_wait(task_t{4711}, 0, &status));
    return 0;
}
