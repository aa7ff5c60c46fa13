// SPDX-License-Identifier: BSD-3-Clause
// Directories, umask and open files of a clone.
#include "tests/clone/child.hpp"

#include <array>
#include <atomic>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace {

using clonetest::child;
using clonetest::end_of;

std::string here() {
    std::array<char, PATH_MAX> path{};
    return getcwd(path.data(), path.size()) == nullptr ? "" : path.data();
}

mode_t umask_now() {
    const mode_t mask = umask(0);
    umask(mask);
    return mask;
}

// Of memory, so that nothing is left behind.
int open_file(const char *content) {
    const int fd = memfd_create("clone", 0);
    CHECK(fd >= 0);
    CHECK_EQ(static_cast<ssize_t>(std::strlen(content)), write(fd, content, std::strlen(content)));
    CHECK_EQ(0, lseek(fd, 0, SEEK_SET));
    return fd;
}

SYSTEM_CASE(directories_are_copied) {
    CHECK_EQ(0, chdir("/usr"));
    umask(027);
    for (const int node : {0, systest::last_node()}) {
        const int pid = child(node, CLONE_VM | SIGCHLD, [] {
            CHECK_EQ(std::string("/usr"), here());
            CHECK_EQ(mode_t{027}, umask_now());
            CHECK_EQ(0, chdir("/"));
            umask(077);
            return 0;
        });
        CHECK_EQ(0, end_of(pid));
        CHECK_EQ(std::string("/usr"), here());
        CHECK_EQ(mode_t{027}, umask_now());
    }
    return 0;
}

// On the same node: the offset is common, closing is each one's own.
SYSTEM_CASE(files_are_copied) {
    const int fd = open_file("0123456789");
    const int high = fcntl(fd, F_DUPFD_CLOEXEC, 700);
    CHECK_EQ(700, high);
    std::array<int, 2> pipe_ends{};
    CHECK_EQ(0, pipe(pipe_ends.data()));
    const int closed = dup(fd);
    close(closed);
    const auto body = [=] {
        char digit = 0;
        CHECK_EQ(1, read(fd, &digit, 1));
        CHECK_EQ('0', digit);
        CHECK_EQ(1, read(high, &digit, 1));
        CHECK_EQ('1', digit);
        CHECK_EQ(FD_CLOEXEC, fcntl(high, F_GETFD));
        CHECK_EQ(0, fcntl(fd, F_GETFD));
        CHECK_FAILS(EBADF, fcntl(closed, F_GETFD));
        CHECK_EQ(0, close(fd));
        CHECK_EQ(0, close(pipe_ends[0]));
        CHECK_EQ(1, write(pipe_ends[1], "x", 1));
        return 0;
    };
    for (const int flags : {CLONE_VM | SIGCHLD, int{SIGCHLD}}) {
        CHECK_EQ(0, lseek(fd, 0, SEEK_SET));
        const int pid = child(0, flags, body);
        CHECK_EQ(0, end_of(pid));
        char digit = 0;
        CHECK_EQ(1, read(fd, &digit, 1));
        CHECK_EQ('2', digit);
        CHECK_EQ(1, read(pipe_ends[0], &digit, 1));
        CHECK_EQ('x', digit);
    }
    close(pipe_ends[1]);
    char end = 0;
    CHECK_EQ(0, read(pipe_ends[0], &end, 1)); // nobody holds the other side: not the library's, nor a node server
    return 0;
}

// More than go in one message, with holes; the library's own are not among them.
SYSTEM_CASE(many_files) {
    const int first = open_file("content");
    std::vector<int> files;
    for (int i = 0; i < 600; ++i) {
        files.push_back(dup(first));
        CHECK(files.back() >= 0);
    }
    for (std::size_t i = 10; i < files.size(); i += 3) {
        close(files[i]);
    }
    const int pid = child(0, CLONE_VM | SIGCHLD, [&files] {
        for (std::size_t i = 0; i < files.size(); ++i) {
            CHECK_EQ(i < 10 || (i - 10) % 3 != 0, fcntl(files[i], F_GETFD) >= 0);
        }
        std::atomic<int> calls{0};
        auto inner = systest::spawn(0, [&calls] { ++calls; }); // the library still has its own
        JOIN(inner);
        CHECK_EQ(1, calls.load());
        return 0;
    });
    CHECK_EQ(0, end_of(pid));
    return 0;
}

// The library maps memory and reads what is in /proc now and then, as here because it is asked for.
SYSTEM_CASE(what_the_library_has_open_is_not_copied) {
    static std::atomic<bool> over;
    over = false;
    thread_act_t asker = MACH_PORT_NULL;
    const auto ask = [](void *) {
        while (!over) {
            task_basic_info_data_t info{};
            mach_msg_type_number_t count = TASK_BASIC_INFO_COUNT;
            CHECK_KERN(KERN_SUCCESS,
                       task_info(systest::self(), TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count));
            vm_address_t address = 0;
            CHECK_KERN(KERN_SUCCESS, vm_allocate(systest::self(), &address, 4096, TRUE));
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(systest::self(), address, 4096));
        }
    };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(systest::self(), ask, nullptr, 0, &asker));
    for (int i = 0; i < 60; ++i) {
        const int pid = child(0, CLONE_VM | SIGCHLD, [] {
            for (int fd = 3; fd < 64; ++fd) {
                std::array<char, 64> name{};
                const auto link = "/proc/self/fd/" + std::to_string(fd);
                const std::string file(name.data(), readlink(link.c_str(), name.data(), name.size()) > 0
                                                        ? std::string_view(name.data()).size()
                                                        : 0);
                CHECK(!file.starts_with("/proc/") && !file.starts_with("/memfd:"));
            }
            return 0;
        });
        CHECK_EQ(0, end_of(pid));
    }
    over = true;
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(asker, -1));
    return 0;
}

} // namespace
