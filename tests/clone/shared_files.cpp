// SPDX-License-Identifier: BSD-3-Clause
// Open files that a clone has in common with its parent: one table of them, or references to the same ones.
#include "tests/clone/open_files.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vector>

namespace {

using clonetest::child;
using clonetest::digits;
using clonetest::end_of;
using clonetest::Meeting;
using clonetest::next_of;

off_t size_of(int fd) {
    struct stat about {};
    CHECK_EQ(0, fstat(fd, &about));
    return about.st_size;
}

bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

// Offset, content, size, flags and end of one file, as its opener and another task see them.
SYSTEM_CASE(files_are_shared) {
    for (const int flags : {CLONE_VM | CLONE_FILES | SIGCHLD, CLONE_FILES | SIGCHLD}) {
        for (const int node : {0, systest::last_node()}) {
            const int fd = digits();
            const int kept = digits();
            CHECK_EQ('0', next_of(fd));
            const int pid = child(node, flags, [=] {
                CHECK_EQ('1', next_of(fd));
                CHECK_EQ(off_t{5}, lseek(fd, 5, SEEK_SET));
                CHECK_EQ(off_t{10}, size_of(fd));
                std::array<char, 16> text{};
                CHECK_EQ(3, pread(fd, text.data(), 3, 7));
                CHECK_EQ(std::string("789"), std::string(text.data()));
                CHECK_EQ(1, pwrite(fd, "x", 1, 6));
                CHECK_EQ('5', next_of(fd));
                std::array parts{iovec{text.data(), 2}, iovec{text.data() + 8, 8}};
                CHECK_EQ(4, readv(fd, parts.data(), 2));
                CHECK_EQ(0, std::memcmp(text.data(), "x7", 2));
                CHECK_EQ(0, std::memcmp(text.data() + 8, "89", 2));
                CHECK_EQ(0, read(fd, text.data(), text.size()));
                CHECK_EQ(0, ftruncate(fd, 7));
                CHECK_EQ(0, fsync(fd));
                CHECK_EQ(off_t{7}, lseek(fd, 0, SEEK_END));
                CHECK_FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
                CHECK_EQ(0, fcntl(fd, F_SETFL, O_APPEND));
                CHECK_EQ(0, fcntl(fd, F_SETFD, FD_CLOEXEC));
                CHECK_EQ(0, close(kept));
                CHECK_FAILS(EBADF, read(kept, text.data(), 1));
                CHECK_FAILS(EBADF, close(kept));
                return 0;
            });
            CHECK_EQ(0, end_of(pid));
            CHECK_EQ(off_t{7}, lseek(fd, 0, SEEK_CUR));
            CHECK_EQ(O_APPEND, fcntl(fd, F_GETFL) & O_APPEND);
            CHECK_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
            CHECK_EQ(off_t{6}, lseek(fd, 6, SEEK_SET));
            CHECK_EQ('x', next_of(fd));
            CHECK_FAILS(EBADF, lseek(kept, 0, SEEK_SET));
            CHECK_EQ(0, close(fd));
        }
    }
    return 0;
}

// What either opens, duplicates or closes, the other one has, or has not, under the same number when it is told.
SYSTEM_CASE(numbers_are_shared) {
    for (const int node : {0, 1, systest::last_node()}) {
        auto *meeting = new Meeting;
        const int pid = child(node, CLONE_VM | CLONE_FILES | SIGCHLD, [meeting] {
            const int fd = digits();
            meeting->number = fd;
            meeting->second = fcntl(fd, F_DUPFD_CLOEXEC, 600);
            CHECK(meeting->second >= 600);
            meeting->turn = 1;
            CHECK_SOON(meeting->turn == 2);
            CHECK_FAILS(EBADF, lseek(fd, 0, SEEK_SET));
            CHECK_EQ(off_t{2}, lseek(meeting->second, 0, SEEK_CUR));
            CHECK_EQ('2', next_of(700));
            CHECK_EQ(700, dup2(meeting->number, 700)); // what the parent has opened
            CHECK_EQ(0, fcntl(700, F_GETFD));
            meeting->turn = 3;
            CHECK_SOON(meeting->turn == 4);
            return 0;
        });
        CHECK_SOON(meeting->turn == 1);
        const int fd = meeting->number;
        CHECK_EQ('0', next_of(fd));
        CHECK_EQ('1', next_of(meeting->second));
        CHECK_EQ(FD_CLOEXEC, fcntl(meeting->second, F_GETFD));
        CHECK_EQ(700, dup3(meeting->second, 700, O_CLOEXEC));
        const int other = memfd_create("other", MFD_CLOEXEC);
        CHECK_EQ(0, close(fd));
        CHECK(!is_open(fd));
        CHECK_EQ(3, write(other, "abc", 3));
        meeting->number = other;
        meeting->turn = 2;
        CHECK_SOON(meeting->turn == 3);
        CHECK_EQ(off_t{3}, lseek(700, 0, SEEK_CUR));
        CHECK_EQ(off_t{3}, size_of(700));
        meeting->turn = 4;
        CHECK_EQ(0, end_of(pid));
        CHECK_EQ('3', next_of(meeting->second)); // what it has opened has outlived it
        for (const int open : {other, int{meeting->second}, 700}) {
            CHECK_EQ(0, close(open));
        }
    }
    return 0;
}

// Larger than what goes at once and than a pipe; the reader has to wait, and hears of the end.
SYSTEM_CASE(pipes_are_shared) {
    static constexpr std::size_t kBytes = 300'000;
    for (const int node : {0, systest::last_node()}) {
        for (const bool child_writes : {false, true}) {
            std::array<int, 2> ends{};
            CHECK_EQ(0, pipe(ends.data()));
            const auto write_all = [ends] {
                std::vector<char> bytes(kBytes);
                for (std::size_t i = 0; i < kBytes; ++i) {
                    bytes[i] = static_cast<char>(i * 7 / 5);
                }
                for (std::size_t at = 0; at < kBytes;) {
                    const auto some = write(ends[1], bytes.data() + at, kBytes - at);
                    CHECK(some > 0);
                    at += static_cast<std::size_t>(some);
                }
                CHECK_EQ(0, close(ends[1]));
            };
            const auto read_all = [ends] {
                std::vector<char> bytes(kBytes + 1);
                std::size_t at = 0;
                for (;;) {
                    const auto some = read(ends[0], bytes.data() + at, bytes.size() - at);
                    CHECK(some >= 0);
                    if (some == 0) {
                        break;
                    }
                    at += static_cast<std::size_t>(some);
                }
                CHECK_EQ(kBytes, at);
                for (std::size_t i = 0; i < kBytes; ++i) {
                    CHECK_EQ(static_cast<char>(i * 7 / 5), bytes[i]);
                }
            };
            const int pid = child(node, CLONE_VM | CLONE_FILES | SIGCHLD, [=] {
                child_writes ? write_all() : read_all();
                return 0;
            });
            child_writes ? read_all() : write_all();
            CHECK_EQ(0, end_of(pid));
            CHECK_EQ(0, close(ends[0]));
            CHECK(!is_open(ends[1]));
        }
    }
    // Nobody reads any more.
    std::array<int, 2> ends{};
    CHECK_EQ(0, pipe(ends.data()));
    const int pid = child(systest::last_node(), CLONE_VM | CLONE_FILES | SIGCHLD, [ends] {
        CHECK_EQ(0, close(ends[0]));
        signal(SIGPIPE, SIG_IGN);
        CHECK_FAILS(EPIPE, write(ends[1], "x", 1));
        signal(SIGPIPE, SIG_DFL);
        static_cast<void>(write(ends[1], "x", 1));
        return 0;
    });
    CHECK_EQ(SIGPIPE, end_of(pid));
    return 0;
}

// Everybody gets a number of his own, and the files of all are what each has put there.
SYSTEM_CASE(opening_at_once) {
    static constexpr int kTasks = 4, kRounds = 12;
    auto *numbers = new std::array<std::array<std::atomic<int>, kRounds>, kTasks>{};
    auto *ready = new std::atomic<int>{0};
    std::vector<int> children;
    for (int task = 0; task < kTasks; ++task) {
        children.push_back(child(task % norma::node_count(), CLONE_VM | CLONE_FILES | SIGCHLD, [=] {
            for (int round = 0; round < kRounds; ++round) {
                std::array<int, 2> ends{};
                CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0 ? errno : 0);
                CHECK_EQ(0, close(ends[1]));
                const int fd = memfd_create("one", 0);
                CHECK_EQ(0, fd < 0 ? errno : 0);
                const char mark = static_cast<char>(task * kRounds + round);
                CHECK_EQ(1, pwrite(fd, &mark, 1, 0));
                (*numbers).at(static_cast<std::size_t>(task)).at(static_cast<std::size_t>(round)) = fd;
                CHECK_EQ(0, close(ends[0]));
            }
            ++*ready;
            CHECK_SOON(*ready == kTasks + 1);
            return 0;
        }));
    }
    CHECK_SOON(*ready == kTasks);
    for (int task = 0; task < kTasks; ++task) {
        for (int round = 0; round < kRounds; ++round) {
            char mark = 0;
            const int fd = (*numbers).at(static_cast<std::size_t>(task)).at(static_cast<std::size_t>(round));
            CHECK_EQ(1, pread(fd, &mark, 1, 0));
            CHECK_EQ(static_cast<char>(task * kRounds + round), mark);
        }
    }
    ++*ready;
    for (const int pid : children) {
        CHECK_EQ(0, end_of(pid));
    }
    return 0;
}

// Without CLONE_FILES: the same files with a common offset, but each closes for himself; wherever the parent and the
// files are.
SYSTEM_CASE(references_elsewhere) {
    const int fd = digits();
    std::array<int, 2> ends{};
    CHECK_EQ(0, pipe(ends.data()));
    for (const int node : {systest::last_node(), 0, 1}) { // from the second on, the parent shares its files
        CHECK_EQ(off_t{0}, lseek(fd, 0, SEEK_SET));
        const int pid = child(node, CLONE_VM | SIGCHLD, [=] {
            CHECK_EQ('0', next_of(fd));
            const int own = digits();
            CHECK_EQ('0', next_of(own));
            const int grandchild = child((norma::this_node() + 1) % norma::node_count(), CLONE_VM | SIGCHLD, [=] {
                CHECK_EQ('1', next_of(fd));
                CHECK_EQ('1', next_of(own));
                CHECK_EQ(1, write(ends[1], "g", 1));
                CHECK_EQ(0, close(fd));
                CHECK_EQ(0, close(ends[1]));
                return 0;
            });
            CHECK_EQ(0, end_of(grandchild));
            CHECK_EQ('2', next_of(fd));
            CHECK_EQ('2', next_of(own));
            CHECK_EQ(0, close(fd));
            std::printf("said by a child\n"); // to the job's output
            return std::fflush(stdout);
        });
        CHECK_EQ(0, end_of(pid));
        CHECK_EQ('3', next_of(fd));
        CHECK_EQ('g', next_of(ends[0]));
    }
    CHECK_EQ(0, close(ends[1]));
    char byte = 0;
    CHECK_EQ(0, read(ends[0], &byte, 1)); // those that have ended hold nothing
    return 0;
}

// What a thread reads is what it has asked for, also if a handler reads something else at that moment.
SYSTEM_CASE(handlers_read) {
    static constexpr std::size_t kBytes = 32 * 1024;
    static std::vector<char> read_by_handler(kBytes);
    static int others = -1;
    static std::atomic<int> handled{0};
    const auto filled = [](char with) {
        const int fd = memfd_create("filled", 0);
        const std::vector<char> bytes(kBytes, with);
        CHECK_EQ(ssize_t{kBytes}, write(fd, bytes.data(), kBytes));
        return fd;
    };
    const int own = filled('a');
    others = filled('b');
    const int pid = child(systest::last_node(), CLONE_VM | CLONE_FILES | SIGCHLD, [own] {
        signal(SIGALRM, [](int) {
            CHECK_EQ(ssize_t{kBytes}, pread(others, read_by_handler.data(), kBytes, 0));
            ++handled;
        });
        const std::vector<char> wanted(kBytes, 'a');
        std::vector<char> bytes(kBytes);
        for (int round = 0; round < 500; ++round) {
            const itimerval once{{}, {0, 50 + round * 7 % 300}};
            CHECK_EQ(0, setitimer(ITIMER_REAL, &once, nullptr));
            std::fill(bytes.begin(), bytes.end(), ' ');
            CHECK_EQ(ssize_t{kBytes}, pread(own, bytes.data(), kBytes, 0));
            CHECK(bytes == wanted);
        }
        CHECK_SOON(handled > 0);
        return 0;
    });
    CHECK_EQ(0, end_of(pid));
    return 0;
}

// A task that ends while it waits takes nothing of what comes later; a stream that is closed is closed for all.
SYSTEM_CASE(reading_is_broken_off) {
    std::array<int, 2> ends{};
    CHECK_EQ(0, pipe(ends.data()));
    auto *waits = new std::atomic<int>{0};
    const int pid = child(systest::last_node(), CLONE_VM | CLONE_FILES | SIGCHLD, [=] {
        *waits = 1;
        char byte = 0;
        return static_cast<int>(read(ends[0], &byte, 1));
    });
    CHECK_SOON(*waits == 1);
    usleep(20'000); // it may be in the call, or about to
    CHECK_EQ(0, norma_kill(pid, SIGKILL));
    CHECK_EQ(SIGKILL, end_of(pid));
    const int other = child(0, CLONE_VM | CLONE_FILES | SIGCHLD, [=] {
        FILE *stream = fdopen(ends[1], "w");
        CHECK(stream != nullptr);
        CHECK_EQ(0, std::fclose(stream));
        return 0;
    });
    CHECK_EQ(0, end_of(other));
    CHECK(!is_open(ends[1]));
    char byte = 0;
    CHECK_EQ(0, read(ends[0], &byte, 1));
    return 0;
}

// Files of a node that has died are out of reach, and can be closed; those of others are as they were.
SYSTEM_CASE(lost_files) {
    auto *meeting = new Meeting;
    const int here = digits();
    const int opener = child(1, CLONE_VM | CLONE_FILES | SIGCHLD, [meeting] {
        std::array<int, 2> ends{};
        CHECK_EQ(0, pipe(ends.data()));
        meeting->number = ends[0];
        meeting->second = ends[1];
        CHECK_SOON(meeting->turn == 99);
        return 0;
    });
    const int reader = child(2, CLONE_VM | CLONE_FILES | SIGCHLD, [meeting, here] {
        CHECK_SOON(meeting->second >= 0);
        meeting->turn = 1;
        char byte = 0;
        CHECK_FAILS(EHOSTDOWN, read(meeting->number, &byte, 1)); // it is waiting for it
        CHECK_EQ('0', next_of(here));
        CHECK_EQ(0, close(meeting->number));
        return 0;
    });
    CHECK_SOON(meeting->turn == 1);
    systest::kill_node(1);
    CHECK_EQ(0, end_of(reader));
    CHECK_EQ(SIGKILL, end_of(opener));
    CHECK_FAILS(EHOSTDOWN, write(meeting->second, "x", 1));
    CHECK(!is_open(meeting->number));
    CHECK_EQ('1', next_of(here));
    return 0;
}

} // namespace
