/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LU factorisation of a dense matrix in blocks, without pivoting, as programs of the SPLASH kind are written. Each block
 * lies in one piece, and belongs to one thread, which alone writes to it. The blocks' operations come in the same order
 * whoever does them, so what is printed does not depend on the number of threads.
 * Usage: lu [-n ROWS] [-b ROWS_OF_A_BLOCK] [-p THREADS] [-t]     -t: says how long it took
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

MAIN_ENV

struct global {
    BARDEC(step);
    LOCKDEC(number_lock)
;   int next_number;
    double largest_error;
};

static struct global *global;
static int n = 256, size = 32, threads = 4;
static int blocks;     /* of a row */
static double **block; /* by row * blocks + column */

/* Threads are laid over the blocks as a grid that is as square as can be. */
static int owner(int row, int column) {
    int rows = (int)sqrt((double)threads);
    while (threads % rows != 0) {
        --rows;
    }
    return row % rows * (threads / rows) + column % (threads / rows);
}

static double entry(int row, int column) {
    const unsigned mixed = ((unsigned)row * 2654435761u) ^ ((unsigned)column * 40503u + 12345u);
    return (double)(mixed % 1000) / 1000.0 + (row == column ? 10.0 * n : 0.0);
}

static void fill(int row, int column) {
    double *here = block[row * blocks + column];
    for (int i = 0; i < size; ++i) {
        for (int j = 0; j < size; ++j) {
            here[i * size + j] = entry(row * size + i, column * size + j);
        }
    }
}

/* diagonal = L * U */
static void factor(double *diagonal) {
    for (int k = 0; k < size; ++k) {
        for (int i = k + 1; i < size; ++i) {
            diagonal[i * size + k] /= diagonal[k * size + k];
            for (int j = k + 1; j < size; ++j) {
                diagonal[i * size + j] -= diagonal[i * size + k] * diagonal[k * size + j];
            }
        }
    }
}

/* here = here * U^-1 */
static void divide_by_upper(double *here, const double *diagonal) {
    for (int i = 0; i < size; ++i) {
        for (int k = 0; k < size; ++k) {
            here[i * size + k] /= diagonal[k * size + k];
            for (int j = k + 1; j < size; ++j) {
                here[i * size + j] -= here[i * size + k] * diagonal[k * size + j];
            }
        }
    }
}

/* here = L^-1 * here */
static void divide_by_lower(double *here, const double *diagonal) {
    for (int k = 0; k < size; ++k) {
        for (int i = k + 1; i < size; ++i) {
            for (int j = 0; j < size; ++j) {
                here[i * size + j] -= diagonal[i * size + k] * here[k * size + j];
            }
        }
    }
}

static void subtract_product(double *here, const double *left, const double *above) {
    for (int i = 0; i < size; ++i) {
        for (int k = 0; k < size; ++k) {
            for (int j = 0; j < size; ++j) {
                here[i * size + j] -= left[i * size + k] * above[k * size + j];
            }
        }
    }
}

static void slave(void) {
    int me;
    LOCK(global->number_lock);
    me = global->next_number++;
    UNLOCK(global->number_lock);
    for (int row = 0; row < blocks; ++row) {
        for (int column = 0; column < blocks; ++column) {
            if (owner(row, column) == me) {
                fill(row, column);
            }
        }
    }
    BARRIER(global->step, threads);
    for (int k = 0; k < blocks; ++k) {
        double *diagonal = block[k * blocks + k];
        if (owner(k, k) == me) {
            factor(diagonal);
        }
        BARRIER(global->step, threads);
        for (int i = k + 1; i < blocks; ++i) {
            if (owner(i, k) == me) {
                divide_by_upper(block[i * blocks + k], diagonal);
            }
            if (owner(k, i) == me) {
                divide_by_lower(block[k * blocks + i], diagonal);
            }
        }
        BARRIER(global->step, threads);
        for (int i = k + 1; i < blocks; ++i) {
            for (int j = k + 1; j < blocks; ++j) {
                if (owner(i, j) == me) {
                    subtract_product(block[i * blocks + j], block[i * blocks + k], block[k * blocks + j]);
                }
            }
        }
    }
    BARRIER(global->step, threads);
}

static double factored(int row, int column) {
    return block[row / size * blocks + column / size][row % size * size + column % size];
}

/* The largest difference between L * U and the matrix, in some rows. */
static double error_of(int every) {
    double largest = 0;
    for (int row = 0; row < n; row += every) {
        for (int column = 0; column < n; ++column) {
            double sum = row <= column ? factored(row, column) : 0;
            for (int k = 0; k <= column && k < row; ++k) {
                sum += factored(row, k) * factored(k, column);
            }
            const double error = fabs(sum - entry(row, column));
            largest = error > largest ? error : largest;
        }
    }
    return largest;
}

static uint64_t hash(void) {
    uint64_t state = 0xcbf29ce484222325u;
    for (int i = 0; i < blocks * blocks; ++i) {
        const unsigned char *bytes = (const unsigned char *)block[i];
        for (size_t at = 0; at < sizeof(double) * size * size; ++at) {
            state = (state ^ bytes[at]) * 0x100000001b3u;
        }
    }
    return state;
}

int main(int argc, char **argv) {
    unsigned long begin, end;
    int option, timed = 0;
    while ((option = getopt(argc, argv, "n:b:p:t")) != -1) {
        switch (option) {
        case 'n': n = atoi(optarg); break;
        case 'b': size = atoi(optarg); break;
        case 'p': threads = atoi(optarg); break;
        case 't': timed = 1; break;
        default: return 2;
        }
    }
    if (size < 1 || n < size || n % size != 0 || threads < 1) {
        fprintf(stderr, "lu: -n must be a multiple of -b, and -p at least 1\n");
        return 2;
    }
    MAIN_INITENV(,80000000);
    blocks = n / size;
    global = G_MALLOC(sizeof *global);
    global->next_number = 0;
    LOCKINIT(global->number_lock);
    BARINIT(global->step, threads);
    block = G_MALLOC(sizeof *block * blocks * blocks);
    for (int i = 0; i < blocks * blocks; ++i) {
        block[i] = G_MALLOC(sizeof(double) * size * size);
    }
    CLOCK(begin);
    for (int i = 1; i < threads; ++i) {
        CREATE(slave);
    }
    slave();
    WAIT_FOR_END(threads - 1);
    CLOCK(end);
    printf("hash: %016llx\n", (unsigned long long)hash());
    printf("correct: %s\n", error_of(n / 16 + 1) < 1e-9 * n ? "yes" : "no");
    if (timed) {
        printf("time: %lu us\n", end - begin);
    }
    MAIN_END;
}
