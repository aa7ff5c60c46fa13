// SPDX-License-Identifier: BSD-3-Clause
// The example of the historic manual page, with the parentheses where they belong, a stack that is large enough, and a
// parent that waits.
#include <norma/clone.h>

#include <stdio.h>
#include <stdlib.h>

#define STACKSIZE (64 * 1024)

static int Child(void *arg) {
    (void)arg;
    exit(0);
}

int main(void) {
    int cchild;
    int status = -1;
    char *stack = malloc(STACKSIZE);
    if ((cchild = norma_clone(&Child, stack + STACKSIZE - 1, SIGCHLD, 0)) == -1) {
        perror("norma_clone");
        return 1;
    }
    if (norma_waitpid(cchild, &status, 0) != cchild || status != 0) {
        perror("norma_waitpid");
        return 1;
    }
    puts("the child has ended");
    return 0;
}
