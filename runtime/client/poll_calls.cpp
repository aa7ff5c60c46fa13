// SPDX-License-Identifier: BSD-3-Clause
// The C library's calls that wait for files: these functions stand in front of them, for files that are open on another
// node.
#include "norma/norma.h"
#include "runtime/client/errors.hpp"
#include "runtime/client/interposed.hpp"
#include "runtime/client/poll_elsewhere.hpp"
#include "runtime/client/private_room.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/select.h>

namespace {

using norma::rt::any_elsewhere;
using norma::rt::fail_with;
using norma::rt::next;
using norma::rt::poll_files;

constexpr long kMillion = 1'000'000;
// As the kernel has them.
constexpr short kReadable = POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR;
constexpr short kWritable = POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR;

// The three sets of select(2).
struct Sets {
    fd_set *read, *write, *except;

    static bool has(const fd_set *set, int fd) {
        return set != nullptr && (set->fds_bits[fd / NFDBITS] >> (fd % NFDBITS) & 1) != 0;
    }
    static void keep(fd_set *set, int fd, bool ready, int &count) {
        if (has(set, fd) && !ready) {
            set->fds_bits[fd / NFDBITS] &= ~(fd_mask{1} << (fd % NFDBITS));
        } else if (has(set, fd)) {
            ++count;
        }
    }
    short events(int fd) const {
        return static_cast<short>((has(read, fd) ? POLLIN : 0) | (has(write, fd) ? POLLOUT : 0) |
                                  (has(except, fd) ? POLLPRI : 0));
    }
};

bool any_elsewhere(int count, const Sets &sets) {
    for (int fd = 0; norma::rt::shared_numbers.any && fd < count; ++fd) {
        if (norma::rt::is_elsewhere(fd) && sets.events(fd) != 0) {
            return true;
        }
    }
    return false;
}

int select_files(int count, const Sets &sets, const timespec *limit, const sigset_t *mask) {
    norma::rt::PrivateRoom<std::array<pollfd, norma::rt::kMostFiles>> room; // of which little is used
    if (!room) {
        return fail_with(ENOMEM);
    }
    std::size_t used = 0;
    for (int fd = 0; fd < count; ++fd) {
        if (sets.events(fd) != 0) {
            room->at(used++) = {.fd = fd, .events = sets.events(fd), .revents = 0};
        }
    }
    const auto files = std::span(*room).first(used);
    if (poll_files(files, limit, mask) < 0) {
        return -1;
    }
    if (std::ranges::any_of(files, [](const auto &file) { return (file.revents & POLLNVAL) != 0; })) {
        return fail_with(EBADF);
    }
    int bits = 0;
    for (const auto &file : files) {
        Sets::keep(sets.read, file.fd, (file.revents & kReadable) != 0, bits);
        Sets::keep(sets.write, file.fd, (file.revents & kWritable) != 0, bits);
        Sets::keep(sets.except, file.fd, (file.revents & POLLPRI) != 0, bits);
    }
    return bits;
}

int most(int count) {
    return std::min(count, static_cast<int>(norma::rt::kMostFiles));
}

timespec limit_of(const timeval &time) {
    return {time.tv_sec + time.tv_usec / kMillion, time.tv_usec % kMillion * 1000};
}

} // namespace

extern "C" {

NORMA_EXPORT int poll(pollfd *files, nfds_t count, int milliseconds) {
    static const auto real = next<int(pollfd *, nfds_t, int)>("poll");
    if (!any_elsewhere({files, count})) {
        return real(files, count, milliseconds);
    }
    const timespec limit{milliseconds / 1000, milliseconds % 1000 * kMillion};
    return poll_files({files, count}, milliseconds < 0 ? nullptr : &limit, nullptr);
}

NORMA_EXPORT int ppoll(pollfd *files, nfds_t count, const timespec *limit, const sigset_t *mask) {
    static const auto real = next<int(pollfd *, nfds_t, const timespec *, const sigset_t *)>("ppoll");
    return any_elsewhere({files, count}) ? poll_files({files, count}, limit, mask) : real(files, count, limit, mask);
}

// What programs call that were compiled with _FORTIFY_SOURCE. Too many ends the program there.
NORMA_EXPORT int __poll_chk(pollfd *files, nfds_t count, int milliseconds, std::size_t room) {
    static const auto real = next<int(pollfd *, nfds_t, int, std::size_t)>("__poll_chk");
    return room / sizeof *files < count ? real(files, count, milliseconds, room) : poll(files, count, milliseconds);
}

NORMA_EXPORT int __ppoll_chk(pollfd *files, nfds_t count, const timespec *limit, const sigset_t *mask,
                             std::size_t room) {
    static const auto real =
        next<int(pollfd *, nfds_t, const timespec *, const sigset_t *, std::size_t)>("__ppoll_chk");
    return room / sizeof *files < count ? real(files, count, limit, mask, room) : ppoll(files, count, limit, mask);
}

// Tells what is left of the time.
NORMA_EXPORT int select(int count, fd_set *read, fd_set *write, fd_set *except, timeval *time) {
    static const auto real = next<int(int, fd_set *, fd_set *, fd_set *, timeval *)>("select");
    const Sets sets{read, write, except};
    if (!any_elsewhere(most(count), sets)) {
        return real(count, read, write, except, time);
    }
    if (time == nullptr) {
        return select_files(most(count), sets, nullptr, nullptr);
    }
    if (time->tv_sec < 0 || time->tv_usec < 0) {
        return fail_with(EINVAL);
    }
    const auto limit = limit_of(*time);
    const auto deadline = norma::rt::deadline_in(limit);
    const int result = select_files(most(count), sets, &limit, nullptr);
    const int saved = errno;
    const auto left = norma::rt::left_until(deadline);
    *time = {left.tv_sec, left.tv_nsec / 1000};
    errno = saved;
    return result;
}

NORMA_EXPORT int pselect(int count, fd_set *read, fd_set *write, fd_set *except, const timespec *limit,
                         const sigset_t *mask) {
    static const auto real =
        next<int(int, fd_set *, fd_set *, fd_set *, const timespec *, const sigset_t *)>("pselect");
    const Sets sets{read, write, except};
    return any_elsewhere(most(count), sets) ? select_files(most(count), sets, limit, mask)
                                            : real(count, read, write, except, limit, mask);
}
}
