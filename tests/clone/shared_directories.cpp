// SPDX-License-Identifier: BSD-3-Clause
// CLONE_FS: current directory, root and umask of tasks on several nodes.
#include "tests/clone/sharers.hpp"

#include <array>
#include <atomic>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using clonetest::await;
using clonetest::child;
using clonetest::end_of;
using clonetest::nodes;

std::atomic<int> turn; // on nobody's stack, which stays where it is used

constexpr int kShares = CLONE_VM | CLONE_FS | SIGCHLD;

std::string here() {
    std::array<char, PATH_MAX> path{};
    return getcwd(path.data(), path.size()) == nullptr ? "" : path.data();
}

// Of this process, without a change that others would see.
mode_t umask_now() {
    std::array<char, 512> text{};
    const int fd = open("/proc/self/status", O_RDONLY);
    CHECK(read(fd, text.data(), text.size() - 1) > 0);
    close(fd);
    const char *line = std::strstr(text.data(), "Umask:");
    CHECK(line != nullptr);
    return static_cast<mode_t>(std::strtoul(line + std::strlen("Umask:"), nullptr, 8));
}

SYSTEM_CASE(directories_are_shared) {
    for (const int node : nodes()) {
        CHECK_EQ(0, chdir("/usr"));
        umask(027);
        turn = 0;
        const int pid = child(node, kShares, [] {
            CHECK_EQ(std::string("/usr"), here());
            CHECK_EQ(mode_t{027}, umask_now());
            CHECK_EQ(0, chdir("lib/.."));
            CHECK_EQ(0, chdir("lib"));
            CHECK_EQ(mode_t{027}, umask(077));
            turn = 1;
            await(turn, 2);
            CHECK_EQ(std::string("/"), here());
            CHECK_EQ(mode_t{022}, umask_now());
            for (turn = 3; turn != 4;) { // it computes, and does not yield
            }
            CHECK_EQ(std::string("/usr/bin"), here());
            return 0;
        });
        await(turn, 1);
        CHECK_EQ(std::string("/usr/lib"), here());
        CHECK_EQ(mode_t{077}, umask_now());
        CHECK_EQ(mode_t{077}, umask(022));
        CHECK_EQ(0, chdir("/"));
        turn = 2;
        await(turn, 3);
        const int bin = open("/usr/bin", O_RDONLY | O_DIRECTORY);
        CHECK_EQ(0, fchdir(bin));
        close(bin);
        turn = 4;
        CHECK_EQ(0, end_of(pid));
    }
    return 0;
}

// LTP clone02, as it concerns these flags: one child has everything with its parent, one nothing.
SYSTEM_CASE(flags_set_and_clear) {
    const auto change = [] {
        CHECK_EQ(0, chdir("/usr/bin"));
        umask(070);
        CHECK(signal(SIGUSR1, SIG_IGN) == SIG_DFL);
        return 0;
    };
    for (const int node : nodes()) {
        for (const int memory : {CLONE_VM, 0}) {
            CHECK_EQ(0, chdir("/usr"));
            umask(022);
            signal(SIGUSR1, SIG_DFL);
            CHECK_EQ(0, end_of(child(node, memory | SIGCHLD, change)));
            CHECK_EQ(std::string("/usr"), here());
            CHECK_EQ(mode_t{022}, umask_now());
            CHECK_EQ(0, end_of(child(node, memory | CLONE_FS | CLONE_SIGHAND | SIGCHLD, change)));
            CHECK_EQ(std::string("/usr/bin"), here());
            CHECK_EQ(mode_t{070}, umask_now());
            CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
        }
    }
    return 0;
}

// What one member cannot do nobody does.
SYSTEM_CASE(refused_directories) {
    CHECK_EQ(0, chdir("/usr"));
    turn = 0;
    const int pid = child(systest::last_node(), kShares, [] {
        await(turn, 1);
        CHECK_EQ(std::string("/usr"), here());
        return 0;
    });
    CHECK_FAILS(ENOENT, chdir("/usr/no such directory"));
    CHECK_FAILS(ENOENT, chdir("no such directory"));
    CHECK_FAILS(ENOENT, chdir(""));
    CHECK_FAILS(ENOTDIR, chdir("/proc/version"));
    CHECK_FAILS(ENAMETOOLONG, chdir(std::string(300, 'x').c_str()));
    CHECK_FAILS(ENAMETOOLONG, chdir(std::string(PATH_MAX, 'x').c_str()));
    CHECK_FAILS(EBADF, fchdir(700));
    const int fd = open("/proc/version", O_RDONLY);
    CHECK_FAILS(ENOTDIR, fchdir(fd));
    close(fd);
    const auto own = fmt::format("/proc/self/task/{}", gettid()); // is there in this process only
    CHECK_EQ(0, access(own.c_str(), X_OK));
    CHECK_FAILS(ENOENT, chdir(own.c_str()));
    if (geteuid() != 0) {
        CHECK_FAILS(EPERM, chroot("/usr"));
    }
    CHECK_EQ(std::string("/usr"), here());
    turn = 1;
    CHECK_EQ(0, end_of(pid));
    return 0;
}

SYSTEM_CASE(masks_change_in_order) {
    umask(0);
    clonetest::change_in_order(kShares, [](int value) { return static_cast<int>(umask(static_cast<mode_t>(value))); });
    return 0;
}

// The root, of those who share it. Afterwards a new directory can still be entered, though nothing there tells names.
SYSTEM_CASE(roots_are_shared) {
    if (chroot("/") != 0) {
        return 0; // not for us
    }
    for (const int node : nodes()) {
        std::string folder = "/tmp/norma-root-XXXXXX";
        const int outside = open("/tmp", O_RDONLY | O_DIRECTORY);
        CHECK(mkdtemp(folder.data()) != nullptr);
        CHECK_EQ(0, mkdir((folder + "/inside").c_str(), 0755));
        const int pid = child(0, CLONE_VM | SIGCHLD, [&] { // the first task keeps its root
            turn = 0;
            const int inner = child(node, kShares, [] {
                await(turn, 1);
                CHECK_EQ(0, access("/inside", F_OK));
                CHECK(access("/tmp", F_OK) != 0);
                CHECK_EQ(0, chdir("inside"));
                CHECK_EQ(std::string("/inside"), here());
                turn = 2;
                return 0;
            });
            CHECK_EQ(0, chroot(folder.c_str()));
            CHECK_EQ(0, chdir("/"));
            turn = 1;
            await(turn, 2);
            CHECK_EQ(std::string("/inside"), here());
            CHECK_EQ(0, end_of(inner));
            return 0;
        });
        const int status = end_of(pid);
        CHECK_EQ(0, unlinkat(outside, (folder.substr(5) + "/inside").c_str(), AT_REMOVEDIR));
        CHECK_EQ(0, unlinkat(outside, folder.substr(5).c_str(), AT_REMOVEDIR));
        CHECK_EQ(0, status);
        CHECK_EQ(0, access("/tmp", F_OK));
        close(outside);
    }
    return 0;
}

// Children of members are members, as long as they live where they were made; copies are not.
SYSTEM_CASE(directories_of_generations) {
    CHECK_EQ(0, chdir("/"));
    turn = 0;
    const int pid = child(systest::last_node(), kShares, [] {
        CHECK_EQ(0, end_of(child(0, CLONE_VM | SIGCHLD, [] { return chdir("/usr"); })));
        CHECK_EQ(std::string("/"), here());
        CHECK_EQ(0, end_of(child(0, kShares, [] { return chdir("/usr"); })));
        CHECK_EQ(std::string("/usr"), here());
        task_t port = TASK_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_task_teleport(systest::self(), TRUE, 0, &port));
        CHECK_EQ(0, chdir("/usr/lib"));
        turn = 1;
        await(turn, 2);
        CHECK_EQ(std::string("/usr/lib"), here());
        return 0;
    });
    await(turn, 1);
    CHECK_EQ(std::string("/usr"), here());
    CHECK_EQ(0, chdir("/"));
    turn = 2;
    CHECK_EQ(0, end_of(pid));
    return 0;
}

// Nodes of members die while the others change the directory.
SYSTEM_CASE(lost_directories) {
    clonetest::change_while_a_node_dies(
        kShares, [](int) { return chdir("/usr") == 0; },
        [](int round) { return chdir(round % 2 == 0 ? "/" : "/usr") == 0; });
    return 0;
}

} // namespace
