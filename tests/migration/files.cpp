// SPDX-License-Identifier: BSD-3-Clause
// Open files: a task that moves uses them as it did, wherever they are open (docs/clone.md).
#include "tests/clone/open_files.hpp"
#include "tests/migration/moving.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace {

using namespace moving;
using clonetest::digits;
using clonetest::next_of;

bool closes_on_exec(int fd) {
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

// The offset is common to all numbers of a file, before and after.
SYSTEM_CASE(open_files_move) {
    return moved_when_ready(3, [] {
        const int file = digits();
        CHECK_EQ('0', next_of(file));
        const int second = dup(file), third = fcntl(file, F_DUPFD_CLOEXEC, 100);
        const int event = eventfd(7, 0);
        std::array<int, 2> ends{}, pair{};
        CHECK_EQ(0, pipe(ends.data()));
        CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()));
        CHECK_EQ(3, write(ends[1], "abc", 3));
        CHECK_EQ(0, fcntl(ends[0], F_SETFL, O_NONBLOCK));
        be_moved();
        CHECK_EQ('1', next_of(file));
        CHECK_EQ('2', next_of(second));
        CHECK_EQ('3', next_of(third));
        CHECK(closes_on_exec(third) && !closes_on_exec(second));
        for (const char expected : {'a', 'b', 'c'}) {
            CHECK_EQ(expected, next_of(ends[0]));
        }
        char byte = 0;
        CHECK_FAILS(EAGAIN, read(ends[0], &byte, 1));
        CHECK_EQ(1, write(pair[0], "x", 1));
        pollfd waiting{.fd = pair[1], .events = POLLIN, .revents = 0};
        CHECK_EQ(1, poll(&waiting, 1, -1));
        CHECK_EQ('x', next_of(pair[1]));
        std::uint64_t seven = 0;
        CHECK_EQ(8, read(event, &seven, 8));
        CHECK_EQ(7U, seven);
        CHECK_EQ(0, close(second));
        const int zeros = open("/dev/zero", O_RDONLY); // here
        CHECK_EQ('\0', next_of(zeros));
        CHECK_EQ(2, write(file, "AB", 2));
        CHECK_EQ(off_t{4}, lseek(third, 4, SEEK_SET));
        CHECK_EQ('A', next_of(file));
        CHECK_EQ(0, close(ends[1]));
        CHECK_SOON(read(ends[0], &byte, 1) == 0); // nobody else has the other end when the old processes have ended
    });
}

// There and back: the file is a descriptor of the task's own again, which knows what can be done with those alone.
SYSTEM_CASE(files_come_back) {
    over = false;
    ready = 0;
    auto child = systest::spawn(0, [] {
        const int file = digits();
        be_moved();
        struct stat status {};
        CHECK_EQ(0, fstat(file, &status));
        CHECK(mmap(nullptr, 10, PROT_READ, MAP_SHARED, file, 0) != MAP_FAILED); // not so if it is open elsewhere
        CHECK_EQ('0', next_of(file));
    });
    CHECK_SOON(ready == 1);
    move_to(1, child.port());
    move_to(0, child.port());
    over = true;
    JOIN(child);
    return 0;
}

// A table that another task has, too: what one does to it the other sees.
SYSTEM_CASE(shared_files_move) {
    static std::atomic<int> turn;
    static std::atomic<int> opened;
    turn = 0;
    const int file = digits();
    const int child = clonetest::child(0, clonetest::kSharing, [file] {
        CHECK_KERN(KERN_SUCCESS, norma_task_migrate(self(), 1, 0));
        CHECK_EQ(1, norma::this_node());
        CHECK_EQ('0', next_of(file));
        opened = open("/dev/zero", O_RDONLY);
        turn = 1;
        CHECK_SOON(turn == 2);
        char byte = 0;
        CHECK_FAILS(EBADF, read(opened, &byte, 1));
        CHECK_EQ('2', next_of(file));
        return 0;
    });
    CHECK_SOON(turn == 1);
    CHECK_EQ('\0', next_of(opened));
    CHECK_EQ('1', next_of(file));
    CHECK_EQ(0, close(opened));
    turn = 2;
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(child));
    CHECK_EQ('3', next_of(file));
    return 0;
}

// A task that has once cloned a child onto another node.
SYSTEM_CASE(files_move_after_a_clone) {
    return moved_when_ready(3, [] {
        const int file = digits();
        const int child = clonetest::child(1, CLONE_VM | SIGCHLD, [file] { return next_of(file) == '0' ? 0 : 1; });
        CHECK_EQ(clonetest::exited(0), clonetest::end_of(child));
        be_moved();
        CHECK_EQ('1', next_of(file));
    });
}

// What does not work from another node keeps the task where it is, and its files are its own as before.
template <class F> int stays_with(F open_one) {
    over = false;
    ready = 0;
    auto child = systest::spawn(0, [open_one] {
        const int file = digits();
        open_one();
        be_moved();
        CHECK_EQ(0, norma::this_node());
        CHECK_EQ('0', next_of(file));
    });
    CHECK_SOON(ready == 1);
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_migrate(child.port(), 1, 0));
    over = true;
    JOIN(child);
    return 0;
}

SYSTEM_CASE(epoll_set_stays) {
    return stays_with([] { CHECK(epoll_create1(0) >= 0); });
}

SYSTEM_CASE(open_directory_stays) {
    return stays_with([] { CHECK(open("/", O_RDONLY | O_DIRECTORY) >= 0); });
}

SYSTEM_CASE(stream_stays) {
    return stays_with([] { CHECK(std::fopen("/dev/null", "r") != nullptr); });
}

SYSTEM_CASE(shared_directories_stay) {
    const int child = clonetest::child(0, CLONE_VM | CLONE_FS | SIGCHLD, [] {
        CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_migrate(self(), 1, 0));
        return 0;
    });
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(child));
    return 0;
}

} // namespace
