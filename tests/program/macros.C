/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The macros that apps/lu does not use. What is printed does not depend on chance.
 * Usage: macros THREADS
 */
#include <stdio.h>
#include <stdlib.h>

MAIN_ENV

enum { CELLS = 8, ITEMS = 60 };

static struct {
    ALOCKDEC(cell_locks, CELLS);
    long cells[CELLS];
    GSDEC(items);
    LOCKDEC(lock);
    CONDVARDEC(all_there);
    int there;
    BARDEC(meeting);
    PAUSEDEC(gate);
} shared;

static int threads;

static void slave(void) {
    int item;
    WAITPAUSE(shared.gate);
    for (int round = 0; round < 2; ++round) {
        for (GETSUB(shared.items, item, ITEMS - 1, threads); item >= 0;) {
            ALOCK(shared.cell_locks, item % CELLS);
            shared.cells[item % CELLS] += item;
            AULOCK(shared.cell_locks, item % CELLS);
            GETSUB(shared.items, item, ITEMS - 1, threads);
        }
    }
    LOCK(shared.lock);
    ++shared.there;
    CONDVARBCAST(shared.all_there);
    while (shared.there < threads) {
        CONDVARWAIT(shared.all_there, shared.lock);
    }
    UNLOCK(shared.lock);
    BARRIER(shared.meeting, threads);
}

static int incr(int one, int other) {
    return one + other;
}

int main(int argc, char **argv) {
    unsigned long begin, end;
    long sum = 0;
    threads = argc > 1 ? atoi(argv[1]) : 4;
    MAIN_INITENV();
    CLOCK(begin);
    ALOCKINIT(shared.cell_locks, CELLS);
    GSINIT(shared.items);
    LOCKINIT(shared.lock);
    CONDVARINIT(shared.all_there);
    BARINIT(shared.meeting);
    PAUSEINIT(shared.gate);
    SETPAUSE(shared.gate);
    CREATE(slave, threads);
    WAIT_FOR_END(threads);
    CLEARPAUSE(shared.gate);
    PAUSE(shared.gate);
    BARFREE(shared.meeting);
    CLOCK(end);
    for (int i = 0; i < CELLS; ++i) {
        sum += shared.cells[i];
    }
    printf("sum: %ld, there: %d, clock: %d\n", sum, shared.there - threads, incr(end >= begin, 0));
    MAIN_END;
}
