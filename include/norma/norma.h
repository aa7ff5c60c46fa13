/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What norma adds to Mach, in C: facts about the job, waiting for tasks, and synchronisation across nodes.
 *
 * Barriers, mutexes, condition variables and semaphores are services of the node servers, not words in memory: no
 * page moves when they are used. They are named by 64-bit ids that are valid in every task of the job, so an id may
 * be kept in coherent memory or passed as an argument. The node where an object was made (its home) queues the
 * waiters and grants first come, first served. All calls are thread-safe and block only the calling thread.
 * Common errors: KERN_INVALID_VALUE (no such object), KERN_NODE_DOWN (its home is gone), KERN_ABORTED (thread_abort has
 * ended the wait: nothing was taken, and who waited at a barrier has not arrived).
 */
#ifndef NORMA_NORMA_H
#define NORMA_NORMA_H

#include <norma/mach.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NORMA_VERSION_MAJOR 0
#define NORMA_VERSION_MINOR 1

typedef uint64_t norma_sync_t; /* 0 is never a valid id */

/** Number of nodes of the job, dead ones included; 0 outside a job. It grows when a node joins (norma join). */
NORMA_EXPORT int norma_node_count(void) NORMA_MACH_NOEXCEPT;

/** The node the calling task runs on; -1 outside a job. */
NORMA_EXPORT int norma_node(void) NORMA_MACH_NOEXCEPT;

/** Non-zero if the caller runs inside a job, or has attached itself to one. */
NORMA_EXPORT int norma_in_job(void) NORMA_MACH_NOEXCEPT;

/** Makes the calling process a task of a job that runs on this machine, for the rest of its life: it has no coherent
 * memory yet, and every call of norma's works in it from then on, from any thread; docs/attach.md says what cannot be
 * done with such a task. Its end is the task's: with its exit code, or else as if signal 9 had ended it. When the job
 * or the node server ends, the process goes on: calls return KERN_NODE_DOWN, and coherent memory raises SIGBUS.
 * `job` is the process id of the job's `norma run` (on a host that has joined it: of its `norma node --join`); 0: that
 * in NORMA_JOB, or the only one the caller's user has on this machine. `node` is one of its nodes on this machine;
 * below 0: the first of them. For timeout_ms (below 0: for ever) it waits for a job, and a node, that is not there yet.
 * `why`, unless it is null, gets the reason of a failure as a text of at most why_bytes, with the zero at its end.
 * KERN_INVALID_NAME (there is no such job, or more than one), KERN_INVALID_SECURITY (it is another user's; root cannot
 * join it either), KERN_INVALID_HOST (it has no such node on this machine), KERN_INVALID_TASK (the caller is a task
 * already, or has been one), KERN_TERMINATED (the job is ending), KERN_NOT_SUPPORTED (a job of another version of
 * norma; a whole program; the caller is in a container where the node server cannot see it), KERN_NO_SPACE (the job's
 * window is not free in this process), KERN_RESOURCE_SHORTAGE (NORMA_TASKS; userfaultfd cannot be had),
 * KERN_OPERATION_TIMED_OUT (the node server does not answer), KERN_INVALID_ARGUMENT (NORMA_JOB is no number).
 * Thread-safe. */
NORMA_EXPORT kern_return_t norma_attach(int job, int node, int timeout_ms, char *why,
                                        vm_size_t why_bytes) NORMA_MACH_NOEXCEPT;

/** Waits for a task's end. A task that was teleported is followed to where it went. timeout_ms < 0: for ever. *status
 * (may be null) is how it ended: exit code in bits 8..15, signal in bits 0..6, as wait(2) has it.
 * Errors: KERN_INVALID_TASK, KERN_OPERATION_TIMED_OUT, KERN_NODE_DOWN (the task's node died, and it with it),
 * KERN_ABORTED (thread_abort). */
NORMA_EXPORT kern_return_t norma_task_wait(task_t task, int timeout_ms, int *status) NORMA_MACH_NOEXCEPT;

/** For norma_task_migrate(), one or the other. LAZY: memory stays where it is until it is touched. PRECOPY: copies of
 * it come first, in rounds while the task runs, as long as each has less than half of the one before. */
#define NORMA_MIGRATE_LAZY 1
#define NORMA_MIGRATE_PRECOPY 2

/** Moves a task that runs to another node with all its threads: they go on there where they were, with their registers,
 * stacks, signal masks and thread-local variables, and with what they hold and wait for. The task must be a whole
 * program, and its threads norma's (docs/migration.md says what moves). From inside the task or outside. Whatever name
 * its callers have for the task or a thread of it goes on to be one. It returns when the task runs there; what memory
 * lies on the nodes where it was, and no task there uses, follows in the background, unless flags are
 * NORMA_MIGRATE_LAZY. If it fails, the task runs on where it was, and its node server says why on standard error.
 * KERN_INVALID_TASK (it is moving already, too), KERN_INVALID_ARGUMENT (no such node, other flags or both),
 * KERN_NOT_SUPPORTED (it has what cannot move), KERN_OPERATION_TIMED_OUT (a thread of it stays in a library, or in a
 * system call), KERN_RESOURCE_SHORTAGE, KERN_NODE_DOWN. Thread-safe. */
NORMA_EXPORT kern_return_t norma_task_migrate(task_t task, int node, int flags) NORMA_MACH_NOEXCEPT;

/** thread_create_running with an entry function and an argument. stack_size 0: NORMA_STACK_SIZE. When entry returns
 * the thread ends; a task made by clone or teleport goes on without threads until it is terminated. */
NORMA_EXPORT kern_return_t norma_thread_start(task_t task, void (*entry)(void *), void *argument, vm_size_t stack_size,
                                              thread_act_t *thread) NORMA_MACH_NOEXCEPT;

/** Waits until a thread has ended. KERN_OPERATION_TIMED_OUT, KERN_ABORTED (thread_abort). */
NORMA_EXPORT kern_return_t norma_thread_wait(thread_act_t thread, int timeout_ms) NORMA_MACH_NOEXCEPT;

/** Ends the calling task with an exit code, as exit(3) does, from any of its threads. */
NORMA_EXPORT void norma_exit(int code) __attribute__((noreturn));

/** The text for a return value, never null. */
NORMA_EXPORT const char *norma_strerror(kern_return_t code) NORMA_MACH_NOEXCEPT;

/* ---- Named memory objects ------------------------------------------------------------------------------------- */

/** Tasks of the job that have nothing else in common meet by a name: 1 to 255 bytes. *object is a port for the memory
 * object of that name, which vm_map takes. If there is none yet, it is made, of *size bytes rounded up to pages,
 * zero-filled; exactly one of several tasks that come at once makes it. *size becomes the object's size. *size 0: it
 * must be there already. The object lives until its name has been removed and nobody maps it; a name does not outlive
 * the job. The node it is made on follows from the name, and counts it towards its NORMA_MEMORY. KERN_INVALID_ARGUMENT
 * (no such name, null output, it is there with another size, larger than the window), KERN_INVALID_VALUE (*size is 0
 * and it is not there), KERN_RESOURCE_SHORTAGE, KERN_NODE_DOWN (the node of that name is gone). Thread-safe. */
NORMA_EXPORT kern_return_t norma_object_open(const char *name, vm_size_t *size,
                                             memory_object_t *object) NORMA_MACH_NOEXCEPT;

/** Removes a name; who maps the object keeps it. Its port is of no use once nobody does: vm_map then returns
 * KERN_MEMORY_FAILURE. KERN_INVALID_VALUE: there is no such name. KERN_INVALID_ARGUMENT, KERN_NODE_DOWN as above.
 * Thread-safe. */
NORMA_EXPORT kern_return_t norma_object_remove(const char *name) NORMA_MACH_NOEXCEPT;

/** The memory of a file: *object is a port for a memory object, which vm_map takes, whose content is that of the
 * regular file at `path`; *size becomes the file's size in bytes. The object's pages up to the end of its last one can
 * be mapped; what lies behind the file's end in that page is zeros, and never gets into the file. `access` is
 * VM_PROT_READ, and the object cannot be mapped for writing with this port (it can be copied: vm_map with `copy` TRUE),
 * or VM_PROT_READ | VM_PROT_WRITE. The file is opened with the caller's rights on the caller's node, where the object
 * has its home; to open it again there, under whatever path, gives the same object, of the size it has, with that
 * port's access. Tasks on other nodes get the port in a message, or the memory by inheritance, clone or vm_remap: what
 * they open themselves is another object. Pages are read when they are first touched, on whatever node; one that cannot
 * be read is lost: a touch raises SIGBUS. They get into the file by vm_msync, and when nobody uses the object any more
 * (docs/files.md). A task that has opened an object uses it until norma_object_close, or its end; whoever maps it uses
 * it, too. Until then no one else should write the file, and a change of its size is not seen. The whole object counts
 * towards NORMA_MEMORY. KERN_INVALID_VALUE (there is no such file, it is empty, or no regular file),
 * KERN_PROTECTION_FAILURE (the caller may not open it so), KERN_INVALID_ARGUMENT (no such access, null output, null,
 * empty or too long path), KERN_RESOURCE_SHORTAGE, KERN_FAILURE (the file system says something else). Thread-safe. */
NORMA_EXPORT kern_return_t norma_object_open_file(const char *path, vm_prot_t access, vm_size_t *size,
                                                  memory_object_t *object) NORMA_MACH_NOEXCEPT;

/** Undoes one norma_object_open_file of the calling task; who maps the object keeps it. Its port is of no use once
 * nobody uses the object: vm_map then returns KERN_MEMORY_FAILURE. KERN_INVALID_ARGUMENT: not a file this task has
 * opened. Thread-safe. */
NORMA_EXPORT kern_return_t norma_object_close(memory_object_t object) NORMA_MACH_NOEXCEPT;

/* ---- Waiting at words of memory ------------------------------------------------------------------------------- */

/** Waits at a word of coherent memory that has the value `expected`, until norma_wake wakes it; or does not wait, if
 * the word has another value. Both ask the node where the memory was allocated, which queues the waiters of all nodes,
 * under whatever addresses they have the word. No wake-up is lost: who changes the word and then calls norma_wake finds
 * the waiter queued, or the waiter finds the word changed. Wakes are never spurious, and one that meets a thread which
 * then finds the word changed goes to the next that was queued. The word itself is looked at once, after queueing, and
 * never written: programs look at it in a loop. timeout_ms < 0: for ever. While it waits no page moves.
 * KERN_SUCCESS: woken. KERN_INVALID_VALUE: the word is not `expected`. KERN_OPERATION_TIMED_OUT. KERN_ABORTED:
 * thread_abort. KERN_INVALID_ADDRESS: no coherent memory is there. KERN_INVALID_ARGUMENT: not a multiple of 4.
 * KERN_PROTECTION_FAILURE: the caller may not read it. KERN_NODE_DOWN: the node where the memory was allocated is gone,
 * or goes. KERN_RESOURCE_SHORTAGE. Thread-safe. */
NORMA_EXPORT kern_return_t norma_wait(const uint32_t *word, uint32_t expected, int timeout_ms) NORMA_MACH_NOEXCEPT;

/** Wakes those who have waited longest at a word, at most `count`: change the word first, then call this. Whoever
 * waits at a word counts, whatever value it has expected. A count of 0 wakes nobody, INT_MAX everybody. A waiter that
 * has ended counts for nobody. KERN_INVALID_ARGUMENT: count is negative; the rest as norma_wait. Thread-safe. */
NORMA_EXPORT kern_return_t norma_wake(const uint32_t *word, int count) NORMA_MACH_NOEXCEPT;

/* ---- Synchronisation ------------------------------------------------------------------------------------------ */

/** A barrier for `count` participants (threads, of any tasks); count 0: KERN_INVALID_ARGUMENT. */
NORMA_EXPORT kern_return_t norma_barrier_create(unsigned count, norma_sync_t *barrier) NORMA_MACH_NOEXCEPT;
/** Waits until `count` threads have arrived. *serial (may be null) is TRUE for exactly one of them. If a task that
 * has used the barrier dies, it is broken: waiters get KERN_TERMINATED, and so does every later caller. */
NORMA_EXPORT kern_return_t norma_barrier_wait(norma_sync_t barrier, boolean_t *serial) NORMA_MACH_NOEXCEPT;
/** Says that a task will take part, so that its death breaks the barrier also if it comes before the task's first
 * wait. Without this, who waits for a child that died on its way to the barrier waits for ever. KERN_INVALID_TASK or
 * KERN_NODE_DOWN: it is dead already. KERN_TERMINATED: the barrier is broken. KERN_INVALID_VALUE: no such barrier. */
NORMA_EXPORT kern_return_t norma_barrier_expect(norma_sync_t barrier, task_t task) NORMA_MACH_NOEXCEPT;

/** A mutex. Its home is the caller's node. */
NORMA_EXPORT kern_return_t norma_mutex_create(norma_sync_t *mutex) NORMA_MACH_NOEXCEPT;
/** Locks; first come, first served. KERN_TERMINATED: the lock is held by the caller, but its last holder died holding
 * it, so what it protects may be half done. Locking twice by one thread: KERN_INVALID_ARGUMENT (it would never return).
 */
NORMA_EXPORT kern_return_t norma_mutex_lock(norma_sync_t mutex) NORMA_MACH_NOEXCEPT;
/** Locks if nobody holds it. KERN_RESOURCE_SHORTAGE if it is held. */
NORMA_EXPORT kern_return_t norma_mutex_trylock(norma_sync_t mutex) NORMA_MACH_NOEXCEPT;
/** Unlocks: the mutex is at once that of who has waited longest. KERN_INVALID_ARGUMENT if the caller does not hold it.
 */
NORMA_EXPORT kern_return_t norma_mutex_unlock(norma_sync_t mutex) NORMA_MACH_NOEXCEPT;

/** A condition variable. Its home is the caller's node; a mutex used with it may live on any node. */
NORMA_EXPORT kern_return_t norma_cond_create(norma_sync_t *cond) NORMA_MACH_NOEXCEPT;
/** Queues the caller, then releases the mutex, waits, and locks it again. timeout_ms < 0: for ever. Wakes are never
 * spurious, but for a task that moves with its threads (norma_task_migrate): they return as if woken.
 * KERN_OPERATION_TIMED_OUT and KERN_ABORTED with the mutex held. KERN_TERMINATED as norma_mutex_lock. */
NORMA_EXPORT kern_return_t norma_cond_wait(norma_sync_t cond, norma_sync_t mutex, int timeout_ms) NORMA_MACH_NOEXCEPT;
/** Wakes the thread that has waited longest, if one waits. */
NORMA_EXPORT kern_return_t norma_cond_signal(norma_sync_t cond) NORMA_MACH_NOEXCEPT;
/** Wakes all threads that wait. */
NORMA_EXPORT kern_return_t norma_cond_broadcast(norma_sync_t cond) NORMA_MACH_NOEXCEPT;

/** A semaphore of `value` units. Its home is the caller's node. */
NORMA_EXPORT kern_return_t norma_semaphore_create(unsigned value, norma_sync_t *semaphore) NORMA_MACH_NOEXCEPT;
/** Takes a unit, and waits for one if need be. KERN_OPERATION_TIMED_OUT after timeout_ms; < 0: for ever; 0: does not
 * wait. */
NORMA_EXPORT kern_return_t norma_semaphore_wait(norma_sync_t semaphore, int timeout_ms) NORMA_MACH_NOEXCEPT;
/** Puts a unit back. KERN_RESOURCE_SHORTAGE at the largest value. */
NORMA_EXPORT kern_return_t norma_semaphore_post(norma_sync_t semaphore) NORMA_MACH_NOEXCEPT;

/** Destroys any of the four. Waiters get KERN_TERMINATED. */
NORMA_EXPORT kern_return_t norma_sync_destroy(norma_sync_t object) NORMA_MACH_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
