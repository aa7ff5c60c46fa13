// SPDX-License-Identifier: BSD-3-Clause
// Files for the cases about open files, and tasks that use them from where they are open and from elsewhere.
#pragma once

#include "tests/clone/child.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace clonetest {

inline constexpr int kSharing = CLONE_VM | CLONE_FILES | SIGCHLD;

// Of memory, so that nothing is left behind.
inline int digits() {
    const int fd = memfd_create("clone", 0);
    CHECK(fd >= 0);
    CHECK_EQ(10, write(fd, "0123456789", 10));
    CHECK_EQ(0, lseek(fd, 0, SEEK_SET));
    return fd;
}

inline char next_of(int fd) {
    char byte = 0;
    CHECK_EQ(1, read(fd, &byte, 1));
    return byte;
}

struct Meeting {
    std::atomic<int> number{-1}, second{-1}, turn{0};
};

/// Runs `body` where the caller's files are open, and then elsewhere: it must not find a difference.
inline void here_and_elsewhere(const std::function<void()> &body) {
    for (const int node : {0, systest::last_node()}) {
        const int pid = child(node, kSharing, [&body] {
            body();
            return 0;
        });
        CHECK_EQ(0, end_of(pid));
    }
}

} // namespace clonetest
