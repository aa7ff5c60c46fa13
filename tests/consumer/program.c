// SPDX-License-Identifier: BSD-3-Clause
// Variables and heap of a whole program, in C.
#include <norma/mach.h>
#include <norma/norma.h>

#include <stdio.h>
#include <stdlib.h>

static int variable;
static int *block;

static void child(void *argument) {
    (void)argument;
    variable = 42;
    *block = 43;
    norma_exit(0);
}

int main(void) {
    task_t task = TASK_NULL;
    thread_t thread = THREAD_NULL;
    block = malloc(sizeof *block);
    if (norma_task_clone(mach_task_self(), TRUE, 1, &task) != KERN_SUCCESS ||
        norma_thread_start(task, child, NULL, 0, &thread) != KERN_SUCCESS ||
        norma_task_wait(task, -1, NULL) != KERN_SUCCESS) {
        return 1;
    }
    printf("the child left %d in a variable, and %d in the heap\n", variable, *block);
    free(block);
    return 0;
}
