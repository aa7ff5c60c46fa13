// SPDX-License-Identifier: BSD-3-Clause
// System calls on coherent memory that another node has.
#include "tests/system/app.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

using systest::shared_bytes;
using systest::spawn;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kBytes = 5 * kPage + 123; // neither page-aligned nor a whole number of pages

char pattern(std::size_t i, int seed) {
    return static_cast<char>((i * 31 + static_cast<std::size_t>(seed)) % 251);
}

void check_pattern(const char *bytes, std::size_t size, int seed) {
    for (std::size_t i = 0; i < size; ++i) {
        CHECK_EQ(int{pattern(i, seed)}, int{bytes[i]});
    }
}

// The other node is made the one that has the pages, with the pattern in them.
void fill_elsewhere(char *bytes, int seed) {
    auto child = spawn(1, [=] {
        for (std::size_t i = 0; i < kBytes; ++i) {
            bytes[i] = pattern(i, seed);
        }
    });
    JOIN(child);
}

// And what has been read into the pages here is seen there.
void check_elsewhere(char *bytes, int seed) {
    auto child = spawn(1, [=] { check_pattern(bytes, kBytes, seed); });
    JOIN(child);
}

void touch(char *bytes, bool wanted) {
    for (std::size_t i = 0; wanted && i < kBytes; i += kPage / 2) {
        auto *byte = const_cast<volatile char *>(bytes + i);
        *byte = *byte;
    }
    if (wanted) {
        auto *byte = const_cast<volatile char *>(bytes + kBytes - 1);
        *byte = *byte;
    }
}

constexpr auto kAll = static_cast<ssize_t>(kBytes);

struct Call {
    const char *name;
    ssize_t (*out)(int fd, const char *bytes);
    ssize_t (*in)(int fd, char *bytes);
};

std::array<iovec, 3> three_parts(const char *bytes) {
    auto *base = const_cast<char *>(bytes);
    return {{{base, 100}, {base + 100, kPage}, {base + 100 + kPage, kBytes - kPage - 100}}};
}

const std::array kFileCalls{
    Call{"write and read", [](int fd, const char *bytes) { return ::write(fd, bytes, kBytes); },
         [](int fd, char *bytes) { return ::lseek(fd, 0, SEEK_SET) == 0 ? ::read(fd, bytes, kBytes) : -1; }},
    Call{"pwrite and pread", [](int fd, const char *bytes) { return ::pwrite(fd, bytes, kBytes, 0); },
         [](int fd, char *bytes) { return ::pread(fd, bytes, kBytes, 0); }},
    Call{"writev and readv",
         [](int fd, const char *bytes) {
             return ::lseek(fd, 0, SEEK_SET) == 0 ? ::writev(fd, three_parts(bytes).data(), 3) : -1;
         },
         [](int fd, char *bytes) {
             return ::lseek(fd, 0, SEEK_SET) == 0 ? ::readv(fd, three_parts(bytes).data(), 3) : -1;
         }},
};

// All in one: the other node writes, this one hands it to the kernel, has it filled by the kernel, the other one reads.
template <class Out, class In> void there_and_back(char *source, char *target, int seed, bool touched, Out out, In in) {
    fill_elsewhere(source, seed);
    fill_elsewhere(target, seed + 1);
    touch(source, touched);
    CHECK_EQ(kAll, out(source));
    touch(target, touched);
    CHECK_EQ(kAll, in(target));
    check_pattern(target, kBytes, seed);
    check_elsewhere(target, seed);
}

} // namespace

// syscalls [touched]: the buffers are touched before each call, as an ordinary user must do.
SYSTEM_CASE(syscalls) {
    const bool touched = !args.empty() && std::string_view(args[0]) == "touched";
    auto *source = reinterpret_cast<char *>(shared_bytes(kBytes + kPage)) + 77;
    auto *target = reinterpret_cast<char *>(shared_bytes(kBytes + kPage)) + 1001;
    int seed = 0;
    char path[] = "/tmp/system_app.XXXXXX";
    for (const auto &call : kFileCalls) {
        const int fd = ::mkstemp(path);
        CHECK(fd >= 0);
        ::unlink(path);
        seed += 10;
        there_and_back(
            source, target, seed, touched, [&](const char *bytes) { return call.out(fd, bytes); },
            [&](char *bytes) { return call.in(fd, bytes); });
        ::close(fd);
        std::strcpy(path, "/tmp/system_app.XXXXXX");
    }
    int ends[2];
    CHECK_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    const auto message = [](std::array<iovec, 3> &parts) {
        msghdr header{};
        header.msg_iov = parts.data();
        header.msg_iovlen = parts.size();
        return header;
    };
    there_and_back(
        source, target, 90, touched,
        [&](const char *bytes) {
            auto parts = three_parts(bytes);
            const auto header = message(parts);
            return ::sendmsg(ends[0], &header, 0);
        },
        [&](char *bytes) {
            auto parts = three_parts(bytes);
            auto header = message(parts);
            return ::recvmsg(ends[1], &header, MSG_WAITALL);
        });
    return 0;
}

// A system call on memory that is not there any more, or may not be written, fails as it does everywhere.
SYSTEM_CASE(syscalls_wrong_memory) {
    int pipe_ends[2];
    CHECK_EQ(0, ::pipe(pipe_ends));
    auto *bytes = shared_bytes(kPage);
    bytes[0] = std::byte{1};
    CHECK_KERN(KERN_SUCCESS, vm_protect(mach_task_self(), systest::address_of(bytes), kPage, FALSE, VM_PROT_READ));
    CHECK_EQ(ssize_t{1}, ::write(pipe_ends[1], bytes, 1));
    CHECK_EQ(ssize_t{-1}, ::read(pipe_ends[0], bytes, 1));
    CHECK_EQ(EFAULT, errno);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), systest::address_of(bytes), kPage));
    CHECK_EQ(ssize_t{-1}, ::write(pipe_ends[1], bytes, 1));
    CHECK_EQ(EFAULT, errno);
    return 0;
}
