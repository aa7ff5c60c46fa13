/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mach's ledgers and security tokens on norma; included by <norma/mach.h>, which a program includes instead.
 *
 * A ledger is a quota of bytes on one node: what is charged to it (its balance) does not pass its limit.
 * docs/ledgers.md says what is charged when, and what a quota means on other nodes. Every call is thread-safe; ledgers
 * may live on any node.
 */
#ifndef NORMA_MACH_LEDGER_H
#define NORMA_MACH_LEDGER_H

#include <norma/mach.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t ledger_item_t; /* bytes */
#define LEDGER_ITEM_INFINITY (~(ledger_item_t)0)
#define LEDGER_NULL ((ledger_t)0)

/* What a task draws from, in the order of task_create's array. */
#define NORMA_LEDGER_WIRED 0   /* bytes that it has wired (vm_wire) */
#define NORMA_LEDGER_PAGED 1   /* bytes of memory allocated for it, copies that it inherited among them */
#define NORMA_LEDGER_NETWORK 2 /* bytes that its node has sent for it, ever */
#define NORMA_LEDGER_COUNT 3

/** A ledger that `task` draws from on its node; `which` is NORMA_LEDGER_WIRED, NORMA_LEDGER_PAGED or
 * NORMA_LEDGER_NETWORK. Until somebody gives a task another one it is a ledger of the node, without a limit.
 * KERN_INVALID_ARGUMENT (`which`, null output), KERN_INVALID_TASK. */
NORMA_EXPORT kern_return_t norma_task_get_ledger(task_t task, int which, ledger_t *ledger) NORMA_MACH_NOEXCEPT;

/** Makes a ledger under `parent_ledger`, on its node and for the same resource. `transfer` bytes of the parent's limit
 * become the new one's; LEDGER_ITEM_INFINITY can be had only from a parent without a limit. `ledger_ledger` must be a
 * ledger of that node; what a ledger itself takes is not charged. KERN_INVALID_LEDGER, KERN_INVALID_ARGUMENT (null
 * output), KERN_RESOURCE_SHORTAGE (the parent has not as much that is unused, or is 8 ledgers below one of the node).
 */
kern_return_t ledger_create(ledger_t parent_ledger, ledger_t ledger_ledger, ledger_t *new_ledger,
                            ledger_item_t transfer) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(ledger_create);

/** Tells what is charged to a ledger, and its limit (LEDGER_ITEM_INFINITY: none). Either output may be null. The
 * balance for the network may pass the limit. KERN_INVALID_LEDGER. */
kern_return_t ledger_read(ledger_t ledger, ledger_item_t *balance, ledger_item_t *limit) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(ledger_read);

/** Moves `transfer` bytes from the limit of `parent_ledger` to that of `child_ledger`, which was made under it.
 * KERN_INVALID_LEDGER, KERN_INVALID_ARGUMENT (the child has no limit, or it would be too large),
 * KERN_RESOURCE_SHORTAGE (the parent has not as much that is unused). */
kern_return_t ledger_transfer(ledger_t parent_ledger, ledger_t child_ledger, ledger_item_t transfer) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(ledger_transfer);

/** Ends a ledger: what is unused of its limit goes back to its parent, and so does what is released later. Tasks that
 * draw from it get no more; what they have stays charged until they give it back. On other nodes, see docs/ledgers.md,
 * nothing changes. KERN_INVALID_LEDGER (also if it is one of the node's own). */
kern_return_t ledger_terminate(ledger_t ledger) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(ledger_terminate);

/** The job's privileged port, for the job's first task only, wherever it is; MACH_PORT_NULL for any other. */
host_priv_t host_priv_self(void) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(host_priv_self);

/** As task_create, and the child has `sec_token` instead of its parent's token. `host_security` is the privileged port
 * (host_priv_self). Errors as task_create, and KERN_INVALID_SECURITY: it is another port. */
kern_return_t task_create_security_token(task_t parent_task, mach_port_t host_security, security_token_t sec_token,
                                         ledger_port_array_t ledgers, int ledger_count, boolean_t inherit_memory,
                                         task_t *child_task) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(task_create_security_token);

/** Sets the security token of a task, on any node. norma gives it no meaning: every child, made in whatever way, starts
 * with its parent's, a task keeps its own when it is teleported, it goes to other nodes with each request of the task,
 * who receives a message of the task can have it told (mach_msg), and task_info tells it (TASK_SECURITY_TOKEN). The
 * job's first task starts with 0, 0. `host_security` is the privileged port (host_priv_self), `host` the caller's host
 * port. KERN_INVALID_SECURITY (another port), KERN_INVALID_TASK, KERN_INVALID_HOST. */
kern_return_t host_security_set_task_token(mach_port_t host_security, task_t target_task, security_token_t sec_token,
                                           host_t host) NORMA_MACH_NOEXCEPT
    NORMA_MACH_CALL(host_security_set_task_token);

#ifdef __cplusplus
}
#endif
#endif
