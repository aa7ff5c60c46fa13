// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/files_elsewhere.hpp"

#include "runtime/client/channel.hpp"
#include "runtime/client/errors.hpp"
#include "runtime/client/private_room.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace norma::rt {

namespace {

using Piece = std::array<std::byte, kFileBytesAtOnce>; // neither what is sent nor what comes may be coherent memory

struct Done {
    ssize_t result;
    bool regular;
    std::size_t answered; // bytes
};

Done act(int fd, FileAction action, std::uint64_t first = 0, std::uint64_t second = 0,
         std::span<const std::byte> data = {}, std::span<std::byte> answered = {}) {
    const auto answer =
        call(Op::file_access, kNameNull,
             {static_cast<std::uint64_t>(fd), static_cast<std::uint64_t>(action), first, second}, data, -1, answered);
    if (const int error = errno_of(answer); error != 0) {
        errno = error;
        return {.result = -1, .regular = false, .answered = 0};
    }
    return {.result = static_cast<ssize_t>(answer.vals[0]),
            .regular = answer.vals[2] != 0,
            .answered = std::min(answer.blob.size(), answered.size())};
}

} // namespace

// A regular file gives all that there is; of anything else, more than one part may have to be waited for.
ssize_t read_elsewhere(int fd, void *buffer, std::size_t size, off_t offset) noexcept {
    auto *const to = static_cast<std::byte *>(buffer);
    PrivateRoom<Piece> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    std::size_t had = 0;
    for (;;) {
        const auto part = std::span(*room).first(std::min(size - had, kFileBytesAtOnce));
        const auto done = offset == kCurrentOffset ? act(fd, FileAction::read, part.size(), 0, {}, part)
                                                   : act(fd, FileAction::read_at, part.size(),
                                                         static_cast<std::uint64_t>(offset) + had, {}, part);
        if (done.result < 0) {
            return had > 0 ? static_cast<ssize_t>(had) : -1;
        }
        std::copy_n(part.begin(), done.answered, to + had);
        had += done.answered;
        if (!done.regular || done.answered < part.size() || had == size) {
            return static_cast<ssize_t>(had);
        }
    }
}

ssize_t write_elsewhere(int fd, const void *buffer, std::size_t size, off_t offset) noexcept {
    const auto *const from = static_cast<const std::byte *>(buffer);
    PrivateRoom<Piece> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    std::size_t written = 0;
    for (;;) {
        const auto part = std::span(*room).first(std::min(size - written, kFileBytesAtOnce));
        std::copy_n(from + written, part.size(), part.begin());
        const auto done = offset == kCurrentOffset
                              ? act(fd, FileAction::write, 0, 0, part)
                              : act(fd, FileAction::write_at, 0, static_cast<std::uint64_t>(offset) + written, part);
        if (done.result < 0) {
            if (errno == EPIPE && written == 0) {
                raise(SIGPIPE);
                errno = EPIPE;
            }
            return written > 0 ? static_cast<ssize_t>(written) : -1;
        }
        written += static_cast<std::size_t>(done.result);
        if (static_cast<std::size_t>(done.result) < part.size() || written == size) {
            return static_cast<ssize_t>(written);
        }
    }
}

namespace {

template <class Part> ssize_t with_parts(std::span<const iovec> parts, Part with_part) {
    ssize_t sum = 0;
    for (const auto &part : parts) {
        const auto size = part.iov_len == 0 ? 0 : with_part(part);
        if (size < 0) {
            return sum > 0 ? sum : -1;
        }
        sum += size;
        if (static_cast<std::size_t>(size) < part.iov_len) {
            break;
        }
    }
    return sum;
}

} // namespace

// The first part that has anything: what else a pipe has might have to be waited for.
ssize_t read_elsewhere(int fd, std::span<const iovec> parts) noexcept {
    struct stat about {};
    if (status_elsewhere(fd, &about) != 0) {
        return -1;
    }
    if (!S_ISREG(about.st_mode)) {
        const auto first = std::ranges::find_if(parts, [](const iovec &part) { return part.iov_len > 0; });
        parts =
            first == parts.end() ? parts.first(0) : parts.subspan(static_cast<std::size_t>(first - parts.begin()), 1);
    }
    return with_parts(parts, [fd](const iovec &part) { return read_elsewhere(fd, part.iov_base, part.iov_len); });
}

ssize_t write_elsewhere(int fd, std::span<const iovec> parts) noexcept {
    return with_parts(parts, [fd](const iovec &part) { return write_elsewhere(fd, part.iov_base, part.iov_len); });
}

off_t seek_elsewhere(int fd, off_t offset, int whence) noexcept {
    return act(fd, FileAction::seek, static_cast<std::uint64_t>(whence), static_cast<std::uint64_t>(offset)).result;
}

int status_elsewhere(int fd, struct stat *status) noexcept {
    PrivateRoom<struct stat> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    const auto done = act(fd, FileAction::status, 0, 0, {}, std::as_writable_bytes(std::span(&*room, 1)));
    if (done.result < 0 || done.answered != sizeof *status) {
        return done.result < 0 ? -1 : fail_with(EIO);
    }
    *status = *room;
    return 0;
}

int truncate_elsewhere(int fd, off_t size) noexcept {
    return static_cast<int>(act(fd, FileAction::truncate, 0, static_cast<std::uint64_t>(size)).result);
}

int sync_elsewhere(int fd, bool only_data) noexcept {
    return static_cast<int>(act(fd, only_data ? FileAction::sync_data : FileAction::sync).result);
}

int flags_elsewhere(int fd) noexcept {
    return static_cast<int>(act(fd, FileAction::get_flags).result);
}

int set_flags_elsewhere(int fd, int flags) noexcept {
    return static_cast<int>(act(fd, FileAction::set_flags, static_cast<std::uint64_t>(flags)).result);
}

} // namespace norma::rt
