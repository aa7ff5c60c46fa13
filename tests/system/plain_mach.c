/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A program as one for Mach would be: it includes no other header of ours, and uses Mach's names. A worker on the
 * other node adds up numbers it has a copy of, in memory the two share, is stopped and goes on, and is ended. */
#include <norma/mach.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 4096
#define NUMBERS (16 * PAGE / (int)sizeof(long))

/* In memory that is shared. */
struct board {
    volatile long rounds; /* the worker counts */
    volatile long sum;    /* of its numbers, at the end */
    volatile int stop;
    volatile int node; /* it is on */
    volatile int done;
    long *numbers; /* both have them at this address, each their own */
};

static void check(int right, const char *what, int line) {
    if (!right) {
        fprintf(stderr, "plain_mach.c:%d: %s does not hold\n", line, what);
        exit(1);
    }
}
#define CHECK(what) check((what), #what, __LINE__)
#define SUCCEEDS(call) check((call) == KERN_SUCCESS, #call, __LINE__)

static void nap(void) {
    const struct timespec time = {.tv_sec = 0, .tv_nsec = 1000 * 1000};
    nanosleep(&time, NULL);
}

static void *allocate(vm_size_t bytes, vm_inherit_t inheritance) {
    vm_address_t address = 0;
    SUCCEEDS(vm_allocate(mach_task_self(), &address, bytes, TRUE));
    SUCCEEDS(vm_inherit(mach_task_self(), address, bytes, inheritance));
    return (void *)address;
}

static void work(void *argument) {
    struct board *board = argument;
    long sum = 0;
    int node = -1;
    SUCCEEDS(norma_node_self(mach_host_self(), &node));
    board->node = node;
    while (!board->stop) {
        sum = 0;
        for (int i = 0; i < NUMBERS; ++i) {
            sum += board->numbers[i];
        }
        ++board->rounds;
    }
    for (int i = 0; i < NUMBERS; ++i) {
        board->numbers[i] = -1; /* of its own */
    }
    board->sum = sum;
    board->done = 1;
    for (;;) {
        nap(); /* until the task is ended */
    }
}

static unsigned threads_of(task_t task) {
    thread_act_array_t threads;
    mach_msg_type_number_t count = 0;
    SUCCEEDS(task_threads(task, &threads, &count));
    SUCCEEDS(vm_deallocate(mach_task_self(), (vm_address_t)threads, count * sizeof *threads));
    return count;
}

static void check_runs(const struct board *board) {
    const long before = board->rounds;
    for (int i = 0; i < 20000 && board->rounds == before; ++i) {
        nap();
    }
    CHECK(board->rounds != before);
}

static void check_stands(const struct board *board) {
    const long before = board->rounds;
    for (int i = 0; i < 20; ++i) {
        nap();
    }
    CHECK(board->rounds == before);
}

static void check_regions(task_t worker, const struct board *board, const void *secret) {
    vm_region_basic_info_data_t info;
    mach_msg_type_number_t count = VM_REGION_BASIC_INFO_COUNT;
    vm_address_t address = (vm_address_t)board;
    vm_size_t size = 0;
    mach_port_t name = MACH_PORT_NULL;
    SUCCEEDS(vm_region(worker, &address, &size, VM_REGION_BASIC_INFO, (vm_region_info_t)&info, &count, &name));
    CHECK(address == (vm_address_t)board && info.inheritance == VM_INHERIT_SHARE && info.shared);
    address = (vm_address_t)secret;
    const kern_return_t status =
        vm_region(worker, &address, &size, VM_REGION_BASIC_INFO, (vm_region_info_t)&info, &count, &name);
    CHECK(status == KERN_NO_SPACE || address > (vm_address_t)secret); /* it is not there */
}

int main(void) {
    struct board *board = allocate(PAGE, VM_INHERIT_SHARE);
    long *numbers = allocate(NUMBERS * sizeof *numbers, VM_INHERIT_COPY);
    char *secret = allocate(PAGE, VM_INHERIT_NONE);
    long sum = 0;
    for (int i = 0; i < NUMBERS; ++i) {
        sum += numbers[i] = i % 1000;
    }
    strcpy(secret, "mine");
    board->numbers = numbers;

    task_t worker = TASK_NULL;
    SUCCEEDS(norma_task_create(mach_task_self(), TRUE, 1, &worker));
    check_regions(worker, board, secret);
    CHECK(threads_of(worker) == 0);
    norma_thread_entry_data_t start = {.entry = work, .argument = board, .stack_size = 0};
    thread_act_t thread = THREAD_NULL;
    SUCCEEDS(
        thread_create_running(worker, NORMA_THREAD_ENTRY, (thread_state_t)&start, NORMA_THREAD_ENTRY_COUNT, &thread));
    memset(numbers, 0, NUMBERS * sizeof *numbers); /* the worker has a copy of what was there before */
    check_runs(board);
    CHECK(threads_of(worker) == 1);

    SUCCEEDS(task_suspend(worker));
    check_stands(board);
    SUCCEEDS(thread_suspend(thread));
    SUCCEEDS(task_resume(worker));
    CHECK(task_resume(worker) == KERN_FAILURE);
    check_stands(board);
    SUCCEEDS(thread_resume(thread));
    check_runs(board);

    board->stop = 1;
    for (int i = 0; i < 20000 && !board->done; ++i) {
        nap();
    }
    CHECK(board->done && board->node == 1 && board->sum == sum);
    for (int i = 0; i < NUMBERS; ++i) {
        CHECK(numbers[i] == 0);
    }
    CHECK(strcmp(secret, "mine") == 0);

    SUCCEEDS(task_terminate(worker));
    CHECK(task_suspend(worker) == KERN_INVALID_TASK);
    CHECK(thread_resume(thread) == KERN_TERMINATED);
    CHECK(board->sum == sum); /* what was shared is still there */
    SUCCEEDS(vm_deallocate(mach_task_self(), (vm_address_t)numbers, NUMBERS * sizeof *numbers));
    printf("the worker on node %d found %ld\n", board->node, board->sum);
    return 0;
}
