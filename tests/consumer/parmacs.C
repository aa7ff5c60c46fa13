/* SPDX-License-Identifier: BSD-3-Clause
 * A program with PARMACS macros, which norma_add_parmacs_executable translates. */
#include <stdio.h>
#include <stdlib.h>

MAIN_ENV

static LOCKDEC(lock);
static int count;

static void add(void) {
    LOCK(lock);
    ++count;
    UNLOCK(lock);
}

int main(void) {
    MAIN_INITENV();
    LOCKINIT(lock);
    CREATE(add, 6);
    WAIT_FOR_END(6);
    printf("%d threads\n", count);
    MAIN_END;
}
