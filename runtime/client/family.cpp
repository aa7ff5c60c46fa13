// SPDX-License-Identifier: BSD-3-Clause
// <norma/clone.h>: tasks as processes. Signal handlers may make these calls.
#include "norma/clone.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/errors.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/migration.hpp"
#include "runtime/families.hpp"

#include <sys/wait.h>
#include <unistd.h>

using namespace norma::rt;

extern "C" {

int norma_getpid(void) NORMA_MACH_NOEXCEPT {
    return job.active ? job.pid : getpid();
}

int norma_getppid(void) NORMA_MACH_NOEXCEPT {
    if (!job.active) {
        return getppid();
    }
    const auto answer = call(Op::process_parent, MACH_PORT_NULL);
    return answer.status == KERN_SUCCESS ? static_cast<int>(answer.vals[0]) : kNobody;
}

int norma_kill(int pid, int signal) NORMA_MACH_NOEXCEPT {
    if (!job.active) {
        return fail_with(ENOSYS);
    }
    if (pid <= 0 || signal < 0 || !is_signal(static_cast<std::uint64_t>(signal))) {
        return fail_with(EINVAL);
    }
    const auto answer =
        call(Op::process_signal, MACH_PORT_NULL, {static_cast<std::uint64_t>(pid), static_cast<std::uint64_t>(signal)});
    return answer.status == KERN_SUCCESS ? 0 : fail_with(errno_of(answer.status));
}

int norma_waitpid(int pid, int *status, int options) NORMA_MACH_NOEXCEPT {
    if (!job.active) {
        return fail_with(ENOSYS);
    }
    const auto clone_bits = static_cast<unsigned>(options) & (__WALL | __WCLONE);
    if (pid == 0 || pid < -1 || (static_cast<unsigned>(options) & ~(clone_bits | WNOHANG)) != 0) {
        return fail_with(EINVAL);
    }
    const auto kinds = (clone_bits & __WALL) != 0 ? Kinds::all : clone_bits != 0 ? Kinds::clones : Kinds::usual;
    const std::array<std::uint64_t, kOpArgs> args{static_cast<std::uint64_t>(std::int64_t{pid}),
                                                  static_cast<std::uint64_t>(kinds),
                                                  (options & WNOHANG) != 0 ? 1U : 0U};
    auto answer = call(Op::process_wait, MACH_PORT_NULL, args);
    while (answer.status == kWithdrawn) {
        migration_point();
        answer = call(Op::process_wait, MACH_PORT_NULL, args);
    }
    if (answer.status != KERN_SUCCESS) {
        return fail_with(answer.status == KERN_INVALID_VALUE ? ECHILD : errno_of(answer.status));
    }
    if (answer.vals[0] != 0 && status != nullptr) {
        *status = static_cast<int>(answer.vals[1]);
    }
    return static_cast<int>(answer.vals[0]);
}
}
