/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What thread_get_state, thread_set_state, task_info and thread_info exchange; part of <norma/mach.h>. Flavors, names
 * and layouts are those of XNU on x86-64.
 */
#ifndef NORMA_MACH_FLAVORS_H
#define NORMA_MACH_FLAVORS_H

#include <stdint.h>

/* Units of a state are 4 bytes. */
#define NORMA_FLAVOR_COUNT(type) ((unsigned int)(sizeof(type) / sizeof(int)))

/* General registers. cs, fs and gs are told, and not set: they belong to the C library and the kernel. Of rflags only
 * what a program may change is set. */
#define x86_THREAD_STATE64 4
typedef struct x86_thread_state64 {
    uint64_t rax, rbx, rcx, rdx, rdi, rsi, rbp, rsp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags, cs, fs, gs;
} x86_thread_state64_t;
#define x86_THREAD_STATE64_COUNT NORMA_FLAVOR_COUNT(x86_thread_state64_t)

/* Floating point and SSE registers, from fpu_fcw on as FXSAVE has them. The upper halves of the AVX registers are
 * neither told nor changed. */
#define x86_FLOAT_STATE64 5
typedef struct x86_float_state64 {
    int32_t fpu_reserved[2];
    uint16_t fpu_fcw, fpu_fsw;
    uint8_t fpu_ftw, fpu_rsrv1;
    uint16_t fpu_fop;
    uint32_t fpu_ip;
    uint16_t fpu_cs, fpu_rsrv2;
    uint32_t fpu_dp;
    uint16_t fpu_ds, fpu_rsrv3;
    uint32_t fpu_mxcsr, fpu_mxcsrmask;
    struct {
        uint8_t mmst_reg[10], mmst_rsrv[6];
    } fpu_stmm[8];
    struct {
        uint8_t xmm_reg[16];
    } fpu_xmm[16];
    uint8_t fpu_rsrv4[96];
    int32_t fpu_reserved1;
} x86_float_state64_t;
#define x86_FLOAT_STATE64_COUNT NORMA_FLAVOR_COUNT(x86_float_state64_t)

typedef struct time_value {
    int seconds, microseconds;
} time_value_t;

#define POLICY_TIMESHARE 1

/* task_info */
#define TASK_BASIC_INFO_64 5
#pragma pack(push, 4)
typedef struct task_basic_info_64 {
    int suspend_count;
    uint64_t virtual_size;  /* bytes of address space in use: of coherent memory what is allocated, not the window */
    uint64_t resident_size; /* bytes in memory here, pages of coherent memory among them */
    time_value_t user_time; /* of all threads that are or were, the library's own excepted */
    time_value_t system_time;
    int policy; /* POLICY_TIMESHARE */
} task_basic_info_64_data_t;
#pragma pack(pop)
typedef task_basic_info_64_data_t *task_basic_info_64_t;
#define TASK_BASIC_INFO_64_COUNT NORMA_FLAVOR_COUNT(task_basic_info_64_data_t)
#define TASK_BASIC_INFO TASK_BASIC_INFO_64
#define TASK_BASIC_INFO_COUNT TASK_BASIC_INFO_64_COUNT
typedef task_basic_info_64_data_t task_basic_info_data_t;
typedef task_basic_info_64_t task_basic_info_t;

#define TASK_SECURITY_TOKEN 13
typedef struct security_token {
    unsigned int val[2]; /* whatever who sets it means by it */
} security_token_t;
#define TASK_SECURITY_TOKEN_COUNT NORMA_FLAVOR_COUNT(security_token_t)

/* thread_info */
#define THREAD_BASIC_INFO 3
#define TH_STATE_RUNNING 1
#define TH_STATE_STOPPED 2
#define TH_STATE_WAITING 3
#define TH_STATE_UNINTERRUPTIBLE 4
#define TH_STATE_HALTED 5
typedef struct thread_basic_info {
    time_value_t user_time, system_time;
    int cpu_usage; /* always 0 */
    int policy;    /* POLICY_TIMESHARE */
    int run_state; /* STOPPED: suspended, itself or its task, or not started */
    int flags;     /* always 0 */
    int suspend_count;
    int sleep_time; /* always 0 */
} thread_basic_info_data_t;
typedef thread_basic_info_data_t *thread_basic_info_t;
#define THREAD_BASIC_INFO_COUNT NORMA_FLAVOR_COUNT(thread_basic_info_data_t)

#endif
