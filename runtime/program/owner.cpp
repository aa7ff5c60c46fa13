// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/program/owner.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr int kNodeShift = 56; // the kernel numbers threads with 22 bits
constexpr std::uint64_t kThread = (std::uint64_t{1} << kNodeShift) - 1;

// The thread's number above, when it was started below (in ticks since the system was, cut to 32 bits); 0: there is no
// such thread, or it is one that has ended and is still listed.
std::uint64_t owner_of(pid_t tid) {
    char path[32];
    std::snprintf(path, sizeof path, "/proc/%d/stat", tid);
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    char text[1024];
    const auto size = ::read(fd, text, sizeof text - 1);
    ::close(fd);
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    const char *at = std::strrchr(text, ')'); // the name may have any characters in it
    if (at == nullptr || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X') {
        return 0;
    }
    constexpr int kFieldsToStart = 20; // from the state, proc(5)'s third, to its twenty-second
    for (int field = 0; field < kFieldsToStart && at != nullptr; ++field) {
        at = std::strchr(at + 1, ' ');
    }
    return at == nullptr ? 0
                         : std::uint64_t{static_cast<std::uint32_t>(tid)} << 32 |
                               static_cast<std::uint32_t>(std::strtoull(at, nullptr, 10));
}

} // namespace

std::uint64_t this_owner(unsigned node) {
    return std::uint64_t{node} << kNodeShift | owner_of(gettid());
}

unsigned node_of(std::uint64_t owner) {
    return static_cast<unsigned>(owner >> kNodeShift);
}

bool is_alive(std::uint64_t owner) {
    const auto thread = owner & kThread;
    return owner_of(static_cast<pid_t>(thread >> 32)) == thread;
}

} // namespace norma::rt
