/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One-sided access: a task reads and writes memory that another task has wired and exported, without any code of that
 * other task's program taking part, and without moving a page.
 *
 * A range is wired to its node (vm_wire), exported (norma_region_export gives a key, which is plain bytes and may be
 * kept in coherent memory), and imported by whoever is to use it (norma_region_import gives a handle, which means
 * something in the importing task only). docs/one-sided.md says what coherent access to a wired range is allowed, and
 * how it works.
 *
 * Sizes and offsets are bytes. Offsets count from the start of the exported range. Local buffers may be any memory of
 * the calling task. All calls are thread-safe; one that waits blocks only its thread.
 *
 * Errors that every access may return: KERN_INVALID_VALUE (no such handle in this task), KERN_INVALID_ADDRESS (the
 * access leaves the exported range, or is an atomic that is not aligned), KERN_PROTECTION_FAILURE (the export does not
 * give that right), KERN_INVALID_CAPABILITY (the export is over: it was freed, unwired or withdrawn), KERN_TERMINATED
 * (the task that exported it has ended, or cannot be reached any more), KERN_OPERATION_TIMED_OUT (no answer within
 * NORMA_CALL_TIMEOUT, or the connection broke and was made again), KERN_RESOURCE_SHORTAGE, KERN_FAILURE (not in a
 * job). What was refused has changed nothing; an access that got KERN_TERMINATED, KERN_OPERATION_TIMED_OUT, or
 * KERN_INVALID_CAPABILITY in its middle may have been done in part.
 */
#ifndef NORMA_REGION_H
#define NORMA_REGION_H

#include <norma/mach.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What gives access to an exported range. Opaque, and not to be guessed: its last 128 bits are random. */
typedef struct norma_key {
    uint64_t words[4];
} norma_key_t;

typedef uint64_t norma_region_t; /* an imported range; 0 is never valid */
typedef uint64_t norma_op_t;     /* an access under way; 0 is never valid */

/** One piece of a vectored access. */
typedef struct norma_piece {
    vm_offset_t offset; /* in the exported range */
    void *buffer;       /* of this task; only read by a put */
    vm_size_t bytes;
} norma_piece_t;

/**
 * Wires [address, address + size), rounded outward to pages: every page comes to the task's node, for writing, is kept
 * in memory there (mlock), and stays until the range is unwired or deallocated, or the task ends. `access` is what
 * one-sided access may be exported later (VM_PROT_READ, VM_PROT_WRITE or both); VM_PROT_NONE unwires what this task has
 * wired there and ends its exports. `host` must be mach_host_self(), and the memory must have been allocated on that
 * node. Wiring again replaces the access and ends the exports. While pages are wired, coherent access from other nodes
 * is refused (docs/one-sided.md). Not inherited by clone or teleport. size 0: KERN_SUCCESS, nothing done.
 * KERN_INVALID_HOST (another host, or memory allocated on another node), KERN_INVALID_ARGUMENT (no such access),
 * KERN_INVALID_ADDRESS (a hole), KERN_PROTECTION_FAILURE (the task itself has not that access), KERN_MEMORY_FAILURE (a
 * page is lost), KERN_RESOURCE_SHORTAGE (no memory, RLIMIT_MEMLOCK, or the task's ledger), KERN_INVALID_TASK. All or
 * nothing. (Mach 3 vm_wire.)
 */
kern_return_t vm_wire(host_t host, vm_task_t task, vm_address_t address, vm_size_t size,
                      vm_prot_t access) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(vm_wire);

/**
 * Exports `size` bytes at `address` of the calling task, all of them wired by it, for `access`, which must not go
 * beyond what they were wired for. Neither needs to be aligned. The first export starts a thread of the library that
 * carries out accesses that come over a network. KERN_INVALID_ARGUMENT (size 0, no such access, null output),
 * KERN_INVALID_ADDRESS (not all of it is wired by this task), KERN_PROTECTION_FAILURE (not wired for this access),
 * KERN_NOT_SUPPORTED (NORMA_TRANSPORT has no one-sided access), KERN_RESOURCE_SHORTAGE.
 */
NORMA_EXPORT kern_return_t norma_region_export(vm_address_t address, vm_size_t size, vm_prot_t access,
                                               norma_key_t *key) NORMA_MACH_NOEXCEPT;

/** Ends an export of the calling task: when this returns no access goes on, and none begins.
 * KERN_INVALID_CAPABILITY: not a live export of this task. */
NORMA_EXPORT kern_return_t norma_region_withdraw(const norma_key_t *key) NORMA_MACH_NOEXCEPT;

/** Makes a handle from a key; asks the exporting task, or its node server if that is on this machine: then accesses
 * are copies (docs/one-sided.md). *size and *access (each may be null) are those of the export.
 * KERN_INVALID_CAPABILITY: no live export has this key. KERN_INVALID_TASK, KERN_TERMINATED or KERN_NODE_DOWN: the task
 * that exported it is gone. KERN_RESOURCE_SHORTAGE, KERN_OPERATION_TIMED_OUT. */
NORMA_EXPORT kern_return_t norma_region_import(const norma_key_t *key, norma_region_t *region, vm_size_t *size,
                                               vm_prot_t *access) NORMA_MACH_NOEXCEPT;

/** Gives a handle up. Accesses under way end as they would have. */
NORMA_EXPORT kern_return_t norma_region_release(norma_region_t region) NORMA_MACH_NOEXCEPT;

/* ---- Accesses that wait --------------------------------------------------------------------------------------- */

/** Copies `bytes` from the region into `buffer`. Returns when they are there. */
NORMA_EXPORT kern_return_t norma_get(norma_region_t region, vm_offset_t offset, void *buffer,
                                     vm_size_t bytes) NORMA_MACH_NOEXCEPT;
/** Copies `bytes` from `buffer` into the region. Returns when every reader of the region sees them. */
NORMA_EXPORT kern_return_t norma_put(norma_region_t region, vm_offset_t offset, const void *buffer,
                                     vm_size_t bytes) NORMA_MACH_NOEXCEPT;
/** Adds to the 64-bit word at `offset`, a multiple of 8 of the owner's addresses; *before (may be null) is what it was.
 * Needs both rights. Atomic with respect to other such accesses and, except over verbs, to atomic operations of the
 * owner's processors. KERN_NOT_SUPPORTED: an RDMA device without atomics. */
NORMA_EXPORT kern_return_t norma_fetch_add(norma_region_t region, vm_offset_t offset, uint64_t add,
                                           uint64_t *before) NORMA_MACH_NOEXCEPT;
/** Puts `desired` into the 64-bit word at `offset` if it is `expected`; *before (may be null) is what it was: the
 * exchange took place if that is `expected`. Otherwise as norma_fetch_add. */
NORMA_EXPORT kern_return_t norma_compare_swap(norma_region_t region, vm_offset_t offset, uint64_t expected,
                                              uint64_t desired, uint64_t *before) NORMA_MACH_NOEXCEPT;
/** All pieces, in no particular order. KERN_INVALID_ARGUMENT: count is 0 or above 4096. */
NORMA_EXPORT kern_return_t norma_getv(norma_region_t region, const norma_piece_t *pieces,
                                      unsigned count) NORMA_MACH_NOEXCEPT;
NORMA_EXPORT kern_return_t norma_putv(norma_region_t region, const norma_piece_t *pieces,
                                      unsigned count) NORMA_MACH_NOEXCEPT;

/* ---- Accesses that go on by themselves ------------------------------------------------------------------------ */

/** As the calls above, but return at once; *op names the access until norma_op_wait or norma_op_test has told its end.
 * Buffers, and *before, must stay until then; the pieces themselves need not. Accesses under way are in no order, also
 * where they overlap. They go on while any thread of the task waits for an access. */
NORMA_EXPORT kern_return_t norma_get_start(norma_region_t region, const norma_piece_t *pieces, unsigned count,
                                           norma_op_t *op) NORMA_MACH_NOEXCEPT;
NORMA_EXPORT kern_return_t norma_put_start(norma_region_t region, const norma_piece_t *pieces, unsigned count,
                                           norma_op_t *op) NORMA_MACH_NOEXCEPT;
NORMA_EXPORT kern_return_t norma_fetch_add_start(norma_region_t region, vm_offset_t offset, uint64_t add,
                                                 uint64_t *before, norma_op_t *op) NORMA_MACH_NOEXCEPT;
NORMA_EXPORT kern_return_t norma_compare_swap_start(norma_region_t region, vm_offset_t offset, uint64_t expected,
                                                    uint64_t desired, uint64_t *before,
                                                    norma_op_t *op) NORMA_MACH_NOEXCEPT;

/** Waits for the end of an access and returns its result; `op` is then no longer valid. After timeout_ms (< 0:
 * NORMA_CALL_TIMEOUT) KERN_OPERATION_TIMED_OUT: the access is given up, and touches its buffers no more.
 * KERN_INVALID_VALUE: no such access. One thread at a time may wait for an access. */
NORMA_EXPORT kern_return_t norma_op_wait(norma_op_t op, int timeout_ms) NORMA_MACH_NOEXCEPT;
/** Whether an access is over. If so (*done is TRUE) returns its result, and `op` is no longer valid. */
NORMA_EXPORT kern_return_t norma_op_test(norma_op_t op, boolean_t *done) NORMA_MACH_NOEXCEPT;

/** Waits until everything that the calling task has started on the region before is over. Returns KERN_SUCCESS then,
 * whatever became of each access; norma_op_wait tells. KERN_OPERATION_TIMED_OUT after NORMA_CALL_TIMEOUT. */
NORMA_EXPORT kern_return_t norma_fence(norma_region_t region) NORMA_MACH_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
