divert(-1)
SPDX-License-Identifier: BSD-3-Clause

The macros of programs that are written for PARMACS, as those of the SPLASH suites are: m4 parmacs.m4 program.C makes
a C program whose threads run on all nodes (docs/parmacs.md). What the macros stand for is in <norma/parmacs.h>.
An argument that a program leaves out, as some do with the count of a barrier, counts as 0.

define(`MAIN_ENV', `#include <norma/parmacs.h>
struct norma_parmacs norma_parmacs;')
define(`EXTERN_ENV', `#include <norma/parmacs.h>
extern struct norma_parmacs norma_parmacs;')
define(`MAIN_INITENV', `norma_parmacs_begin(&norma_parmacs)')
define(`MAIN_END', `exit(0)')

define(`CREATE', `norma_parmacs_create(&norma_parmacs, (void (*)(void))($1), $2+0)')
define(`WAIT_FOR_END', `norma_parmacs_wait(&norma_parmacs)')

define(`G_MALLOC', `malloc($1)')
define(`G_MALLOC_F', `malloc($1)')
define(`NU_MALLOC', `malloc($1)')
define(`G_FREE', `free($1)')
define(`G_MEMSIZE', `')

define(`LOCKDEC', `pthread_mutex_t $1')
define(`LOCKINIT', `pthread_mutex_init(&($1), 0)')
define(`LOCK', `pthread_mutex_lock(&($1))')
define(`UNLOCK', `pthread_mutex_unlock(&($1))')
define(`LOCKFREE', `pthread_mutex_destroy(&($1))')

define(`ALOCKDEC', `pthread_mutex_t $1[$2]')
define(`ALOCKINIT', `norma_parmacs_locks($1, $2)')
define(`ALOCK', `pthread_mutex_lock(&($1)[$2])')
define(`AULOCK', `pthread_mutex_unlock(&($1)[$2])')
define(`AUNLOCK', `AULOCK($1, $2)')
define(`ALOCKFREE', `')

define(`CONDVARDEC', `pthread_cond_t $1')
define(`CONDVARINIT', `pthread_cond_init(&($1), 0)')
define(`CONDVARWAIT', `pthread_cond_wait(&($1), &($2))')
define(`CONDVARSIGNAL', `pthread_cond_signal(&($1))')
define(`CONDVARBCAST', `pthread_cond_broadcast(&($1))')
define(`CONDVARFREE', `pthread_cond_destroy(&($1))')

define(`BARDEC', `struct norma_parmacs_barrier $1')
define(`BARINIT', `norma_parmacs_barrier_begin(&($1), $2+0)')
define(`BARRIER', `norma_parmacs_meet(&($1), $2+0)')
define(`BAREXCLUDE', `')
define(`BARFREE', `norma_parmacs_barrier_end(&($1))')

define(`GSDEC', `struct norma_parmacs_loop $1')
define(`GSINIT', `norma_parmacs_loop_begin(&($1))')
define(`GETSUB', `norma_parmacs_next(&($1), &($2), $3, $4)')

define(`PAUSEDEC', `struct norma_parmacs_flag $1')
define(`PAUSEINIT', `norma_parmacs_flag_begin(&($1))')
define(`SETPAUSE', `norma_parmacs_flag_set(&($1), 1)')
define(`CLEARPAUSE', `norma_parmacs_flag_set(&($1), 0)')
define(`EVENT', `SETPAUSE($1)')
define(`WAITPAUSE', `norma_parmacs_flag_wait(&($1), 1)')
define(`PAUSE', `norma_parmacs_flag_wait(&($1), 0)')

define(`CLOCK', `($1) = norma_parmacs_clock()')

define(`AUG_ON', `')
define(`AUG_OFF', `')
define(`TRACE_ON', `')
define(`TRACE_OFF', `')
define(`REF_TRACE_ON', `')
define(`REF_TRACE_OFF', `')

Words of m4 that programs in C have as names of their own functions.
undefine(`decr')
undefine(`defn')
undefine(`eval')
undefine(`format')
undefine(`incr')
undefine(`index')
undefine(`len')
undefine(`shift')
undefine(`substr')
undefine(`syscmd')
undefine(`sysval')
undefine(`translit')
undefine(`unix')
undefine(`__unix__')
divert(0)dnl
