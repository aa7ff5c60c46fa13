/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mach's task, thread and virtual memory calls on norma; its ports and messages are in <norma/mach_port.h>, its
 * exceptions in <norma/mach_exception.h>, its ledgers and security tokens in <norma/mach_ledger.h>, sampling in
 * <norma/mach_sample.h>; this header includes them all.
 *
 * Names, argument order and numeric values are Mach's. The library exports every call that has a plain Mach name
 * under the prefix norma_mach_ and this header binds the plain name to it, so Mach code compiles unchanged and
 * nothing clashes at link time. Calls that Mach itself named norma_... keep their names.
 *
 * Every call is thread-safe, may be made from any thread of a task, writes its outputs only on success, and returns
 * one of the KERN_ values below. A call that has to reach another node returns KERN_NODE_DOWN if that node is gone,
 * and KERN_OPERATION_TIMED_OUT past its deadline (NORMA_CALL_TIMEOUT). Outside a job (`norma run` has not started the
 * program, and it has not called norma_attach) every call returns KERN_FAILURE.
 */
#ifndef NORMA_MACH_H
#define NORMA_MACH_H

#include <stddef.h>
#include <stdint.h>

#include <norma/mach_flavors.h>

#ifdef __cplusplus
extern "C" {
#define NORMA_MACH_NOEXCEPT noexcept
#else
#define NORMA_MACH_NOEXCEPT
#endif

#define NORMA_EXPORT __attribute__((visibility("default")))
/* The plain Mach name is bound to the prefixed symbol. */
#define NORMA_MACH_CALL(name) __asm__("norma_mach_" #name) NORMA_EXPORT

typedef int kern_return_t;
typedef int boolean_t;
typedef unsigned int natural_t;
typedef int integer_t;
typedef natural_t mach_port_t; /* a name in the calling task's own name space */
typedef natural_t mach_port_name_t;
typedef natural_t mach_msg_type_number_t;
typedef mach_port_t task_t;
typedef mach_port_t vm_task_t;
typedef mach_port_t thread_t;
typedef mach_port_t thread_act_t;
typedef mach_port_t host_t;
typedef mach_port_t host_priv_t;
typedef mach_port_t ledger_t;
typedef mach_port_t memory_object_t;
typedef ledger_t *ledger_port_array_t;
typedef thread_act_t *thread_act_array_t;
typedef uintptr_t vm_address_t;
typedef uintptr_t vm_offset_t;
typedef uintptr_t vm_size_t;
typedef int vm_prot_t;
typedef unsigned int vm_inherit_t;
typedef int vm_behavior_t;
typedef unsigned vm_sync_t; /* VM_SYNC_... */

#ifndef TRUE
#define TRUE 1
#define FALSE 0
#endif

#define MACH_PORT_NULL ((mach_port_t)0)
#define TASK_NULL ((task_t)0)
#define THREAD_NULL ((thread_t)0)

/* Return values. */
#define KERN_SUCCESS 0
#define KERN_INVALID_ADDRESS 1
#define KERN_PROTECTION_FAILURE 2
#define KERN_NO_SPACE 3
#define KERN_INVALID_ARGUMENT 4
#define KERN_FAILURE 5
#define KERN_RESOURCE_SHORTAGE 6
#define KERN_MEMORY_FAILURE 9 /* the data is gone for good */
#define KERN_MEMORY_ERROR 10  /* the data may be back later */
#define KERN_NAME_EXISTS 13
#define KERN_ABORTED 14
#define KERN_INVALID_NAME 15
#define KERN_INVALID_TASK 16
#define KERN_INVALID_RIGHT 17
#define KERN_INVALID_VALUE 18
#define KERN_UREFS_OVERFLOW 19
#define KERN_INVALID_CAPABILITY 20
#define KERN_RIGHT_EXISTS 21
#define KERN_INVALID_HOST 22
#define KERN_EXCEPTION_PROTECTED 32
#define KERN_INVALID_LEDGER 33
#define KERN_INVALID_SECURITY 35
#define KERN_TERMINATED 37
#define KERN_NOT_SUPPORTED 46
#define KERN_NODE_DOWN 47
#define KERN_OPERATION_TIMED_OUT 49

/* Protection and inheritance. */
#define VM_PROT_NONE 0
#define VM_PROT_READ 1
#define VM_PROT_WRITE 2
#define VM_PROT_EXECUTE 4
#define VM_PROT_DEFAULT (VM_PROT_READ | VM_PROT_WRITE)
#define VM_PROT_ALL (VM_PROT_READ | VM_PROT_WRITE | VM_PROT_EXECUTE)

#define VM_INHERIT_SHARE 0u
#define VM_INHERIT_COPY 1u
#define VM_INHERIT_NONE 2u
#define VM_INHERIT_DEFAULT VM_INHERIT_COPY

#define VM_SYNC_ASYNCHRONOUS 0x01u
#define VM_SYNC_SYNCHRONOUS 0x02u
#define VM_SYNC_INVALIDATE 0x04u
#define VM_SYNC_CONTIGUOUS 0x20u

#define VM_BEHAVIOR_DEFAULT 0
#define VM_BEHAVIOR_RANDOM 1
#define VM_BEHAVIOR_SEQUENTIAL 2
#define VM_BEHAVIOR_RSEQNTL 3
#define VM_BEHAVIOR_WILLNEED 4
#define VM_BEHAVIOR_DONTNEED 5

/* vm_region. */
typedef int vm_region_flavor_t;
typedef int *vm_region_info_t;
#define VM_REGION_BASIC_INFO 10
typedef struct vm_region_basic_info {
    vm_prot_t protection;
    vm_prot_t max_protection;
    vm_inherit_t inheritance;
    boolean_t shared;   /* another task, here or on another node, maps the same memory */
    boolean_t reserved; /* always 0 */
    vm_offset_t offset; /* bytes into the memory object */
    vm_behavior_t behavior;
    unsigned short user_wired_count;
} vm_region_basic_info_data_t;
typedef vm_region_basic_info_data_t *vm_region_basic_info_t;
#define VM_REGION_BASIC_INFO_COUNT ((mach_msg_type_number_t)(sizeof(vm_region_basic_info_data_t) / sizeof(int)))

/* Thread state: registers as in mach_flavors.h. NORMA_THREAD_ENTRY is norma's own flavor: where a new thread starts. */
typedef int thread_state_flavor_t;
typedef natural_t *thread_state_t;
typedef natural_t thread_flavor_t;
typedef integer_t *thread_info_t;
typedef natural_t task_flavor_t;
typedef integer_t *task_info_t;
#define NORMA_THREAD_ENTRY 0x4e01
typedef struct norma_thread_entry {
    void (*entry)(void *); /* an address in the program, which is the same in every task of the job */
    void *argument;        /* passed to entry; should point to coherent memory, or be a plain value */
    vm_size_t stack_size;  /* bytes of coherent memory for the stack; 0: NORMA_STACK_SIZE */
} norma_thread_entry_data_t;
#define NORMA_THREAD_ENTRY_COUNT NORMA_FLAVOR_COUNT(norma_thread_entry_data_t)

/** The name of the calling task's own port. Never fails inside a job; MACH_PORT_NULL outside one. */
NORMA_EXPORT task_t norma_mach_task_self(void) NORMA_MACH_NOEXCEPT;
task_t mach_task_self(void) NORMA_MACH_NOEXCEPT __asm__("norma_mach_task_self");

/** The name of the calling thread's own port. */
thread_t mach_thread_self(void) NORMA_MACH_NOEXCEPT __asm__("norma_mach_thread_self") NORMA_EXPORT;

/** The port of the node the caller runs on. */
host_t mach_host_self(void) NORMA_MACH_NOEXCEPT __asm__("norma_mach_host_self") NORMA_EXPORT;

/** Bytes of a page, the unit of coherence: 4096. KERN_INVALID_HOST if `host` is no host port. */
kern_return_t host_page_size(host_t host, vm_size_t *page_size) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(host_page_size);

/* ---- Tasks on nodes ------------------------------------------------------------------------------------------- */

/**
 * Creates a task on the parent's node, or where task_set_child_node says. Of the parent's memory it gets what the
 * inheritance attributes say (vm_inherit): of a SHARE region the same memory, of a COPY region a copy, of a NONE region
 * nothing. All copies are of one moment during the call, also of memory that tasks on other nodes are writing; no page
 * is copied before somebody writes it in the original, or touches it in the copy. Protection, maximum, inheritance and
 * behaviour of a region are the child's too; wiring is not. A copy counts in full for NORMA_MEMORY, on the node where
 * the memory was allocated, until nobody maps it. Pages that are wired while the call is made are copied one by one
 * shortly after that moment, as one-sided writes to them do not stop. The child has no threads and a suspend count of
 * 0. `inherit_memory` false gives an empty address space. `ledgers` are those the child draws from: for what it wires,
 * for its memory, for the network (<norma/mach_ledger.h>). Those that are missing (`ledger_count` below 3, or a null
 * array) or null are the parent's; each must live on the parent's node. All or nothing. Source: task_create(seed).
 * Errors: KERN_INVALID_TASK (parent), KERN_INVALID_LEDGER (not a ledger for that resource on the parent's node),
 * KERN_INVALID_ARGUMENT (null output, `ledger_count` over 3 or below 0), KERN_RESOURCE_SHORTAGE (the process could not
 * be made; NORMA_MEMORY; a ledger), KERN_NODE_DOWN (memory to be copied was allocated on a node that is gone),
 * KERN_OPERATION_TIMED_OUT, KERN_NOT_SUPPORTED (the parent has attached itself: norma_attach).
 */
kern_return_t task_create(task_t parent_task, ledger_port_array_t ledgers, int ledger_count, boolean_t inherit_memory,
                          task_t *child_task) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(task_create);

/** As task_create, on `child_node`. Source: norma_task_create(seed). Errors as task_create, and KERN_INVALID_ARGUMENT
 * (node out of range), KERN_NODE_DOWN. */
NORMA_EXPORT kern_return_t norma_task_create(task_t parent_task, boolean_t inherit_memory, int child_node,
                                             task_t *child_task) NORMA_MACH_NOEXCEPT;

/**
 * Creates a task on `child_node` that shares all of the parent's memory, whatever the inheritance attributes; the
 * attributes themselves are copied. No page moves: the cost does not depend on the amount of memory. The child has
 * no threads and a suspend count of 0. `inherit_memory` false gives an empty address space. All or nothing.
 * Source: norma_task_clone(seed). Errors: KERN_INVALID_TASK (parent), KERN_INVALID_ARGUMENT (node out of range, null
 * output), KERN_NODE_DOWN, KERN_RESOURCE_SHORTAGE (the process could not be made), KERN_NOT_SUPPORTED (the parent has
 * attached itself: norma_attach).
 */
NORMA_EXPORT kern_return_t norma_task_clone(task_t parent_task, boolean_t inherit_memory, int child_node,
                                            task_t *child_task) NORMA_MACH_NOEXCEPT;

/**
 * As norma_task_clone, and the parent is then terminated. Its pages stay on its node and are served on demand; every
 * sharing relation with third tasks holds. To the node the parent is on: does nothing and returns the parent. If it
 * fails the parent is unchanged and running.
 * Of the calling task itself: on success the caller goes on in the child (its thread, on its coherent stack; the
 * task's other threads end) and *child_task is mach_task_self() there. Static data and the malloc heap are the new
 * process's own: they are as after program start. Needs a thread whose stack is coherent memory (the main thread and
 * those of thread_create are), else KERN_NOT_SUPPORTED.
 * Source: norma_task_teleport(seed). Errors as norma_task_clone.
 */
NORMA_EXPORT kern_return_t norma_task_teleport(task_t parent_task, boolean_t inherit_memory, int child_node,
                                               task_t *child_task) NORMA_MACH_NOEXCEPT;

/** The index of the node that `host` is; nodes are 0 .. norma_node_count() - 1. */
NORMA_EXPORT kern_return_t norma_node_self(host_t host, int *node) NORMA_MACH_NOEXCEPT;

/** The node where the object behind `port` (a task, thread or host) lives at this moment. A hint: it may move. */
NORMA_EXPORT kern_return_t norma_port_location_hint(task_t task, mach_port_t port, int *node) NORMA_MACH_NOEXCEPT;

/** Ends a task: its threads end, its rights go, memory it shares with others survives. Terminating a task that has
 * ended already: KERN_INVALID_TASK. */
kern_return_t task_terminate(task_t task) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(task_terminate);

/** Suspends: counted; returns once every thread of the task has stopped (the caller itself excepted).
 * KERN_NOT_SUPPORTED: it has attached itself (norma_attach), and may have threads that cannot be stopped. */
kern_return_t task_suspend(task_t task) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(task_suspend);

/** Undoes one task_suspend. KERN_FAILURE if the count is 0. */
kern_return_t task_resume(task_t task) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(task_resume);

/** Lists the threads of a task, the library's own service thread excepted. *threads is allocated with vm_allocate;
 * the caller frees it with vm_deallocate(mach_task_self(), *threads, *count * sizeof(thread_t)). */
kern_return_t task_threads(task_t task, thread_act_array_t *threads, mach_msg_type_number_t *count) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(task_threads);

/** Sets where later task_create calls with this task as the parent put the child; -1: on the parent's own node, as at
 * first. Neither inherited by children nor kept by a teleport. KERN_INVALID_ARGUMENT: no such node, nothing changed.
 * KERN_INVALID_TASK. That the node is down is found when a child is made. Thread-safe. (OSF/1 task_set_child_node.) */
kern_return_t task_set_child_node(task_t task, int child_node) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(task_set_child_node);

/** What a task uses, on whatever node. The flavor is TASK_BASIC_INFO or TASK_SECURITY_TOKEN. *count is how much room
 * `info` has, and then how much is told. KERN_INVALID_ARGUMENT: no such flavor, a null pointer or too little room.
 * KERN_INVALID_TASK. Thread-safe. (Mach 3 task_info.) */
kern_return_t task_info(task_t task, task_flavor_t flavor, task_info_t info,
                        mach_msg_type_number_t *count) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(task_info);

/* ---- Threads -------------------------------------------------------------------------------------------------- */

/** Makes a thread with suspend count 1 that has nowhere to start yet: set that with thread_set_state, start it with
 * thread_resume. */
kern_return_t thread_create(task_t task, thread_act_t *child) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(thread_create);

/** Makes a thread and starts it: thread_create, thread_set_state and thread_resume in one. Errors as theirs; then there
 * is no thread. */
kern_return_t thread_create_running(task_t task, thread_state_flavor_t flavor, thread_state_t state,
                                    mach_msg_type_number_t count, thread_act_t *child) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(thread_create_running);

/** The registers of a thread, of any task. *count is how much room `state` has, and then how much is told; flavors are
 * NORMA_THREAD_ENTRY, x86_THREAD_STATE64 and x86_FLOAT_STATE64. A thread that is not suspended is stopped for the
 * moment, so it has gone on since. Inside a system call rip is behind the call and rax is -EINTR, or both are as before
 * a call that will be made again. A thread that has not started yet has what was set, else zeros, and no
 * x86_FLOAT_STATE64. KERN_INVALID_ARGUMENT: the calling thread, no such flavor, a null pointer or too little room.
 * KERN_NOT_SUPPORTED: NORMA_THREAD_ENTRY of a thread that has started. KERN_TERMINATED: it has ended. Thread-safe.
 * (Mach 3 thread_get_state.) */
kern_return_t thread_get_state(thread_act_t thread, thread_state_flavor_t flavor, thread_state_t state,
                               mach_msg_type_number_t *count) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(thread_get_state);

/** Sets the registers of a thread, of any task; it goes on with them. If it is not suspended it is stopped for the
 * moment. A thread that has not started yet starts where NORMA_THREAD_ENTRY or x86_THREAD_STATE64 says, whichever was
 * set last; registers that start a thread must hold a stack of its own, and the function there must not return. A
 * thread that is taken out of a norma call in which it waits still waits as far as others see: use thread_abort first.
 * KERN_INVALID_ARGUMENT: the calling thread, no such flavor, not its count, a null pointer, an entry or rip that cannot
 * be an address of code, reserved bits in mxcsr, or x86_FLOAT_STATE64 before the start. KERN_NOT_SUPPORTED:
 * NORMA_THREAD_ENTRY of a thread that has started. KERN_TERMINATED: it has ended. Thread-safe. (Mach 3
 * thread_set_state.) */
kern_return_t thread_set_state(thread_act_t thread, thread_state_flavor_t flavor, thread_state_t state,
                               mach_msg_type_number_t count) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(thread_set_state);

/** Suspends a thread: counted; returns once it has stopped. A thread runs while its count and its task's are 0. */
kern_return_t thread_suspend(thread_act_t thread) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(thread_suspend);

/** Undoes one thread_suspend. KERN_FAILURE if the count is 0. */
kern_return_t thread_resume(thread_act_t thread) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(thread_resume);

/** What a thread, of any task, uses and does; of the calling thread too. The flavor is THREAD_BASIC_INFO. *count as in
 * task_info. KERN_INVALID_ARGUMENT: no such flavor, a null pointer or too little room. KERN_TERMINATED: it has ended.
 * Thread-safe. (Mach 3 thread_info.) */
kern_return_t thread_info(thread_act_t thread, thread_flavor_t flavor, thread_info_t info,
                          mach_msg_type_number_t *count) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(thread_info);

/** Breaks a thread, of any task, out of what it waits for. A call of norma that waits for others (barrier, mutex,
 * condition, semaphore, word, the end of a task or thread) returns KERN_ABORTED and has taken nothing; shorter ones go
 * on. A system call that waits for something outside the task (read, write and their kin, accept, connect, open, flock,
 * wait, futex, poll, sleep) fails with EINTR, which library functions that hide EINTR hide here too. A thread that does
 * not wait goes on, and its next wait is not affected. A suspended thread stays suspended, and is out of its wait when
 * this returns: so suspend, abort, and then set its state. KERN_INVALID_ARGUMENT: the calling thread. KERN_TERMINATED:
 * it has ended. Thread-safe. (Mach 3 thread_abort.) */
kern_return_t thread_abort(thread_act_t thread) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(thread_abort);

/** Ends a thread. KERN_TERMINATED if it has ended already. Of the calling thread: does not return. */
kern_return_t thread_terminate(thread_act_t thread) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(thread_terminate);

/* ---- Virtual memory ------------------------------------------------------------------------------------------- */

/** Allocates `size` bytes, rounded up to pages, zero-filled, read-write, inheritance COPY. anywhere: the node picks
 * an address that is unique in the job; else at *address, which must be page-aligned and inside the coherent window.
 * size 0: KERN_SUCCESS, *address unchanged. KERN_INVALID_ADDRESS (outside the window), KERN_INVALID_ARGUMENT
 * (unaligned), KERN_NO_SPACE (overlap, or window full), KERN_RESOURCE_SHORTAGE (NORMA_MEMORY; the task's ledger). */
kern_return_t vm_allocate(vm_task_t task, vm_address_t *address, vm_size_t size, boolean_t anywhere) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(vm_allocate);

/** Removes every page of [address, address + size), rounded outward to pages. Deallocating twice is fine.
 * KERN_INVALID_ADDRESS if the range wraps or leaves the window. */
kern_return_t vm_deallocate(vm_task_t task, vm_address_t address, vm_size_t size) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(vm_deallocate);

/** Sets the current (or the maximum) protection. The whole range is checked first: all or nothing. The maximum never
 * rises and clips the current. KERN_INVALID_ADDRESS (a hole), KERN_PROTECTION_FAILURE (beyond the maximum). */
kern_return_t vm_protect(vm_task_t task, vm_address_t address, vm_size_t size, boolean_t set_maximum,
                         vm_prot_t protection) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(vm_protect);

/** Sets the inheritance of [address, address + size), rounded outward to pages. Children that already live are not
 * changed. KERN_INVALID_ADDRESS (a hole, nothing changed), KERN_INVALID_ARGUMENT (no such attribute). */
kern_return_t vm_inherit(vm_task_t task, vm_address_t address, vm_size_t size,
                         vm_inherit_t inheritance) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(vm_inherit);

/** Says how [address, address + size), rounded outward to pages, will be used from this task. DEFAULT: streams are
 * found by their faults. SEQUENTIAL: every fault fetches ahead as far as a stream does. RANDOM, RSEQNTL: a fault
 * fetches one page. These last until changed. WILLNEED: copies begin to come here, of as many pages as a stream has
 * under way. DONTNEED: copies leave this node, and so does the only one, to the node where the memory was allocated; no
 * content is lost, and threads may go on using it. Hints: nothing is promised. KERN_INVALID_ADDRESS (a hole, nothing
 * changed), KERN_INVALID_ARGUMENT (no such behavior), KERN_INVALID_TASK. Thread-safe. (Mach 3 vm_behavior_set.) */
kern_return_t vm_behavior_set(vm_task_t task, vm_address_t address, vm_size_t size,
                              vm_behavior_t behavior) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(vm_behavior_set);

/** Writes what has changed of the memory of files (norma_object_open_file) in [address, address + size), rounded
 * outward to pages, into these files, from whichever nodes have it: what any task wrote before the call is in the file
 * when it returns, for whoever reads it. VM_SYNC_SYNCHRONOUS: and has reached the disk, as fdatasync(2) has it;
 * VM_SYNC_ASYNCHRONOUS, or neither: need not have. VM_SYNC_INVALIDATE changes nothing, as no node keeps what is out of
 * date. Other memory, copies of a file's memory too, has no file: nothing is to be done for it, nor for holes, unless
 * VM_SYNC_CONTIGUOUS says that there must be none. size 0: KERN_SUCCESS. KERN_MEMORY_FAILURE (pages were lost with
 * their node; the others have been written), KERN_MEMORY_ERROR (the file, or the disk, would not take some, which are
 * still there), KERN_NODE_DOWN (of the file; files of other nodes have been written), KERN_INVALID_ADDRESS (outside the
 * window, or a hole where there must be none), KERN_INVALID_ARGUMENT (no such flags, or both SYNCHRONOUS and
 * ASYNCHRONOUS), KERN_INVALID_TASK, KERN_RESOURCE_SHORTAGE. Thread-safe. (Mach 3 vm_msync.) */
kern_return_t vm_msync(vm_task_t task, vm_address_t address, vm_size_t size, vm_sync_t flags) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(vm_msync);

/** Maps `size` bytes, rounded up to pages, of a memory object (norma_object_open, norma_object_open_file) from `offset`
 * on, which must be aligned; all tasks that map it share it. `copy` TRUE: a lazy copy, as task_create makes them: what
 * is written in the object later is not seen in it, nor the other way round. MACH_PORT_NULL: of new memory,
 * zero-filled, as vm_allocate makes it (`offset` and `copy` then mean nothing). None of the bits of `mask` is set in
 * the resulting address: alignment - 1 aligns. Otherwise *address and `anywhere` are as in vm_allocate; a *address that
 * has bits of `mask` is KERN_NO_SPACE. KERN_INVALID_ARGUMENT (size 0, no such protection or inheritance, no memory
 * object's port, behind the object's end), KERN_PROTECTION_FAILURE (`protection` beyond `max_protection`, or writing in
 * a file that is open for reading, whose maximum has no writing either), KERN_MEMORY_FAILURE (the object is gone),
 * KERN_NODE_DOWN; the rest as vm_allocate. Thread-safe. (Mach 3 vm_map.) */
kern_return_t vm_map(vm_task_t task, vm_address_t *address, vm_size_t size, vm_address_t mask, boolean_t anywhere,
                     memory_object_t object, vm_offset_t offset, boolean_t copy, vm_prot_t protection,
                     vm_prot_t max_protection, vm_inherit_t inheritance) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(vm_map);

/** Gives `task` the memory that `source` has at [source_address, source_address + size), rounded outward to pages, at
 * another address: the same memory from then on, whichever nodes the two are on and whichever of them lives longer; or,
 * with `copy` TRUE, a lazy copy of it, all of one moment, which counts towards NORMA_MEMORY where the memory has its
 * home. *address is where the first of these pages is; with `mask` and `anywhere` as in vm_map. Each page keeps the
 * protection and the maximum it has in `source`; *protection and *max_protection are what all of them allow.
 * `inheritance` is that of the new range. KERN_INVALID_ARGUMENT (size 0, no such
 * inheritance, null output, an unaligned *address), KERN_INVALID_ADDRESS (a hole in the source, or *address is outside
 * the window), KERN_NO_SPACE (overlap, or window full), KERN_INVALID_TASK (either), KERN_NODE_DOWN,
 * KERN_RESOURCE_SHORTAGE. All or nothing. Thread-safe. (Mach 3 vm_remap.) */
kern_return_t vm_remap(vm_task_t task, vm_address_t *address, vm_size_t size, vm_address_t mask, boolean_t anywhere,
                       vm_task_t source, vm_address_t source_address, boolean_t copy, vm_prot_t *protection,
                       vm_prot_t *max_protection, vm_inherit_t inheritance) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(vm_remap);

/** Copy memory from a task, to a task and within a task. vm_read copies [address, address + size) into new memory of
 * the caller, as vm_allocate makes it, which the caller frees with vm_deallocate(mach_task_self(), *data, *count);
 * *count is size, and *data is 0 if that is 0. vm_write copies `count` bytes at `data`, any memory of the caller, to
 * `address`. Sizes are in bytes; neither they nor addresses need be aligned, and what is read and written may overlap.
 * The task may be on any node. Its threads go on meanwhile: they see each page change by itself. What is copied is
 * looked at first: if there is a hole, or a page whose protection closes it to the access, nothing has been copied.
 * size or count 0: KERN_SUCCESS. KERN_INVALID_TASK, KERN_INVALID_ADDRESS (a hole), KERN_PROTECTION_FAILURE,
 * KERN_INVALID_ARGUMENT (null output, or size does not fit *count), KERN_MEMORY_FAILURE (a page was lost with its node,
 * or is wired elsewhere; some may have been copied), KERN_NO_SPACE (the caller's window is full),
 * KERN_RESOURCE_SHORTAGE, KERN_NODE_DOWN. Thread-safe. (Mach 3 vm_read, vm_write, vm_copy.) */
kern_return_t vm_read(vm_task_t task, vm_address_t address, vm_size_t size, vm_offset_t *data,
                      mach_msg_type_number_t *count) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(vm_read);
kern_return_t vm_write(vm_task_t task, vm_address_t address, vm_offset_t data,
                       mach_msg_type_number_t count) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(vm_write);
kern_return_t vm_copy(vm_task_t task, vm_address_t source, vm_size_t count,
                      vm_address_t destination) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(vm_copy);

/** Describes the region at *address, or the first one after it. Flavor VM_REGION_BASIC_INFO. *object_name
 * (which may be null) is a port that stands for the memory object, the same for all regions of one; it cannot be
 * mapped. `shared`: another task, on whatever node, maps some of what was allocated or copied together with this, so
 * that each may see what the other writes; a lazy copy is other memory, also as long as nobody has written. It takes a
 * question to the node where the memory was allocated, unless a task on the same node shares it. A task that has just
 * ended or unmapped the memory on a third node may still count for a moment, and so does one in a call that copies it
 * (vm_read, vm_write, vm_copy); if the node where the memory was allocated is gone, `shared` is TRUE. KERN_NO_SPACE if
 * there is no region at or after *address (Mach's value for it). */
kern_return_t vm_region(vm_task_t task, vm_address_t *address, vm_size_t *size, vm_region_flavor_t flavor,
                        vm_region_info_t info, mach_msg_type_number_t *count,
                        mach_port_t *object_name) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(vm_region);

#ifdef __cplusplus
}
#endif

#include <norma/mach_ledger.h>
#include <norma/mach_port.h>

#endif
