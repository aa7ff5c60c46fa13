// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/channel.hpp"

#include "norma/mach.h"
#include "runtime/client/descriptors.hpp"
#include "runtime/client/job.hpp"
#include "runtime/packets.hpp"
#include "runtime/sockets.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace norma::rt {

namespace {

// Everything a system call reads or writes here is thread-local, never on the stack: the stack may be coherent memory,
// which the kernel cannot fetch for a system call where only user faults are served.
struct Channel {
    int fd = -1;
    RequestHead request{};
    std::byte *reply = nullptr; // kMaxPacketBytes, from the first call on
    void close() noexcept { close_private(std::exchange(fd, -1)); }
    ~Channel() {
        close();
        if (reply != nullptr) {
            munmap(reply, kMaxPacketBytes);
        }
    }
};
// A signal handler may make a call while its thread is in one, and be interrupted itself.
constexpr unsigned kNested = 4;
thread_local std::array<Channel, kNested> channels;
thread_local unsigned under_way = 0; // calls that this thread is in
thread_local Channel apart;          // of call_apart()

// Nothing that a signal handler must not do: it may have interrupted malloc().
bool open_channel(Channel &channel) noexcept {
    if (channel.reply == nullptr) {
        void *const room = mmap(nullptr, kMaxPacketBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED) {
            return false;
        }
        channel.reply = static_cast<std::byte *>(room);
    }
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return false;
    }
    channel.fd = ends[0];
    keep_private(channel.fd);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // a handler would tell in the middle of this
    tell(TaskMsg::channel, {}, {}, ends[1]);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::close(ends[1]);
    return true;
}

Answer exchange_packets(Channel &channel, std::span<const std::byte> blob, int fd) noexcept {
    if (send_packet(channel.fd, std::as_bytes(std::span(&channel.request, 1)), blob, fd) != 0) {
        return {.status = KERN_NODE_DOWN, .vals = {}, .blob = {}};
    }
    ssize_t size = 0;
    do {
        size = recv(channel.fd, channel.reply, kMaxPacketBytes, 0);
    } while (size < 0 && errno == EINTR);
    const auto reply =
        split_packet<ReplyHead>(std::span(channel.reply, static_cast<std::size_t>(std::max<ssize_t>(size, 0))));
    if (!reply) { // the node server is gone, and this process is about to be
        return {.status = KERN_NODE_DOWN, .vals = {}, .blob = {}};
    }
    const auto &[head, bytes] = *reply;
    Answer answer{.status = head.status, .vals = {}, .blob = bytes};
    std::copy(std::begin(head.vals), std::end(head.vals), answer.vals.begin());
    return answer;
}

Answer ask(Channel &channel, Op op, std::uint32_t port, const std::array<std::uint64_t, kOpArgs> &args,
           std::span<const std::byte> blob, int fd) noexcept {
    if (channel.fd < 0 && !open_channel(channel)) {
        return {.status = KERN_RESOURCE_SHORTAGE, .vals = {}, .blob = {}};
    }
    channel.request = {.op = static_cast<std::uint32_t>(op),
                       .port = port,
                       .thread = static_cast<std::uint64_t>(gettid()),
                       .args = {args[0], args[1], args[2], args[3], args[4], args[5]}};
    return exchange_packets(channel, blob, fd);
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
                              std::span<const std::byte> blob, int fd, std::span<std::byte> answered) noexcept {
    if (!job.active || under_way == kNested) {
        return {.status = job.active ? KERN_RESOURCE_SHORTAGE : KERN_FAILURE, .vals = {}, .blob = {}};
    }
    const auto answer = ask(channels[under_way++], op, port, args, blob, fd);
    std::copy_n(answer.blob.begin(), std::min(answered.size(), answer.blob.size()), answered.begin());
    --under_way;
    return answer;
}

Answer call_apart(Op op, const std::array<std::uint64_t, kOpArgs> &args, std::span<const std::byte> blob) noexcept {
    return ask(apart, op, kNameNull, args, blob, -1);
}

[[gnu::noinline]] void prepare_calls() noexcept {
    channels[0].request = {};
}

[[gnu::noinline]] void forget_calls() noexcept {
    while (under_way > 0) {
        channels[--under_way].close(); // the answer must not be taken for that of another call
    }
}

} // namespace norma::rt
