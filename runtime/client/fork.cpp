// SPDX-License-Identifier: BSD-3-Clause
// A child of plain fork(2) would have neither the userfaultfd nor the mappings of coherent memory, so not even its own
// stack. That is refused here rather than left to crash; posix_spawn, system and popen, which need no copy of the
// address space, work.
#include "norma/mach.h"
#include "runtime/client/interposed.hpp"
#include "runtime/client/threads.hpp"

#include <cerrno>
#include <cstdio>
#include <sys/types.h>

extern "C" NORMA_EXPORT pid_t fork() {
    if (norma::rt::on_coherent_stack()) {
        std::fputs("norma: fork() does not work in a thread whose stack is coherent memory; use posix_spawn() to start "
                   "a program, norma_task_clone() to make a task\n",
                   stderr);
        errno = ENOTSUP;
        return -1;
    }
    static const auto real = norma::rt::next<pid_t()>("fork");
    return real();
}
