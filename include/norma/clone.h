/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Linux's __clone for children on any node, and what belongs to it: process ids that are unique in the job, signals and
 * waiting across nodes. These calls say what is wrong as Unix does: they return -1, and errno tells. All are
 * thread-safe, and may be made in signal handlers, except for the clone calls. ENOSYS: the caller is not in a job.
 * EHOSTDOWN: a node that is needed is gone. docs/clone.md has more.
 */
#ifndef NORMA_CLONE_H
#define NORMA_CLONE_H

#include <norma/mach.h>

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

/* <sched.h> has them only for those who ask for GNU's names; the last one it does not have any more, and its bit is
 * CLONE_PIDFD to today's kernel, which never sees it. */
#ifndef CLONE_VM
#define CLONE_VM 0x00000100
#define CLONE_FS 0x00000200
#define CLONE_FILES 0x00000400
#define CLONE_SIGHAND 0x00000800
#endif
#ifndef CLONE_PID
#define CLONE_PID 0x00001000
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Makes a task that runs fn(arg) on the stack below `stacktop`, on the caller's node or on `node`, and ends with what
 * fn returns as its exit status. The low byte of `flags` is the signal that the caller's task gets when the child ends;
 * 0: none. CLONE_VM: the child shares all coherent memory, in a whole program (docs/programs.md) its variables and heap
 * too; without it the child has a copy of all that, made page by page when either side writes. CLONE_PID: the child
 * calls itself what the caller does; without it it has an id of its own. CLONE_SIGHAND: child and caller have one table
 * of signal actions, wherever they run: what sigaction(2) or signal(2) has set in one the other has, too, when the call
 * returns; without it the child has a copy. CLONE_FS: so it is with the current directory, the root and the umask, and
 * chdir(2) fails with the error of whoever cannot go there. Blocked signals are copied. CLONE_FILES: child and caller
 * have one table of open files, and what one opens or closes is open or closed for both; without it the child has new
 * references to the caller's open files, whose offsets stay common. Files that are open on another node can be read,
 * written and closed, among others, but not mapped or polled, and streams of the C library do not reach them
 * (docs/clone.md). The stack must be coherent memory of the caller. Returns the child's id. EAGAIN: no more tasks are
 * allowed (NORMA_TASKS, or the system's limits), or no more files could be sent. ENOMEM: there is no memory for it
 * (NORMA_MEMORY, ledgers). EINVAL: fn or stack is null, or the stack is not coherent memory; a flag or signal that
 * there is none of. ESRCH: no such node. ENOENT, EACCES, EPERM and others of chdir(2) and chroot(2): the child's node
 * does not have the caller's directories. EMFILE: the child may not have as many files. ETIMEDOUT: NORMA_CALL_TIMEOUT.
 */
NORMA_EXPORT int norma_clone(int (*fn)(void *), void *stacktop, int flags, void *arg) NORMA_MACH_NOEXCEPT;
NORMA_EXPORT int norma_clone_on(int node, int (*fn)(void *), void *stacktop, int flags, void *arg) NORMA_MACH_NOEXCEPT;

/** The id of the caller's task, which is unique in the job (but see CLONE_PID), never 0 or 1, and stays the same when
 * the task is teleported. Outside a job: that of the process. */
NORMA_EXPORT int norma_getpid(void) NORMA_MACH_NOEXCEPT;

/** The id of the task that cloned the caller; 1 if that has ended, or if nobody has cloned it. */
NORMA_EXPORT int norma_getppid(void) NORMA_MACH_NOEXCEPT;

/** Sends a signal to a task of the job, wherever it is; 0 only asks whether there is one. The action is that of
 * kill(2). ESRCH: there is none with this id, or it has ended. EINVAL: no such signal (SIGRTMAX-2 is the library's), or
 * the id is not positive: there are no process groups. ETIMEDOUT: its node does not answer. */
NORMA_EXPORT int norma_kill(int pid, int signal) NORMA_MACH_NOEXCEPT;

/** Waits until a child that norma_clone has made, with this id or with -1 any, has ended, and takes it off the list. Of
 * interest are children that end with SIGCHLD; with __WCLONE in `options` those that do not, with __WALL all. WNOHANG:
 * does not wait. *status (may be null) is as wait(2) has it; a child that was lost with its node was killed by SIGKILL.
 * A signal does not end the wait: its handler runs, and the wait goes on. A child is kept until it has been waited for,
 * also where SIGCHLD is ignored. Returns the child's id, or with WNOHANG 0 if none has ended yet. ECHILD: there is no
 * such child. EINVAL: other options, or an id that is 0 or below -1. EINTR: thread_abort. */
NORMA_EXPORT int norma_waitpid(int pid, int *status, int options) NORMA_MACH_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
