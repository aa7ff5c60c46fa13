// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/channel.hpp"

#include "norma/mach.h"
#include "runtime/client/job.hpp"
#include "runtime/packets.hpp"
#include "runtime/sockets.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace norma::rt {

namespace {

// Everything a system call reads or writes here is thread-local, never on the stack: the stack may be coherent memory,
// which the kernel cannot fetch for a system call where only user faults are served.
struct Channel {
    int fd = -1;
    bool asked = false; // and not answered
    RequestHead request{};
    std::unique_ptr<std::byte[]> reply; // kMaxPacketBytes, from the first call on
    ~Channel() { close_if_open(fd); }
    // The thread was taken out of its last call (thread_set_state): the answer to that must not be taken for another.
    void leave_old_call() noexcept {
        if (std::exchange(asked, false)) {
            close_if_open(std::exchange(fd, -1));
        }
    }
};
thread_local Channel channel;

bool open_channel() noexcept {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return false;
    }
    channel.reply.reset(new (std::nothrow) std::byte[kMaxPacketBytes]);
    if (channel.reply == nullptr) {
        ::close(ends[0]);
        ::close(ends[1]);
        return false;
    }
    channel.fd = ends[0];
    tell(TaskMsg::channel, {}, {}, ends[1]);
    ::close(ends[1]);
    return true;
}

} // namespace

std::int32_t port_call(Op op, std::uint32_t port, std::array<std::uint64_t, kOpArgs> args,
                       std::uint32_t *made) noexcept {
    if (made == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = call(op, port, args);
    if (answer.status == KERN_SUCCESS) {
        *made = static_cast<std::uint32_t>(answer.vals[0]);
    }
    return answer.status;
}

void tell(TaskMsg type, std::array<std::uint64_t, 3> args, std::span<const std::byte> blob, int fd) noexcept {
    static thread_local TaskMsgHead head;
    head = {.type = static_cast<std::uint32_t>(type), .reserved = 0, .args = {args[0], args[1], args[2]}};
    send_packet(job.control, std::as_bytes(std::span(&head, 1)), blob, fd);
}

// Not inlined: a thread that teleports itself goes on in another process, where the address of everything thread-local
// is another one, and must not be remembered across that.
[[gnu::noinline]] Answer call(Op op, std::uint32_t port, std::array<std::uint64_t, kOpArgs> args,
                              std::span<const std::byte> blob) noexcept {
    channel.leave_old_call();
    if (!job.active || (channel.fd < 0 && !open_channel())) {
        return {.status = job.active ? KERN_RESOURCE_SHORTAGE : KERN_FAILURE, .vals = {}, .blob = {}};
    }
    channel.request = {.op = static_cast<std::uint32_t>(op),
                       .port = port,
                       .thread = static_cast<std::uint64_t>(gettid()),
                       .args = {args[0], args[1], args[2], args[3], args[4], args[5]}};
    channel.asked = true;
    if (send_packet(channel.fd, std::as_bytes(std::span(&channel.request, 1)), blob) != 0) {
        return {.status = KERN_NODE_DOWN, .vals = {}, .blob = {}};
    }
    ssize_t size = 0;
    do {
        size = recv(channel.fd, channel.reply.get(), kMaxPacketBytes, 0);
    } while (size < 0 && errno == EINTR);
    channel.asked = false;
    const auto reply =
        split_packet<ReplyHead>(std::span(channel.reply.get(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))));
    if (!reply) { // the node server is gone, and this process is about to be
        return {.status = KERN_NODE_DOWN, .vals = {}, .blob = {}};
    }
    const auto &[head, bytes] = *reply;
    Answer answer{.status = head.status, .vals = {}, .blob = bytes};
    std::copy(std::begin(head.vals), std::end(head.vals), answer.vals.begin());
    return answer;
}

} // namespace norma::rt
