// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/file_job.hpp"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace norma::rt {

namespace {

// A socket that seems ready may have nothing when it is asked: somebody else was first, or it has no peer whose queue
// it could watch.
template <class Attempt> ssize_t until_done(const FileJob &job, short event, bool waits, Attempt attempt) {
    for (bool waited = false;; waited = true) {
        const auto size = attempt();
        const bool try_again = size < 0 && errno == EAGAIN && waits && may_wait(job);
        if (!try_again) {
            return size;
        }
        if ((waited && !wait_a_moment(job)) || !wait_until(job, event)) {
            return -1;
        }
    }
}

} // namespace

bool is_stream(int socket) {
    int type = 0;
    socklen_t bytes = sizeof type;
    return ::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_STREAM;
}

// A message that is larger than what comes at once cannot be sent in parts, unless it is of a stream.
ssize_t send_message(FileJob &job) {
    const bool has_orders = job.action == FileAction::send;
    const int flags = has_orders ? static_cast<int>(job.args[0]) : 0;
    const auto address_bytes = has_orders ? job.args[1] : 0;
    const auto size = job.data.size() - address_bytes;
    if (job.args[2] > size && !is_stream(job.fd)) {
        errno = EMSGSIZE;
        return -1;
    }
    const auto *const to = address_bytes == 0 ? nullptr : reinterpret_cast<const sockaddr *>(job.data.data() + size);
    const int ours = (flags & ~MSG_ZEROCOPY) | MSG_DONTWAIT | MSG_NOSIGNAL;
    std::size_t sent = 0;
    do {
        const auto part = until_done(job, POLLOUT, (flags & MSG_DONTWAIT) == 0, [&] {
            return ::sendto(job.fd, job.data.data() + sent, size - sent, ours, to,
                            static_cast<socklen_t>(address_bytes));
        });
        if (part < 0) {
            return sent > 0 ? static_cast<ssize_t>(sent) : -1;
        }
        sent += static_cast<std::size_t>(part);
    } while (sent < size);
    return static_cast<ssize_t>(sent);
}

// The answer has the bytes, then the address they came from; how long that is, and what is said about the message.
ssize_t receive_message(FileJob &job) {
    const bool has_orders = job.action == FileAction::receive;
    if (!has_orders && job.args[0] == 0) {
        return 0;
    }
    const int flags = has_orders ? static_cast<int>(job.args[1]) : 0;
    const bool waits = (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) == 0;
    auto &bytes = job.reply.blob;
    bytes.resize(job.args[0]);
    sockaddr_storage from{};
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    const auto size = until_done(job, POLLIN, waits, [&] {
        message = {.msg_name = &from,
                   .msg_namelen = sizeof from,
                   .msg_iov = &part,
                   .msg_iovlen = 1,
                   .msg_control = nullptr,
                   .msg_controllen = 0,
                   .msg_flags = 0};
        return ::recvmsg(job.fd, &message, (flags & ~MSG_WAITALL) | MSG_DONTWAIT);
    });
    bytes.resize(std::min(bytes.size(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))));
    if (size >= 0 && has_orders) {
        const auto address = std::min<std::size_t>(message.msg_namelen, sizeof from);
        const auto *const raw = reinterpret_cast<const std::byte *>(&from);
        bytes.insert(bytes.end(), raw, raw + address);
        job.reply.vals[3] = address | std::uint64_t{static_cast<std::uint32_t>(message.msg_flags)} << 32;
    }
    return size;
}

} // namespace norma::rt
