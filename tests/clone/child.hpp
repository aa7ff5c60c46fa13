// SPDX-License-Identifier: BSD-3-Clause
// What the cases of clone_app share.
#pragma once

#include "tests/system/app.hpp"

#include <norma/clone.h>

#include <cerrno>
#include <cstdlib>
#include <functional>

namespace clonetest {

inline constexpr std::size_t kStack = 256 * 1024;

/// The top of a new stack, from the heap.
inline void *stack() {
    return static_cast<char *>(std::malloc(kStack)) + kStack;
}

/// Clones a child that runs `body`, which lives in memory that the child has too, and returns what clone says.
inline int clone(int node, int flags, const std::function<int()> &body) {
    return norma_clone_on(
        node,
        [](void *argument) {
            const auto *what = static_cast<std::function<int()> *>(argument);
            return (*what)();
        },
        stack(), flags, new std::function<int()>(body));
}

/// The same, which must succeed.
inline int child(int node, int flags, const std::function<int()> &body) {
    const int pid = clone(node, flags, body);
    if (pid < 0) {
        systest::fail(__FILE__, __LINE__, fmt::format("no child on node {}: errno {}", node, errno));
    }
    return pid;
}

/// How a child ended, of whatever kind.
inline int end_of(int pid) {
    int status = -1;
    const int waited = norma_waitpid(pid, &status, __WALL);
    if (waited != pid) {
        systest::fail(__FILE__, __LINE__, fmt::format("waiting for {} gave {}, errno {}", pid, waited, errno));
    }
    return status;
}

/// Exit status `code`, as wait(2) has it.
constexpr int exited(int code) {
    return code << 8;
}

} // namespace clonetest

#define CHECK_FAILS(error, call)                                                                                       \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        CHECK_EQ(-1, call);                                                                                            \
        CHECK_EQ(error, errno);                                                                                        \
    } while (0)
