// SPDX-License-Identifier: BSD-3-Clause
// Calls on files that are open on another node, which must not differ from the same calls where they are open.
#include "tests/clone/open_files.hpp"

#include <climits>
#include <cstring>
#include <linux/magic.h>
#include <string>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <vector>

namespace {

using clonetest::child;
using clonetest::digits;
using clonetest::end_of;
using clonetest::here_and_elsewhere;
using clonetest::kSharing;

constexpr std::size_t kLarge = 100'000; // more than goes at once

std::vector<char> pattern(std::size_t size) {
    std::vector<char> bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<char>(i * 7 / 5);
    }
    return bytes;
}

void two_sockets(int type, std::array<int, 2> &ends) {
    CHECK_EQ(0, socketpair(AF_UNIX, type, 0, ends.data()));
}

void close_both(const std::array<int, 2> &ends) {
    CHECK_EQ(0, close(ends[0]));
    CHECK_EQ(0, close(ends[1]));
}

SYSTEM_CASE(parts_of_files) {
    const int fd = digits();
    const int empty = memfd_create("large", 0);
    std::array<int, 2> ends{};
    CHECK_EQ(0, pipe(ends.data()));
    here_and_elsewhere([=] {
        std::array<char, 8> one{};
        std::array<char, 8> two{};
        const std::array parts{iovec{one.data(), 3}, iovec{nullptr, 0}, iovec{two.data(), 4}};
        CHECK_EQ(7, preadv(fd, parts.data(), 3, 2));
        CHECK_EQ(std::string("234"), std::string(one.data()));
        CHECK_EQ(std::string("5678"), std::string(two.data()));
        CHECK_EQ(2, preadv2(fd, parts.data(), 3, 8, 0));
        CHECK_EQ(off_t{0}, lseek(fd, 0, SEEK_CUR));
        CHECK_EQ(7, preadv2(fd, parts.data(), 3, -1, 0)); // from the common offset
        CHECK_EQ(off_t{7}, lseek(fd, 0, SEEK_SET) + 7);
        std::memcpy(one.data(), "234", 3);
        std::memcpy(two.data(), "5678", 4);
        CHECK_EQ(7, pwritev(fd, parts.data(), 3, 2));
        CHECK_EQ(7, pwritev2(fd, parts.data(), 3, 2, 0));
        const volatile int too_few = -1; // the compiler would warn
        const volatile int too_many = IOV_MAX + 1;
        CHECK_FAILS(EINVAL, preadv(fd, parts.data(), too_few, 0));
        CHECK_FAILS(EINVAL, pwritev(fd, parts.data(), too_many, 0));
        CHECK_FAILS(EINVAL, preadv(fd, parts.data(), 1, -1));
        CHECK_FAILS(EINVAL, preadv2(fd, parts.data(), 1, -2, 0));
        CHECK_FAILS(EOPNOTSUPP, preadv2(fd, parts.data(), 1, 0, 1 << 30));
        CHECK_FAILS(EINVAL, readv(fd, parts.data(), too_few));
        CHECK_FAILS(EINVAL, writev(fd, parts.data(), too_many));
        const iovec too_long{one.data(), std::size_t{SSIZE_MAX} + 1};
        CHECK_FAILS(EINVAL, readv(fd, &too_long, 1));
        const volatile auto negative = static_cast<std::size_t>(-1);
        CHECK_FAILS(EFAULT, pread(fd, one.data(), negative, 0));
        CHECK_FAILS(EFAULT, write(fd, one.data(), negative));
        CHECK_FAILS(EBADF, preadv(900, parts.data(), 1, 0)); // which nobody opens
        CHECK_EQ(0, readv(fd, parts.data(), 0));
        CHECK_FAILS(ESPIPE, preadv(ends[0], parts.data(), 1, 0));
        CHECK_EQ(0, read(ends[0], one.data(), 0)); // which waits for nothing
        CHECK_FAILS(EBADF, write(ends[0], "x", 1));
        CHECK_FAILS(EBADF, read(ends[1], one.data(), 1));
        CHECK_EQ(5, writev(ends[1], std::array{iovec{one.data(), 2}, iovec{two.data(), 3}}.data(), 2));
        CHECK_EQ(5, readv(ends[0], std::array{iovec{two.data(), 1}, iovec{one.data(), 7}}.data(), 2));
        CHECK_EQ(std::string("3567"), std::string(one.data(), 4));

        // More than goes at once, in parts that end anywhere.
        auto bytes = pattern(kLarge);
        CHECK_EQ(ssize_t{kLarge},
                 pwritev(empty, std::array{iovec{bytes.data(), 50'001}, iovec{&bytes[50'001], 49'999}}.data(), 2, 0));
        std::vector<char> got(kLarge);
        CHECK_EQ(ssize_t{kLarge},
                 preadv(empty, std::array{iovec{got.data(), 33'333}, iovec{&got[33'333], 66'667}}.data(), 2, 0));
        CHECK(got == bytes);
    });
    close_both(ends);
    return 0;
}

SYSTEM_CASE(space_of_files) {
    const int fd = digits();
    std::array<int, 2> ends{};
    CHECK_EQ(0, pipe(ends.data()));
    here_and_elsewhere([=] {
        struct stat about {};
        CHECK_EQ(0, ftruncate(fd, 10));
        CHECK_EQ(0, fallocate(fd, 0, 8, 5000));
        CHECK_EQ(0, fstat(fd, &about));
        CHECK_EQ(off_t{5008}, about.st_size);
        CHECK_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4));
        std::array<char, 6> text{};
        CHECK_EQ(6, pread(fd, text.data(), 6, 0));
        CHECK_EQ(0, std::memcmp(text.data(),
                                "\0\0\0\0"
                                "45",
                                6));
        CHECK_EQ(4, pwrite(fd, "0123", 4, 0));
        errno = 0;
        CHECK_EQ(0, posix_fallocate(fd, 0, 6000));
        CHECK_EQ(EINVAL, posix_fallocate(fd, -1, 10));
        CHECK_EQ(EINVAL, posix_fallocate(fd, 0, 0));
        CHECK_EQ(EBADF, posix_fallocate(ends[0], 0, 1)); // not for writing
        CHECK_EQ(ESPIPE, posix_fallocate(ends[1], 0, 1));
        CHECK_EQ(0, errno);
        CHECK_FAILS(EINVAL, fallocate(fd, 0, 0, -5));
        CHECK_FAILS(EOPNOTSUPP, fallocate(fd, 1 << 20, 0, 5));
        CHECK_FAILS(EINVAL, ftruncate(fd, -1));
        struct statfs system {};
        CHECK_EQ(0, fstatfs(fd, &system));
        CHECK_EQ(long{TMPFS_MAGIC}, long{system.f_type});
        errno = 0;
        CHECK_EQ(0, isatty(fd));
        CHECK_EQ(ENOTTY, errno);
    });
    close_both(ends);
    return 0;
}

SYSTEM_CASE(streams_of_bytes) {
    std::array<int, 2> ends{};
    two_sockets(SOCK_STREAM, ends);
    const int file = digits();
    auto *received = new std::atomic<bool>;
    here_and_elsewhere([=] {
        *received = false;
        std::array<char, 16> text{};
        CHECK_FAILS(EAGAIN, recv(ends[0], text.data(), 1, MSG_DONTWAIT));
        CHECK_EQ(5, send(ends[1], "hello", 5, 0));
        CHECK_EQ(5, recv(ends[0], text.data(), text.size(), MSG_PEEK));
        CHECK_EQ(2, recv(ends[0], text.data(), 2, 0));
        CHECK_EQ(3, read(ends[0], text.data() + 2, 14));
        CHECK_EQ(std::string("hello"), std::string(text.data()));
        // As much as is wanted, from a task that sends it bit by bit and more than goes into the socket.
        const int sender = child(norma::this_node(), kSharing, [=] {
            auto bytes = pattern(10 * kLarge);
            CHECK_EQ(1, send(ends[1], bytes.data(), 1, 0));
            msghdr message{};
            std::array parts{iovec{&bytes[1], kLarge}, iovec{&bytes[1 + kLarge], 9 * kLarge - 1}};
            message.msg_iov = parts.data();
            message.msg_iovlen = 2;
            CHECK_EQ(static_cast<ssize_t>(10 * kLarge - 1), sendmsg(ends[1], &message, 0));
            CHECK_SOON(received->load()); // its exit signal may end the receiver's call early
            return 0;
        });
        std::vector<char> got(10 * kLarge);
        CHECK_EQ(static_cast<ssize_t>(10 * kLarge), recv(ends[0], got.data(), got.size(), MSG_WAITALL));
        *received = true;
        CHECK(got == pattern(10 * kLarge));
        CHECK_EQ(0, end_of(sender));
        // What does not fit, and what is not allowed.
        ssize_t sent = 0;
        while ((sent = send(ends[1], got.data(), got.size(), MSG_DONTWAIT)) > 0) {
        }
        CHECK_EQ(EAGAIN, errno);
        while (recv(ends[0], got.data(), got.size(), MSG_DONTWAIT) > 0) {
        }
        CHECK_EQ(EAGAIN, errno);
        CHECK_FAILS(ENOTSOCK, send(file, "x", 1, 0));
        CHECK_FAILS(ENOTSOCK, recv(file, text.data(), 1, 0));
        CHECK_FAILS(ENOTSOCK, shutdown(file, SHUT_RD));
        CHECK_FAILS(EINVAL, shutdown(ends[0], 77));
    });
    // The other side says that it has said all; then that it does not listen any more.
    const int pid = child(systest::last_node(), kSharing, [ends] {
        CHECK_EQ(0, shutdown(ends[0], SHUT_WR));
        char byte = 0;
        CHECK_EQ(0, recv(ends[1], &byte, 1, 0));
        CHECK_EQ(0, shutdown(ends[0], SHUT_RD));
        CHECK_FAILS(EPIPE, send(ends[1], "x", 1, MSG_NOSIGNAL));
        static_cast<void>(send(ends[1], "x", 1, 0));
        return 0;
    });
    CHECK_EQ(SIGPIPE, end_of(pid));
    close_both(ends);
    return 0;
}

SYSTEM_CASE(messages_elsewhere) {
    std::array<int, 2> ends{};
    two_sockets(SOCK_DGRAM, ends);
    const std::array own{socket(AF_UNIX, SOCK_DGRAM, 0), socket(AF_UNIX, SOCK_DGRAM, 0)};
    std::array<sockaddr_un, 2> names{};
    for (std::size_t i = 0; i < 2; ++i) {
        names.at(i).sun_family = AF_UNIX; // without a name in the file system: it begins with a zero
        std::snprintf(&names.at(i).sun_path[1], 100, "norma test %d %zu", norma_getpid(), i);
        CHECK_EQ(0, bind(own.at(i), reinterpret_cast<const sockaddr *>(&names.at(i)), sizeof names.at(i)));
    }
    here_and_elsewhere([=] {
        const auto *const to = reinterpret_cast<const sockaddr *>(&names[1]);
        std::array<char, 8> text{};
        CHECK_EQ(3, sendto(own[0], "abc", 3, 0, to, sizeof names[1]));
        sockaddr_un from{};
        socklen_t bytes = sizeof from;
        CHECK_EQ(3, recvfrom(own[1], text.data(), text.size(), 0, reinterpret_cast<sockaddr *>(&from), &bytes));
        CHECK_EQ(socklen_t{sizeof names[0]}, bytes);
        CHECK_EQ(0, std::memcmp(&from, &names[0], sizeof from));
        CHECK_FAILS(EINVAL, sendto(own[0], "abc", 3, 0, to, 5000));
        CHECK_FAILS(ENOTCONN, send(own[0], "abc", 3, 0));

        // A message stays one, in however many parts, and what there is no room for is lost.
        std::array parts{iovec{text.data(), 2}, iovec{text.data() + 4, 3}};
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        std::memcpy(text.data(), "ab..cde", 7);
        CHECK_EQ(5, sendmsg(ends[0], &message, 0));
        CHECK_EQ(0, send(ends[0], "", 0, 0));
        CHECK_EQ(8, write(ends[0], "12345678", 8));
        CHECK_EQ(8, write(ends[0], "abcdefgh", 8));
        std::array<char, 64> control{};
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        text = {};
        CHECK_EQ(5, recvmsg(ends[1], &message, 0));
        CHECK_EQ(0, std::memcmp(text.data(), "ab\0\0cde", 7));
        CHECK_EQ(0, message.msg_flags);
        CHECK_EQ(std::size_t{0}, message.msg_controllen);
        CHECK_EQ(0, recv(ends[1], text.data(), 1, 0));
        CHECK_EQ(8, recv(ends[1], text.data(), 1, MSG_TRUNC | MSG_PEEK));
        CHECK_EQ(5, recvmsg(ends[1], &message, 0));
        CHECK_EQ(MSG_TRUNC, message.msg_flags);
        CHECK_EQ(3, read(ends[1], text.data(), 3));
        CHECK_FAILS(EAGAIN, recv(ends[1], text.data(), 1, MSG_DONTWAIT));
        std::vector<iovec> too_many(IOV_MAX + 1);
        message.msg_iov = too_many.data();
        message.msg_iovlen = too_many.size();
        message.msg_controllen = 0;
        CHECK_FAILS(EMSGSIZE, sendmsg(ends[0], &message, 0));
        CHECK_FAILS(EMSGSIZE, recvmsg(ends[1], &message, 0));
    });
    // What is different elsewhere, as docs/clone.md says.
    const int pid = child(systest::last_node(), kSharing, [ends] {
        auto bytes = pattern(kLarge);
        CHECK_FAILS(EMSGSIZE, send(ends[0], bytes.data(), kLarge, 0));
        CHECK_FAILS(EMSGSIZE, write(ends[0], bytes.data(), kLarge));
        std::array<char, CMSG_SPACE(sizeof(int))> control{};
        iovec part{bytes.data(), 1};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        CHECK_FAILS(EOPNOTSUPP, sendmsg(ends[0], &message, 0));
        return 0;
    });
    CHECK_EQ(0, end_of(pid));
    close_both(ends);
    return 0;
}

// Whoever waits for a lock, and for a message, takes neither after its end.
SYSTEM_CASE(locks_elsewhere) {
    const int fd = digits();
    const int other = open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_RDWR); // another open file
    CHECK(other >= 0);
    auto *turn = new std::atomic<int>{0};
    for (const int node : {0, systest::last_node()}) {
        CHECK_EQ(0, flock(fd, LOCK_EX));
        *turn = 0;
        const int pid = child(node, kSharing, [=] {
            CHECK_EQ(0, flock(fd, LOCK_EX)); // the same open file has it already
            CHECK_FAILS(EWOULDBLOCK, flock(other, LOCK_SH | LOCK_NB));
            CHECK_FAILS(EINVAL, flock(other, 77));
            *turn = 1;
            CHECK_EQ(0, flock(other, LOCK_EX));
            *turn = 2;
            return 0;
        });
        CHECK_SOON(*turn == 1);
        usleep(50'000);
        CHECK_EQ(1, turn->load());
        CHECK_EQ(0, flock(fd, LOCK_UN));
        CHECK_SOON(*turn == 2);
        CHECK_EQ(0, end_of(pid));
        CHECK_FAILS(EWOULDBLOCK, flock(fd, LOCK_SH | LOCK_NB)); // the lock is the file's
        CHECK_EQ(0, flock(other, LOCK_UN));
    }
    CHECK_EQ(0, flock(fd, LOCK_EX));
    std::array<int, 2> ends{};
    two_sockets(SOCK_STREAM, ends);
    *turn = 0;
    std::array<int, 2> waiters{};
    for (auto &pid : waiters) {
        const bool locks = &pid == &waiters[0];
        pid = child(systest::last_node(), kSharing, [=] {
            struct flock record {};
            record.l_type = F_WRLCK;
            CHECK_FAILS(ENOLCK, fcntl(fd, F_SETLK, &record)); // belongs to a process, which is not there
            ++*turn;
            char byte = 0;
            return locks ? flock(other, LOCK_EX) : static_cast<int>(recv(ends[0], &byte, 1, 0));
        });
    }
    CHECK_SOON(*turn == 2);
    usleep(50'000); // they may be in their calls, or about to
    for (const int pid : waiters) {
        CHECK_EQ(0, norma_kill(pid, SIGKILL));
        CHECK_EQ(SIGKILL, end_of(pid));
    }
    usleep(50'000); // what waited for them is told, too
    CHECK_EQ(0, flock(fd, LOCK_UN));
    CHECK_EQ(1, send(ends[1], "x", 1, 0));
    usleep(50'000);
    CHECK_EQ(0, flock(fd, LOCK_EX | LOCK_NB));
    CHECK_EQ('x', clonetest::next_of(ends[0]));
    close_both(ends);
    return 0;
}

} // namespace
