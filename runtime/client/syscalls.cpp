// SPDX-License-Identifier: BSD-3-Clause
// System calls on coherent memory where the kernel serves user faults only (FaultMode::user_only): there a call whose
// buffer is not here fails with EFAULT. These functions stand in front of the C library's; after such a failure they
// fetch the buffer by touching it and call again. In the full mode, and for other buffers, they add a comparison.
//
// A page may be taken away again between the touch and the call, so it is tried many times, but not for ever. A message
// of a datagram socket would be lost with the failed call, so receiving touches first. Not covered: calls that the C
// library makes by itself (stdio, for example), and everything not listed here.
#include "norma/norma.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/errors.hpp"
#include "runtime/client/files_elsewhere.hpp"
#include "runtime/client/interposed.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/shared_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

using norma::rt::is_elsewhere;
using norma::rt::job;
using norma::rt::next;

constexpr std::uint64_t kPage = 4096;
constexpr int kTries = 1000;

enum class Use : std::uint8_t { read_by_kernel, written_by_kernel };

bool concerned(const void *buffer, std::size_t size) {
    return job.fault_mode == norma::dsm::FaultMode::user_only && size > 0 &&
           (job.is_coherent(buffer) || job.is_coherent(static_cast<const char *>(buffer) + size - 1));
}

// Fetches the pages of a buffer. False if the program may not use all of it so: then the kernel's answer stands.
bool fetch(const void *buffer, std::size_t size, Use use) {
    const auto start = reinterpret_cast<std::uint64_t>(buffer);
    const auto wanted = use == Use::written_by_kernel ? std::uint32_t{VM_PROT_DEFAULT} : std::uint32_t{VM_PROT_READ};
    for (auto checked = start; checked < start + size;) {
        const auto answer = norma::rt::call(norma::rt::Op::vm_region, mach_task_self(), {checked});
        norma::rt::RegionInfo region;
        if (answer.status != KERN_SUCCESS || answer.blob.size() != sizeof region) {
            return false;
        }
        std::memcpy(&region, answer.blob.data(), sizeof region);
        if (region.address > checked || (region.protection & wanted) != wanted) {
            return false;
        }
        checked = region.address + region.bytes;
    }
    for (auto page = start & ~(kPage - 1); page < start + size; page += kPage) {
        auto *byte = reinterpret_cast<unsigned char *>(std::max(page, start));
        if (use == Use::written_by_kernel) {
            __atomic_fetch_or(byte, 0, __ATOMIC_RELAXED);
        } else {
            static_cast<void>(*static_cast<volatile unsigned char *>(byte));
        }
    }
    return true;
}

bool fetch_all(std::span<const iovec> parts, Use use) {
    return std::all_of(parts.begin(), parts.end(), [use](const iovec &part) {
        return !concerned(part.iov_base, part.iov_len) || fetch(part.iov_base, part.iov_len, use);
    });
}

bool any_concerned(std::span<const iovec> parts) {
    return std::any_of(parts.begin(), parts.end(),
                       [](const iovec &part) { return concerned(part.iov_base, part.iov_len); });
}

template <class Call> ssize_t with_parts(std::span<const iovec> parts, Use use, bool touch_first, Call call) {
    if (!any_concerned(parts)) {
        return call();
    }
    if (touch_first && !fetch_all(parts, use)) {
        errno = EFAULT;
        return -1;
    }
    for (int tries = 0;; ++tries) {
        const ssize_t result = call();
        if (result >= 0 || errno != EFAULT || tries == kTries || !fetch_all(parts, use)) {
            return result;
        }
    }
}

template <class Call> ssize_t with_buffer(const void *buffer, std::size_t size, Use use, bool touch_first, Call call) {
    const iovec part{const_cast<void *>(buffer), size};
    return with_parts(std::span(&part, 1), use, touch_first, call);
}

std::span<const iovec> list(const iovec *parts, int count) {
    return {parts, count > 0 ? static_cast<std::size_t>(count) : 0};
}

// Too many, if the count is negative: what is elsewhere is checked there.
std::span<const iovec> all(const iovec *parts, int count) {
    return {parts, static_cast<std::size_t>(count)};
}

// EOPNOTSUPP: flags, which are of the kernel's cache of a file.
int check_at(off_t offset, int flags) {
    if (flags != 0) {
        return norma::rt::fail_with(EOPNOTSUPP);
    }
    return offset < norma::rt::kCurrentOffset ? norma::rt::fail_with(EINVAL) : 0;
}

msghdr message_of(const iovec &part, const void *address, socklen_t bytes) {
    msghdr message{};
    message.msg_name = const_cast<void *>(address);
    message.msg_namelen = bytes;
    message.msg_iov = const_cast<iovec *>(&part);
    message.msg_iovlen = 1;
    return message;
}

} // namespace

extern "C" {

NORMA_EXPORT ssize_t read(int fd, void *buffer, size_t size) {
    if (is_elsewhere(fd)) {
        return norma::rt::read_elsewhere(fd, buffer, size);
    }
    static const auto real = next<ssize_t(int, void *, size_t)>("read");
    return with_buffer(buffer, size, Use::written_by_kernel, false, [&] { return real(fd, buffer, size); });
}

NORMA_EXPORT ssize_t write(int fd, const void *buffer, size_t size) {
    if (is_elsewhere(fd)) {
        return norma::rt::write_elsewhere(fd, buffer, size);
    }
    static const auto real = next<ssize_t(int, const void *, size_t)>("write");
    return with_buffer(buffer, size, Use::read_by_kernel, false, [&] { return real(fd, buffer, size); });
}

NORMA_EXPORT ssize_t pread(int fd, void *buffer, size_t size, off_t offset) {
    if (is_elsewhere(fd)) {
        return offset < 0 ? norma::rt::fail_with(EINVAL) : norma::rt::read_elsewhere(fd, buffer, size, offset);
    }
    static const auto real = next<ssize_t(int, void *, size_t, off_t)>("pread");
    return with_buffer(buffer, size, Use::written_by_kernel, false, [&] { return real(fd, buffer, size, offset); });
}

NORMA_EXPORT ssize_t pwrite(int fd, const void *buffer, size_t size, off_t offset) {
    if (is_elsewhere(fd)) {
        return offset < 0 ? norma::rt::fail_with(EINVAL) : norma::rt::write_elsewhere(fd, buffer, size, offset);
    }
    static const auto real = next<ssize_t(int, const void *, size_t, off_t)>("pwrite");
    return with_buffer(buffer, size, Use::read_by_kernel, false, [&] { return real(fd, buffer, size, offset); });
}

NORMA_EXPORT ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset) {
    return pread(fd, buffer, size, offset);
}

NORMA_EXPORT ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset) {
    return pwrite(fd, buffer, size, offset);
}

// What programs call that were compiled with _FORTIFY_SOURCE. Too large a size ends the program there.
NORMA_EXPORT ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room) {
    static const auto real = next<ssize_t(int, void *, size_t, size_t)>("__read_chk");
    return size > room ? real(fd, buffer, size, room) : read(fd, buffer, size);
}

NORMA_EXPORT ssize_t __pread_chk(int fd, void *buffer, size_t size, off_t offset, size_t room) {
    static const auto real = next<ssize_t(int, void *, size_t, off_t, size_t)>("__pread_chk");
    return size > room ? real(fd, buffer, size, offset, room) : pread(fd, buffer, size, offset);
}

NORMA_EXPORT ssize_t __pread64_chk(int fd, void *buffer, size_t size, off64_t offset, size_t room) {
    return __pread_chk(fd, buffer, size, offset, room);
}

NORMA_EXPORT ssize_t readv(int fd, const iovec *parts, int count) {
    if (is_elsewhere(fd)) {
        return norma::rt::read_elsewhere(fd, all(parts, count));
    }
    static const auto real = next<ssize_t(int, const iovec *, int)>("readv");
    return with_parts(list(parts, count), Use::written_by_kernel, false, [&] { return real(fd, parts, count); });
}

NORMA_EXPORT ssize_t writev(int fd, const iovec *parts, int count) {
    if (is_elsewhere(fd)) {
        return norma::rt::write_elsewhere(fd, all(parts, count));
    }
    static const auto real = next<ssize_t(int, const iovec *, int)>("writev");
    return with_parts(list(parts, count), Use::read_by_kernel, false, [&] { return real(fd, parts, count); });
}

NORMA_EXPORT ssize_t preadv2(int fd, const iovec *parts, int count, off_t offset, int flags) {
    if (is_elsewhere(fd)) {
        return check_at(offset, flags) != 0 ? -1 : norma::rt::read_elsewhere(fd, all(parts, count), offset);
    }
    static const auto real = next<ssize_t(int, const iovec *, int, off_t, int)>("preadv2");
    return with_parts(list(parts, count), Use::written_by_kernel, false,
                      [&] { return real(fd, parts, count, offset, flags); });
}

NORMA_EXPORT ssize_t pwritev2(int fd, const iovec *parts, int count, off_t offset, int flags) {
    if (is_elsewhere(fd)) {
        return check_at(offset, flags) != 0 ? -1 : norma::rt::write_elsewhere(fd, all(parts, count), offset);
    }
    static const auto real = next<ssize_t(int, const iovec *, int, off_t, int)>("pwritev2");
    return with_parts(list(parts, count), Use::read_by_kernel, false,
                      [&] { return real(fd, parts, count, offset, flags); });
}

NORMA_EXPORT ssize_t preadv(int fd, const iovec *parts, int count, off_t offset) {
    return offset < 0 ? norma::rt::fail_with(EINVAL) : preadv2(fd, parts, count, offset, 0);
}

NORMA_EXPORT ssize_t pwritev(int fd, const iovec *parts, int count, off_t offset) {
    return offset < 0 ? norma::rt::fail_with(EINVAL) : pwritev2(fd, parts, count, offset, 0);
}

NORMA_EXPORT ssize_t preadv64(int fd, const iovec *parts, int count, off64_t offset) __attribute__((alias("preadv")));
NORMA_EXPORT ssize_t pwritev64(int fd, const iovec *parts, int count, off64_t offset) __attribute__((alias("pwritev")));
NORMA_EXPORT ssize_t preadv64v2(int fd, const iovec *parts, int count, off64_t offset, int flags)
    __attribute__((alias("preadv2")));
NORMA_EXPORT ssize_t pwritev64v2(int fd, const iovec *parts, int count, off64_t offset, int flags)
    __attribute__((alias("pwritev2")));

NORMA_EXPORT ssize_t send(int fd, const void *buffer, size_t size, int flags) {
    if (is_elsewhere(fd)) {
        return sendto(fd, buffer, size, flags, nullptr, 0);
    }
    static const auto real = next<ssize_t(int, const void *, size_t, int)>("send");
    return with_buffer(buffer, size, Use::read_by_kernel, false, [&] { return real(fd, buffer, size, flags); });
}

NORMA_EXPORT ssize_t recv(int fd, void *buffer, size_t size, int flags) {
    if (is_elsewhere(fd)) {
        return recvfrom(fd, buffer, size, flags, nullptr, nullptr);
    }
    static const auto real = next<ssize_t(int, void *, size_t, int)>("recv");
    return with_buffer(buffer, size, Use::written_by_kernel, true, [&] { return real(fd, buffer, size, flags); });
}

NORMA_EXPORT ssize_t sendto(int fd, const void *buffer, size_t size, int flags, const sockaddr *to, socklen_t bytes) {
    if (is_elsewhere(fd)) {
        const iovec part{const_cast<void *>(buffer), size};
        return norma::rt::send_elsewhere(fd, message_of(part, to, to == nullptr ? 0 : bytes), flags);
    }
    static const auto real = next<ssize_t(int, const void *, size_t, int, const sockaddr *, socklen_t)>("sendto");
    return with_buffer(buffer, size, Use::read_by_kernel, false,
                       [&] { return real(fd, buffer, size, flags, to, bytes); });
}

NORMA_EXPORT ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, sockaddr *from, socklen_t *bytes) {
    if (is_elsewhere(fd)) {
        const iovec part{buffer, size};
        auto message = message_of(part, from, from == nullptr ? 0 : *bytes);
        const auto result = norma::rt::receive_elsewhere(fd, message, flags);
        if (result >= 0 && from != nullptr) {
            *bytes = message.msg_namelen;
        }
        return result;
    }
    static const auto real = next<ssize_t(int, void *, size_t, int, sockaddr *, socklen_t *)>("recvfrom");
    return with_buffer(buffer, size, Use::written_by_kernel, true,
                       [&] { return real(fd, buffer, size, flags, from, bytes); });
}

NORMA_EXPORT ssize_t sendmsg(int fd, const msghdr *message, int flags) {
    if (is_elsewhere(fd)) {
        return norma::rt::send_elsewhere(fd, *message, flags);
    }
    static const auto real = next<ssize_t(int, const msghdr *, int)>("sendmsg");
    return with_parts({message->msg_iov, message->msg_iovlen}, Use::read_by_kernel, false,
                      [&] { return real(fd, message, flags); });
}

NORMA_EXPORT ssize_t recvmsg(int fd, msghdr *message, int flags) {
    if (is_elsewhere(fd)) {
        return norma::rt::receive_elsewhere(fd, *message, flags);
    }
    static const auto real = next<ssize_t(int, msghdr *, int)>("recvmsg");
    return with_parts({message->msg_iov, message->msg_iovlen}, Use::written_by_kernel, true,
                      [&] { return real(fd, message, flags); });
}
}
