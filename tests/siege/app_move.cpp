// SPDX-License-Identifier: BSD-3-Clause
// Programs of a job whose node 1 does as it likes: what a task meets that wants to go there.
#include "tests/system/app.hpp"

#include <cstdio>
#include <unistd.h>

namespace {

void say(const char *text) {
    std::puts(text);
    std::fflush(stdout);
}

// Node 1 gets a right to the task, and with it the means to end it.
void give_to_node_1(task_t task) {
    task_t there = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(mach_task_self(), FALSE, 1, &there));
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(there, 0x1000, task, MACH_MSG_TYPE_COPY_SEND));
}

} // namespace

// move_in_vain 0: a clone; 1: itself. Node 1 does not answer in time.
SYSTEM_CASE(move_in_vain) {
    task_t task = TASK_NULL;
    const bool itself = systest::number(args, 0, 0) != 0;
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, itself ? norma_task_teleport(mach_task_self(), TRUE, 1, &task)
                                                : norma_task_clone(mach_task_self(), TRUE, 1, &task));
    say("stayed");
    return 0;
}

// A child that is terminated on its way to node 1.
SYSTEM_CASE(move_child) {
    auto child = norma::clone_to(0);
    give_to_node_1(child.port());
    task_t moved = TASK_NULL;
    CHECK_KERN(KERN_INVALID_TASK, norma_task_teleport(child.port(), TRUE, 1, &moved));
    CHECK_EQ(0, END_OF(child.release()));
    return 0;
}

// move_first 1: gives its right away before.
SYSTEM_CASE(move_first) {
    if (systest::number(args, 0, 0) != 0) {
        give_to_node_1(mach_task_self());
    }
    task_t self = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(mach_task_self(), TRUE, 1, &self));
    return 0;
}

// The one that another node asks for: it has no main().
SYSTEM_CASE(wait_to_be_taken_over) {
    ::pause();
    return 0;
}
