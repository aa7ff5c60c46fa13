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

std::span<const iovec> parts_of(const msghdr &message) {
    return {message.msg_iov, message.msg_iovlen};
}

bool has_parts(const msghdr &message) {
    return message.msg_iovlen > IOV_MAX ? fail_with(EMSGSIZE) == 0 : are_parts(parts_of(message));
}

} // namespace

// A stream takes it piece by piece, anything else a message in one piece or not at all.
ssize_t send_elsewhere(int fd, const msghdr &message, int flags) noexcept {
    if (message.msg_controllen > 0) {
        return fail_with(EOPNOTSUPP);
    }
    if (message.msg_namelen > kMostAddressBytes) {
        return fail_with(EINVAL);
    }
    if (!has_parts(message)) {
        return -1;
    }
    Parts parts(parts_of(message));
    PrivateRoom<Piece> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    const std::size_t address = message.msg_name == nullptr ? 0 : message.msg_namelen;
    std::size_t sent = 0;
    for (;;) {
        const auto piece = std::span(*room);
        const auto bytes = parts.take(piece.first(kFileBytesAtOnce));
        std::copy_n(static_cast<const std::byte *>(message.msg_name), address, piece.begin() + bytes);
        const auto outcome = reach(fd,
                                   {.action = FileAction::send,
                                    .first = static_cast<std::uint64_t>(flags),
                                    .second = address,
                                    .third = parts.left()},
                                   piece.first(bytes + address));
        if (outcome.result < 0) {
            if (errno == EPIPE && sent == 0 && (flags & MSG_NOSIGNAL) == 0) {
                raise(SIGPIPE);
                errno = EPIPE;
            }
            return sent > 0 ? static_cast<ssize_t>(sent) : -1;
        }
        const auto size = static_cast<std::size_t>(outcome.result);
        parts.drop(size);
        sent += size;
        if (size < bytes || parts.left() == 0) {
            return static_cast<ssize_t>(sent);
        }
    }
}

// Of a message that is larger than a piece the rest is lost, as if there had been no more room for it.
ssize_t receive_elsewhere(int fd, msghdr &message, int flags) noexcept {
    if (!has_parts(message)) {
        return -1;
    }
    Parts parts(parts_of(message));
    PrivateRoom<Piece> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    const bool all = (flags & MSG_WAITALL) != 0 && (flags & MSG_PEEK) == 0;
    std::size_t had = 0;
    for (;;) {
        const auto wanted = std::min(parts.left(), kFileBytesAtOnce);
        const auto outcome =
            reach(fd, {.action = FileAction::receive, .first = wanted, .second = static_cast<std::uint64_t>(flags)}, {},
                  std::span(*room).first(wanted + kMostAddressBytes));
        if (outcome.result < 0) {
            return had > 0 ? static_cast<ssize_t>(had) : -1;
        }
        const auto address = std::min<std::size_t>(outcome.more & 0xffff'ffff, outcome.answered);
        const auto bytes = outcome.answered - address;
        parts.put(std::span(*room).first(bytes));
        had += bytes;
        const bool goes_on = all && outcome.kind == FileKind::stream_socket && bytes > 0 && parts.left() > 0;
        if (goes_on) {
            continue;
        }
        if (message.msg_name != nullptr) {
            std::copy_n(std::span(*room).begin() + bytes, std::min<std::size_t>(address, message.msg_namelen),
                        static_cast<std::byte *>(message.msg_name));
            message.msg_namelen = static_cast<socklen_t>(address);
        }
        message.msg_controllen = 0;
        message.msg_flags = static_cast<int>(outcome.more >> 32);
        return outcome.kind == FileKind::stream_socket ? static_cast<ssize_t>(had) : outcome.result;
    }
}

int shut_down_elsewhere(int fd, int how) noexcept {
    return static_cast<int>(
        reach(fd, {.action = FileAction::shut_down, .first = static_cast<std::uint64_t>(how)}).result);
}

} // namespace norma::rt
