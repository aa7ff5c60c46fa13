/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mach's exceptions on norma; included by <norma/mach.h>, which a program includes instead. docs/exceptions.md tells
 * how they travel.
 *
 * A thread that does what it may not do raises an exception: its node sends a message to the exception port of the
 * thread, and the thread waits. The reply says whether it goes on. If it does not, or if nobody can reply any more, the
 * task's exception port is asked in the same way, and if that has not helped either, the signal does what it does
 * without exception ports: it ends the task, unless the program had an action of its own for it before.
 */
#ifndef NORMA_MACH_EXCEPTION_H
#define NORMA_MACH_EXCEPTION_H

#include <norma/mach.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int exception_type_t;
typedef unsigned int exception_mask_t;
typedef unsigned int exception_behavior_t;
typedef exception_mask_t *exception_mask_array_t;
typedef mach_port_t *exception_port_array_t;
typedef exception_behavior_t *exception_behavior_array_t;
typedef thread_state_flavor_t *exception_flavor_array_t;

/* Kinds of exceptions, what raises them, and what the two codes in the message are. */
#define EXC_BAD_ACCESS 1      /* SIGSEGV, SIGBUS: a KERN_ value; the address */
#define EXC_BAD_INSTRUCTION 2 /* SIGILL: EXC_I386_INVOP; the address of the instruction */
#define EXC_ARITHMETIC 3      /* SIGFPE: EXC_I386_DIV and others; the address of the instruction */
#define EXC_EMULATION 4       /* never raised */
#define EXC_SOFTWARE 5        /* never raised */
#define EXC_BREAKPOINT 6      /* SIGTRAP: EXC_I386_SGL or EXC_I386_BPT; where the thread goes on */
#define EXC_TYPES_COUNT 7

#define EXC_MASK_BAD_ACCESS (1u << EXC_BAD_ACCESS)
#define EXC_MASK_BAD_INSTRUCTION (1u << EXC_BAD_INSTRUCTION)
#define EXC_MASK_ARITHMETIC (1u << EXC_ARITHMETIC)
#define EXC_MASK_EMULATION (1u << EXC_EMULATION)
#define EXC_MASK_SOFTWARE (1u << EXC_SOFTWARE)
#define EXC_MASK_BREAKPOINT (1u << EXC_BREAKPOINT)
#define EXC_MASK_ALL                                                                                                   \
    (EXC_MASK_BAD_ACCESS | EXC_MASK_BAD_INSTRUCTION | EXC_MASK_ARITHMETIC | EXC_MASK_EMULATION | EXC_MASK_SOFTWARE |   \
     EXC_MASK_BREAKPOINT)

/* The first code of EXC_BAD_ACCESS: KERN_INVALID_ADDRESS (nothing is there), KERN_PROTECTION_FAILURE,
 * KERN_MEMORY_FAILURE (a coherent page is lost with its node), KERN_MEMORY_ERROR (SIGBUS of other memory). */
#define EXC_I386_INVOP 1  /* EXC_BAD_INSTRUCTION */
#define EXC_I386_DIV 1    /* EXC_ARITHMETIC: an integer is divided by 0, or the quotient is too large */
#define EXC_I386_INTO 2   /* an integer overflows */
#define EXC_I386_EXTERR 5 /* floating point */
#define EXC_I386_SGL 1    /* EXC_BREAKPOINT: a single step, or a debug register */
#define EXC_I386_BPT 2    /* int3 */

/* What a message brings. Codes are 64 bits wide with MACH_EXCEPTION_CODES and without it. */
#define EXCEPTION_DEFAULT 1        /* rights to the thread and its task */
#define EXCEPTION_STATE 2          /* the thread's state, as the flavor says, which the reply may change */
#define EXCEPTION_STATE_IDENTITY 3 /* both */
#define MACH_EXCEPTION_CODES 0x80000000u

/* Ids of the messages: 2405 with EXCEPTION_DEFAULT, 2406 with EXCEPTION_STATE, 2407 with EXCEPTION_STATE_IDENTITY. The
 * reply has that of its request and 100 more, and goes to msgh_remote_port with the disposition that
 * MACH_MSGH_BITS_REMOTE(msgh_bits) says. */
#define MACH_EXCEPTION_RAISE_ID 2405
#define MACH_EXCEPTION_RAISE_STATE_ID 2406
#define MACH_EXCEPTION_RAISE_STATE_IDENTITY_ID 2407
#define MACH_EXCEPTION_REPLY_OFFSET 100
#define NORMA_EXCEPTION_STATE_MAX x86_FLOAT_STATE64_COUNT

/* As the Mach interface generator lays them out. Where there is a state, the message ends behind its last word
 * (old_stateCnt or new_stateCnt of them), and a received one's trailer begins there. */
#pragma pack(push, 4)
typedef struct {
    mach_msg_header_t Head;
    mach_msg_body_t msgh_body; /* 2 */
    mach_msg_port_descriptor_t thread;
    mach_msg_port_descriptor_t task;
    NDR_record_t NDR;
    exception_type_t exception;
    mach_msg_type_number_t codeCnt; /* 2 */
    int64_t code[2];
    mach_msg_trailer_t trailer;
} norma_exception_raise_t;
typedef struct {
    mach_msg_header_t Head;
    NDR_record_t NDR;
    exception_type_t exception;
    mach_msg_type_number_t codeCnt;
    int64_t code[2];
    thread_state_flavor_t flavor;
    mach_msg_type_number_t old_stateCnt;
    natural_t old_state[NORMA_EXCEPTION_STATE_MAX];
    mach_msg_trailer_t trailer;
} norma_exception_raise_state_t;
typedef struct {
    mach_msg_header_t Head;
    mach_msg_body_t msgh_body;
    mach_msg_port_descriptor_t thread;
    mach_msg_port_descriptor_t task;
    NDR_record_t NDR;
    exception_type_t exception;
    mach_msg_type_number_t codeCnt;
    int64_t code[2];
    thread_state_flavor_t flavor;
    mach_msg_type_number_t old_stateCnt;
    natural_t old_state[NORMA_EXCEPTION_STATE_MAX];
    mach_msg_trailer_t trailer;
} norma_exception_raise_state_identity_t;

/* KERN_SUCCESS: the thread goes on, with what thread_set_state has made of it meanwhile, or the reply's new state.
 * Anything else, or a reply that makes no sense: the exception has not been handled. */
typedef struct {
    mach_msg_header_t Head;
    NDR_record_t NDR;
    kern_return_t RetCode;
} norma_exception_reply_t;
typedef struct {
    mach_msg_header_t Head;
    NDR_record_t NDR;
    kern_return_t RetCode;
    thread_state_flavor_t flavor;
    mach_msg_type_number_t new_stateCnt; /* 0: it is as it was */
    natural_t new_state[NORMA_EXCEPTION_STATE_MAX];
} norma_exception_reply_state_t;
#pragma pack(pop)

/**
 * Has exceptions of `task` whose bits are in `exception_mask` told to `new_port`, a send right of the caller's
 * (MACH_PORT_NULL: to nobody), as `behavior` says, with states of `new_flavor` (x86_THREAD_STATE64 or
 * x86_FLOAT_STATE64; not looked at for EXCEPTION_DEFAULT). Children inherit a task's exception ports, whichever call
 * makes them and on whatever node. Exceptions of a thread are told to its own port first. A program that sets an action
 * of its own for one of the signals afterwards has that one for itself. KERN_INVALID_TASK, KERN_INVALID_ARGUMENT (mask,
 * behavior, flavor), KERN_INVALID_CAPABILITY (`new_port`). (Mach 3 task_set_exception_ports.)
 */
kern_return_t task_set_exception_ports(task_t task, exception_mask_t exception_mask, mach_port_t new_port,
                                       exception_behavior_t behavior,
                                       thread_state_flavor_t new_flavor) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(task_set_exception_ports);

/** Tells who is told of the exceptions in `exception_mask`: entry i of the arrays is about the exceptions in masks[i],
 * and all that are told alike are in one entry. *masks_count is the room that the arrays have, at least as many entries
 * as there are bits in the mask, then the number of entries. KERN_INVALID_TASK, KERN_INVALID_ARGUMENT (mask, room, null
 * output). */
kern_return_t task_get_exception_ports(task_t task, exception_mask_t exception_mask, exception_mask_array_t masks,
                                       mach_msg_type_number_t *masks_count, exception_port_array_t old_handlers,
                                       exception_behavior_array_t old_behaviors,
                                       exception_flavor_array_t old_flavors) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(task_get_exception_ports);

/** task_set_exception_ports, and tells what was before as task_get_exception_ports does, with nothing in between. */
kern_return_t task_swap_exception_ports(task_t task, exception_mask_t exception_mask, mach_port_t new_port,
                                        exception_behavior_t behavior, thread_state_flavor_t new_flavor,
                                        exception_mask_array_t masks, mach_msg_type_number_t *masks_count,
                                        exception_port_array_t old_handlers, exception_behavior_array_t old_behaviors,
                                        exception_flavor_array_t old_flavors) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(task_swap_exception_ports);

/** As task_set_exception_ports, for one thread; nobody inherits it. KERN_TERMINATED (it has ended),
 * KERN_INVALID_ARGUMENT
 * (`thread`, mask, behavior, flavor), KERN_INVALID_CAPABILITY (`new_port`). */
kern_return_t thread_set_exception_ports(thread_act_t thread, exception_mask_t exception_mask, mach_port_t new_port,
                                         exception_behavior_t behavior,
                                         thread_state_flavor_t new_flavor) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(thread_set_exception_ports);

/** As task_get_exception_ports, for one thread. */
kern_return_t thread_get_exception_ports(thread_act_t thread, exception_mask_t exception_mask,
                                         exception_mask_array_t masks, mach_msg_type_number_t *masks_count,
                                         exception_port_array_t old_handlers, exception_behavior_array_t old_behaviors,
                                         exception_flavor_array_t old_flavors) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(thread_get_exception_ports);

/** As task_swap_exception_ports, for one thread. */
kern_return_t thread_swap_exception_ports(thread_act_t thread, exception_mask_t exception_mask, mach_port_t new_port,
                                          exception_behavior_t behavior, thread_state_flavor_t new_flavor,
                                          exception_mask_array_t masks, mach_msg_type_number_t *masks_count,
                                          exception_port_array_t old_handlers, exception_behavior_array_t old_behaviors,
                                          exception_flavor_array_t old_flavors) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(thread_swap_exception_ports);

#ifdef __cplusplus
}
#endif
#endif
