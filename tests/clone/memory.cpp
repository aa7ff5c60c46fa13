// SPDX-License-Identifier: BSD-3-Clause
// What a clone has of its parent's memory, what it is called, and how it ends.
#include "tests/clone/child.hpp"

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace {

using clonetest::child;
using clonetest::end_of;
using clonetest::exited;

int counter = 7;
std::vector<int> numbers{1, 2, 3};

SYSTEM_CASE(memory_is_shared) {
    for (const int node : {0, systest::last_node()}) {
        numbers.assign({1, 2, 3});
        counter = 7;
        const int pid = child(node, CLONE_VM | SIGCHLD, [node] {
            CHECK_EQ(node, norma::this_node());
            ++counter;
            numbers.push_back(counter);
            return 3;
        });
        CHECK_EQ(exited(3), end_of(pid));
        CHECK_EQ(8, counter);
        CHECK_EQ(4U, numbers.size());
        CHECK_EQ(8, numbers.back());
    }
    return 0;
}

SYSTEM_CASE(memory_is_copied) {
    auto *seen = systest::shared<std::atomic<int>>();
    CHECK_KERN(KERN_SUCCESS, vm_inherit(systest::self(), systest::address_of(seen), sizeof *seen, VM_INHERIT_SHARE));
    for (const int node : {0, systest::last_node()}) {
        counter = 7;
        numbers.assign(1000, 5);
        const int pid = child(node, SIGCHLD, [seen] {
            CHECK_EQ(7, counter);
            CHECK_EQ(1000U, numbers.size());
            counter = 100;
            numbers.push_back(1);
            *seen = 1; // shared by its attribute, and copied all the same
            return static_cast<int>(numbers.size() % 100);
        });
        numbers.push_back(6);
        counter = -1;
        CHECK_EQ(exited(1), end_of(pid));
        CHECK_EQ(-1, counter);
        CHECK_EQ(1001U, numbers.size());
        CHECK_EQ(6, numbers.back());
        CHECK_EQ(0, seen->load());
    }
    return 0;
}

SYSTEM_CASE(ends) {
    for (const int node : {0, systest::last_node()}) {
        CHECK_EQ(exited(255), end_of(child(node, CLONE_VM | SIGCHLD, [] { return -1; })));
        CHECK_EQ(exited(9), end_of(child(node, CLONE_VM | SIGCHLD, []() -> int { std::exit(9); })));
        CHECK_EQ(exited(4), end_of(child(node, SIGCHLD, []() -> int { norma_exit(4); })));
        CHECK_EQ(SIGTERM, end_of(child(node, CLONE_VM | SIGCHLD, [] {
                     norma_kill(norma_getpid(), SIGTERM);
                     for (;;) {
                         pause();
                     }
                     return 0;
                 })));
    }
    return 0;
}

// A child of a child, on alternating nodes, each waited for by its parent.
int depth_below(int depth) {
    if (depth == 0) {
        return 0;
    }
    const int pid = child(depth % norma::node_count(), CLONE_VM | SIGCHLD, [depth] { return depth_below(depth - 1); });
    return end_of(pid) / 256 + 1;
}

SYSTEM_CASE(generations) {
    CHECK_EQ(5, depth_below(5));
    return 0;
}

SYSTEM_CASE(ids) {
    const int self = norma_getpid();
    std::set<int> pids{0, 1, self};
    CHECK_EQ(3U, pids.size());
    CHECK_EQ(1, norma_getppid()); // nobody has cloned the first task
    std::atomic<int> told{0};
    for (int i = 0; i < 8; ++i) {
        const int pid = child(i % norma::node_count(), CLONE_VM | SIGCHLD, [&told, self] {
            CHECK_EQ(self, norma_getppid());
            told = norma_getpid();
            return 0;
        });
        CHECK_EQ(0, end_of(pid));
        CHECK_EQ(pid, told.load());
        CHECK(pids.insert(pid).second);
    }
    auto task = systest::spawn(systest::last_node(), [&told] {
        CHECK_EQ(1, norma_getppid());
        told = norma_getpid();
    });
    JOIN(task);
    CHECK(pids.insert(told).second); // every task has an id, and only clones have parents
    return 0;
}

SYSTEM_CASE(ids_are_shared) {
    const int self = norma_getpid();
    for (const int node : {0, systest::last_node()}) {
        const int pid = child(node, CLONE_VM | CLONE_PID | SIGCHLD, [self] {
            CHECK_EQ(self, norma_getpid());
            CHECK_EQ(self, norma_getppid());
            return 5;
        });
        CHECK_EQ(self, pid);
        CHECK_EQ(exited(5), end_of(self));
    }
    return 0;
}

SYSTEM_CASE(orphans) {
    auto *stage = new std::atomic<int>(0);
    auto *parent = new std::atomic<int>(0);
    const int pid = child(systest::last_node(), CLONE_VM | SIGCHLD, [=] {
        child(0, CLONE_VM | SIGCHLD, [=] {
            *parent = norma_getppid();
            while (*stage < 1) {
                std::this_thread::yield();
            }
            CHECK_SOON(norma_getppid() == 1);
            *stage = 2;
            return 0;
        });
        CHECK_SOON(*parent == norma_getpid());
        return 0;
    });
    CHECK_EQ(0, end_of(pid));
    CHECK_FAILS(ECHILD, norma_waitpid(-1, nullptr, __WALL)); // a grandchild is nobody's now
    *stage = 1;
    CHECK_SOON(*stage == 2);
    return 0;
}

SYSTEM_CASE(errors) {
    const auto nothing = [](void *) { return 0; };
    CHECK_FAILS(EINVAL, norma_clone(nullptr, clonetest::stack(), SIGCHLD, nullptr));
    CHECK_FAILS(EINVAL, norma_clone(nothing, nullptr, SIGCHLD, nullptr));
    static thread_local char elsewhere[4096];
    CHECK_FAILS(EINVAL, norma_clone(nothing, elsewhere + sizeof elsewhere, SIGCHLD, nullptr)); // not coherent
    CHECK_FAILS(EINVAL, norma_clone(nothing, clonetest::stack(), CLONE_VM | 0x80, nullptr));
    CHECK_FAILS(EINVAL, norma_clone(nothing, clonetest::stack(), CLONE_VM | (SIGRTMAX - 2), nullptr));
    for (const int flag : {CLONE_THREAD, CLONE_VFORK, CLONE_PARENT, CLONE_NEWNET}) {
        CHECK_FAILS(EINVAL, norma_clone(nothing, clonetest::stack(), flag | CLONE_VM | SIGCHLD, nullptr));
    }
    CHECK_FAILS(ESRCH, norma_clone_on(norma::node_count(), nothing, clonetest::stack(), SIGCHLD, nullptr));
    CHECK_FAILS(ESRCH, norma_clone_on(-1, nothing, clonetest::stack(), SIGCHLD, nullptr));
    CHECK_FAILS(ECHILD, norma_waitpid(-1, nullptr, WNOHANG));
    CHECK_FAILS(EINVAL, norma_waitpid(0, nullptr, 0));
    CHECK_FAILS(EINVAL, norma_waitpid(-2, nullptr, 0));
    CHECK_FAILS(EINVAL, norma_waitpid(-1, nullptr, WUNTRACED));
    CHECK_FAILS(EINVAL, norma_kill(0, SIGTERM));
    CHECK_FAILS(EINVAL, norma_kill(norma_getpid(), 65));
    CHECK_FAILS(EINVAL, norma_kill(norma_getpid(), SIGRTMAX - 2));
    CHECK_FAILS(ESRCH, norma_kill(1 << 30, 0));
    CHECK_FAILS(ESRCH, norma_kill(255, SIGTERM)); // a node that there is none of
    CHECK_EQ(0, norma_kill(norma_getpid(), 0));
    return 0;
}

// NORMA_MEMORY is too little for a copy of what there is.
SYSTEM_CASE(no_memory) {
    for (const int node : {0, systest::last_node()}) {
        CHECK_FAILS(ENOMEM, clonetest::clone(node, SIGCHLD, [] { return 0; }));
        CHECK_FAILS(ECHILD, norma_waitpid(-1, nullptr, __WALL));
        CHECK_EQ(0, end_of(child(node, CLONE_VM | SIGCHLD, [] { return 0; })));
    }
    return 0;
}

// NORMA_TASKS=2: the first task and one more on its node.
SYSTEM_CASE(too_many) {
    std::atomic<bool> go{false};
    std::vector<int> pids;
    const auto wait = [&go] {
        while (!go) {
            std::this_thread::yield();
        }
        return 0;
    };
    pids.push_back(child(0, CLONE_VM | SIGCHLD, wait));
    CHECK_FAILS(EAGAIN, clonetest::clone(0, CLONE_VM | SIGCHLD, wait));
    CHECK_FAILS(EAGAIN, clonetest::clone(0, SIGCHLD, wait));
    for (int i = 0; i < 2; ++i) {
        pids.push_back(child(systest::last_node(), CLONE_VM | SIGCHLD, wait));
    }
    CHECK_FAILS(EAGAIN, clonetest::clone(systest::last_node(), CLONE_VM | SIGCHLD, wait));
    go = true;
    for (const int pid : pids) {
        CHECK_EQ(0, end_of(pid));
    }
    CHECK_EQ(0, end_of(child(0, CLONE_VM | SIGCHLD, [] { return 0; })));
    return 0;
}

} // namespace
