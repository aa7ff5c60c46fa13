// SPDX-License-Identifier: BSD-3-Clause
// thread_abort: out of every wait for others, and out of system calls, on this node and on another.
#include "tests/system/ports.hpp"

#include <cerrno>
#include <chrono>
#include <thread>

#include <unistd.h>

namespace {

using systest::shared;

struct Wait {
    norma_sync_t barrier, mutex, condition, semaphore, held; // held: a mutex that the first task has locked
    mach_port_t inbox, full;                                 // full: its queue is
    task_t task;
    thread_t thread;
    int (*how)(Wait *);
    std::atomic<int> begun, result;
    std::uint32_t word;
};
constexpr int kNothing = -1000;

int at_barrier(Wait *wait) {
    return norma_barrier_wait(wait->barrier, nullptr);
}
int at_mutex(Wait *wait) {
    return norma_mutex_lock(wait->held);
}
int at_condition(Wait *wait) {
    CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(wait->mutex));
    const auto status = norma_cond_wait(wait->condition, wait->mutex, 20'000);
    CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(wait->mutex)); // it is held whatever the outcome
    return status;
}
int at_semaphore(Wait *wait) {
    return norma_semaphore_wait(wait->semaphore, -1);
}
int at_word(Wait *wait) {
    return norma_wait(&wait->word, 0, -1);
}
int at_task(Wait *wait) { // of which this thread is one
    int status = 0;
    return norma_task_wait(mach_task_self(), -1, &status) == KERN_ABORTED && wait->begun == 1 ? KERN_ABORTED : -1;
}
int at_thread(Wait *) {
    return norma_thread_wait(mach_thread_self(), 20'000);
}
int at_receive(Wait *wait) {
    systest::Plain message{};
    return mach_msg(&message.head, MACH_RCV_MSG, 0, sizeof message, wait->inbox, 0, MACH_PORT_NULL);
}
int at_send(Wait *wait) {
    return systest::send(wait->full, 9);
}
int at_pipe(Wait *) {
    static thread_local int ends[2]; // not on the stack, which is coherent memory
    static thread_local char byte;
    CHECK_EQ(0, ::pipe(ends));
    const auto size = ::read(ends[0], &byte, 1);
    const int error = errno;
    ::close(ends[0]);
    ::close(ends[1]);
    return size == -1 ? error : -1;
}

void run(void *raw) {
    auto *wait = static_cast<Wait *>(raw);
    wait->begun = 1;
    wait->result = wait->how(wait);
}

// Aborts until it has an effect: nobody outside can know when the thread is inside its call.
void check_abort(task_t task, Wait *wait, int (*how)(Wait *), int expected, bool suspended) {
    wait->how = how;
    wait->begun = 0;
    wait->result = kNothing;
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, run, wait, 0, &thread));
    CHECK_SOON(wait->begun == 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK_EQ(kNothing, wait->result.load());
    if (suspended) {
        CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
        CHECK_KERN(KERN_SUCCESS, thread_abort(thread));
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        CHECK_EQ(kNothing, wait->result.load()); // it has stayed suspended
        CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
        CHECK_SOON(wait->result != kNothing);
    } else {
        CHECK_SOON(thread_abort(thread) != KERN_SUCCESS || wait->result != kNothing);
    }
    CHECK_EQ(expected, wait->result.load());
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));
    CHECK_KERN(KERN_TERMINATED, thread_abort(thread));
}

// Both ports live on this node; the right to receive is the task's.
void in_messages(task_t task, Wait *wait, bool suspended) {
    wait->inbox = systest::make_port_to_send();
    wait->full = systest::make_port_to_send();
    if (task != mach_task_self()) {
        CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(task, wait->inbox, wait->inbox, MACH_MSG_TYPE_MOVE_RECEIVE));
        CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(task, wait->full, wait->full, MACH_MSG_TYPE_MAKE_SEND));
    }
    for (std::uint64_t i = 0; i < MACH_PORT_QLIMIT_DEFAULT; ++i) {
        CHECK_KERN(MACH_MSG_SUCCESS, systest::send(wait->full, i));
    }
    check_abort(task, wait, at_send, MACH_SEND_INTERRUPTED, suspended);
    for (std::uint64_t i = 0; i < MACH_PORT_QLIMIT_DEFAULT; ++i) {
        CHECK_EQ(i, systest::number_from(wait->full));
    }
    systest::expect_silence(wait->full);
    check_abort(task, wait, at_receive, MACH_RCV_INTERRUPTED, suspended);
    // It has taken no message with it.
    CHECK_KERN(MACH_MSG_SUCCESS, systest::send(wait->inbox, 8));
    thread_t thread = THREAD_NULL;
    wait->how = at_receive;
    wait->result = kNothing;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, run, wait, 0, &thread));
    CHECK_SOON(wait->result == MACH_MSG_SUCCESS);
}

void never(Wait *wait, task_t task) {
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_abort(mach_thread_self()));
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_abort(task));
    CHECK_KERN(KERN_SUCCESS, thread_create(task, &thread));
    CHECK_KERN(KERN_SUCCESS, thread_abort(thread)); // it waits for nothing
    CHECK_KERN(KERN_SUCCESS, thread_terminate(thread));
    // One that does not wait goes on, and its next wait is a wait like any other.
    const auto busy = [](Wait *given) {
        while (given->begun == 1) {
        }
        return norma_semaphore_wait(given->semaphore, 50);
    };
    wait->how = busy;
    wait->begun = 0;
    wait->result = kNothing;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, run, wait, 0, &thread));
    CHECK_SOON(wait->begun == 1);
    CHECK_KERN(KERN_SUCCESS, thread_abort(thread));
    wait->begun = 2;
    CHECK_SOON(wait->result != kNothing);
    CHECK_EQ(KERN_OPERATION_TIMED_OUT, wait->result.load());
}

} // namespace

// The synchronisation objects are node 0's, so a thread on the last node waits across nodes.
SYSTEM_CASE(thread_aborts) {
    auto *wait = shared<Wait>();
    CHECK_KERN(KERN_SUCCESS, norma_barrier_create(2, &wait->barrier));
    CHECK_KERN(KERN_SUCCESS, norma_mutex_create(&wait->mutex));
    CHECK_KERN(KERN_SUCCESS, norma_mutex_create(&wait->held));
    CHECK_KERN(KERN_SUCCESS, norma_cond_create(&wait->condition));
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_create(0, &wait->semaphore));
    CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(wait->held));
    const auto child = norma::clone_to(norma::node_count() - 1);
    for (const auto task : {mach_task_self(), child.port()}) {
        for (const bool suspended : {false, true}) {
            for (auto *const how : {at_barrier, at_mutex, at_condition, at_semaphore, at_word, at_task, at_thread}) {
                check_abort(task, wait, how, KERN_ABORTED, suspended);
            }
            check_abort(task, wait, at_pipe, EINTR, suspended);
            in_messages(task, wait, suspended);
        }
        never(wait, task);
    }
    CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(wait->held));
    return 0;
}
