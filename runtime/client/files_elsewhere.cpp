// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/files_elsewhere.hpp"

#include "runtime/client/errors.hpp"
#include "runtime/client/private_room.hpp"
#include "runtime/client/reach.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>

namespace norma::rt {

namespace {

Orders at(FileAction here, FileAction there, off_t offset, std::size_t done, std::size_t size) {
    return offset == kCurrentOffset
               ? Orders{.action = here, .first = size}
               : Orders{.action = there, .first = size, .second = static_cast<std::uint64_t>(offset) + done};
}

template <class Content> int ask(int fd, FileAction what, Content *content) {
    PrivateRoom<Content> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    const auto outcome = reach(fd, {.action = what}, {}, std::as_writable_bytes(std::span(&*room, 1)));
    if (outcome.result < 0 || outcome.answered != sizeof *content) {
        return outcome.result < 0 ? -1 : fail_with(EIO);
    }
    *content = *room;
    return 0;
}

} // namespace

// A regular file gives all that there is; of anything else, more than one piece may have to be waited for.
ssize_t read_elsewhere(int fd, std::span<const iovec> memory, off_t offset) noexcept {
    if (!are_parts(memory)) {
        return -1;
    }
    Parts parts(memory);
    PrivateRoom<Piece> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    std::size_t had = 0;
    for (;;) {
        const auto piece = std::span(*room).first(std::min(parts.left(), kFileBytesAtOnce));
        const auto outcome = reach(fd, at(FileAction::read, FileAction::read_at, offset, had, piece.size()), {}, piece);
        if (outcome.result < 0) {
            return had > 0 ? static_cast<ssize_t>(had) : -1;
        }
        parts.put(piece.first(outcome.answered));
        had += outcome.answered;
        if (outcome.kind != FileKind::regular || outcome.answered < piece.size() || parts.left() == 0) {
            return static_cast<ssize_t>(had);
        }
    }
}

ssize_t write_elsewhere(int fd, std::span<const iovec> memory, off_t offset) noexcept {
    if (!are_parts(memory)) {
        return -1;
    }
    Parts parts(memory);
    PrivateRoom<Piece> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    std::size_t written = 0;
    for (;;) {
        const auto piece = std::span(*room).first(parts.take(std::span(*room).first(kFileBytesAtOnce)));
        auto orders = at(FileAction::write, FileAction::write_at, offset, written, 0);
        orders.third = parts.left();
        const auto outcome = reach(fd, orders, piece);
        if (outcome.result < 0) {
            if (errno == EPIPE && written == 0) {
                raise(SIGPIPE);
                errno = EPIPE;
            }
            return written > 0 ? static_cast<ssize_t>(written) : -1;
        }
        const auto size = static_cast<std::size_t>(outcome.result);
        parts.drop(size);
        written += size;
        if (size < piece.size() || parts.left() == 0) {
            return static_cast<ssize_t>(written);
        }
    }
}

// No memory is as long as a negative size.
ssize_t read_elsewhere(int fd, void *buffer, std::size_t size, off_t offset) noexcept {
    const iovec part{buffer, size};
    return size > SSIZE_MAX ? fail_with(EFAULT) : read_elsewhere(fd, std::span(&part, 1), offset);
}

ssize_t write_elsewhere(int fd, const void *buffer, std::size_t size, off_t offset) noexcept {
    const iovec part{const_cast<void *>(buffer), size};
    return size > SSIZE_MAX ? fail_with(EFAULT) : write_elsewhere(fd, std::span(&part, 1), offset);
}

off_t seek_elsewhere(int fd, off_t offset, int whence) noexcept {
    return reach(fd, {.action = FileAction::seek,
                      .first = static_cast<std::uint64_t>(whence),
                      .second = static_cast<std::uint64_t>(offset)})
        .result;
}

int status_elsewhere(int fd, struct stat *status) noexcept {
    return ask(fd, FileAction::status, status);
}

int system_status_elsewhere(int fd, struct statfs *status) noexcept {
    return ask(fd, FileAction::system_status, status);
}

int truncate_elsewhere(int fd, off_t size) noexcept {
    return static_cast<int>(
        reach(fd, {.action = FileAction::truncate, .second = static_cast<std::uint64_t>(size)}).result);
}

int allocate_elsewhere(int fd, int mode, off_t offset, off_t size) noexcept {
    return static_cast<int>(reach(fd, {.action = FileAction::allocate,
                                       .first = static_cast<std::uint64_t>(mode),
                                       .second = static_cast<std::uint64_t>(offset),
                                       .third = static_cast<std::uint64_t>(size)})
                                .result);
}

int sync_elsewhere(int fd, bool only_data) noexcept {
    return static_cast<int>(reach(fd, {.action = only_data ? FileAction::sync_data : FileAction::sync}).result);
}

int flags_elsewhere(int fd) noexcept {
    return static_cast<int>(reach(fd, {.action = FileAction::get_flags}).result);
}

int set_flags_elsewhere(int fd, int flags) noexcept {
    return static_cast<int>(
        reach(fd, {.action = FileAction::set_flags, .first = static_cast<std::uint64_t>(flags)}).result);
}

int lock_elsewhere(int fd, int operation) noexcept {
    return static_cast<int>(
        reach(fd, {.action = FileAction::lock, .first = static_cast<std::uint64_t>(operation)}).result);
}

bool is_terminal_elsewhere(int fd) noexcept {
    return reach(fd, {.action = FileAction::is_terminal}).result == 0;
}

} // namespace norma::rt
