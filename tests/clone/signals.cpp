// SPDX-License-Identifier: BSD-3-Clause
// Signals between tasks of several nodes, waiting for children, and what a clone has of its parent's handlers.
#include "tests/clone/child.hpp"

#include <atomic>
#include <thread>
#include <vector>

namespace {

using clonetest::child;
using clonetest::end_of;
using clonetest::exited;

std::atomic<int> counted;
std::atomic<int> last;

void count(int signal) {
    ++counted;
    last = signal;
}

void handle(int signal, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = SA_ONSTACK;
    CHECK_EQ(0, sigaction(signal, &action, nullptr));
}

int wait_for_ever() {
    for (;;) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
}

// Signals that queue are all counted, one for each child.
SYSTEM_CASE(exit_signals) {
    for (const int signal : {SIGRTMIN + 1, SIGUSR1, SIGCHLD}) {
        handle(signal, count);
        for (const int node : {0, systest::last_node()}) {
            counted = 0;
            constexpr int kChildren = 6;
            std::vector<int> pids;
            for (int i = 0; i < kChildren; ++i) {
                pids.push_back(child(node, CLONE_VM | signal, [] { return 0; }));
            }
            for (const int pid : pids) {
                CHECK_EQ(0, end_of(pid));
            }
            const int least = signal >= SIGRTMIN ? kChildren : 1;
            CHECK_SOON(counted >= least);
            CHECK(counted <= kChildren);
            CHECK_EQ(signal, last.load());
        }
    }
    counted = 0;
    CHECK_EQ(0, end_of(child(systest::last_node(), CLONE_VM, [] { return 0; })));
    CHECK_EQ(0, counted.load());
    return 0;
}

SYSTEM_CASE(kinds_of_children) {
    auto *go = new std::atomic<bool>(false);
    const auto wait = [go] {
        while (!*go) {
            std::this_thread::yield();
        }
        return 6;
    };
    const int usual = child(systest::last_node(), CLONE_VM | SIGCHLD, wait);
    const int silent = child(systest::last_node(), CLONE_VM, wait);
    int status = -1;
    CHECK_EQ(0, norma_waitpid(-1, &status, WNOHANG));
    CHECK_EQ(0, norma_waitpid(silent, &status, WNOHANG | __WALL));
    CHECK_EQ(-1, status);
    CHECK_FAILS(ECHILD, norma_waitpid(silent, &status, 0));
    CHECK_FAILS(ECHILD, norma_waitpid(usual, &status, __WCLONE));
    *go = true;
    CHECK_EQ(silent, norma_waitpid(-1, &status, __WCLONE));
    CHECK_EQ(exited(6), status);
    CHECK_FAILS(ECHILD, norma_waitpid(-1, &status, __WCLONE));
    CHECK_EQ(usual, norma_waitpid(-1, nullptr, 0));
    CHECK_FAILS(ECHILD, norma_waitpid(-1, &status, __WALL));
    return 0;
}

SYSTEM_CASE(signals_travel) {
    handle(SIGUSR2, count);
    const int self = norma_getpid();
    for (const int node : {0, systest::last_node()}) {
        counted = 0;
        const int pid = child(node, CLONE_VM | SIGCHLD, wait_for_ever);
        for (int i = 0; i < 3; ++i) {
            CHECK_EQ(0, norma_kill(pid, SIGUSR2)); // the handler is the parent's, the memory too
            CHECK_SOON(counted == i + 1);
        }
        CHECK_EQ(0, norma_kill(pid, 0));
        CHECK_EQ(0, norma_kill(pid, SIGUSR1)); // whose action is the default one
        CHECK_EQ(SIGUSR1, end_of(pid));
        CHECK_FAILS(ESRCH, norma_kill(pid, 0));
        const int answer = child(node, CLONE_VM | SIGCHLD, [self] { return norma_kill(self, SIGUSR2); });
        CHECK_EQ(0, end_of(answer));
        CHECK_SOON(counted == 4);
    }
    return 0;
}

// Handlers and blocked signals are copied: what the child changes is its own.
SYSTEM_CASE(handlers_are_copied) {
    handle(SIGUSR1, count);
    signal(SIGHUP, SIG_IGN);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &blocked, nullptr));
    for (const int node : {0, systest::last_node()}) {
        for (const int flags : {CLONE_VM | SIGCHLD, int{SIGCHLD}}) {
            const int pid = child(node, flags, [] {
                sigset_t now;
                CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, nullptr, &now));
                CHECK_EQ(1, sigismember(&now, SIGINT));
                CHECK_EQ(0, sigismember(&now, SIGUSR1));
                struct sigaction action {};
                CHECK_EQ(0, sigaction(SIGUSR1, nullptr, &action));
                CHECK(action.sa_handler == count);
                CHECK_EQ(SA_ONSTACK, action.sa_flags & SA_ONSTACK);
                CHECK_EQ(0, sigaction(SIGHUP, nullptr, &action));
                CHECK(action.sa_handler == SIG_IGN);
                CHECK_EQ(0, sigaction(SIGQUIT, nullptr, &action));
                CHECK(action.sa_handler == SIG_DFL);
                handle(SIGQUIT, count);
                signal(SIGUSR1, SIG_DFL);
                return 0;
            });
            CHECK_EQ(0, end_of(pid));
            struct sigaction action {};
            CHECK_EQ(0, sigaction(SIGUSR1, nullptr, &action));
            CHECK(action.sa_handler == count);
            CHECK_EQ(0, sigaction(SIGQUIT, nullptr, &action));
            CHECK(action.sa_handler == SIG_DFL);
        }
    }
    return 0;
}

std::atomic<int> reaped;

void reap(int) {
    int status = 0;
    while (norma_waitpid(-1, &status, WNOHANG) > 0) {
        ++reaped;
    }
}

// A handler waits for the children while its thread is in calls of its own.
SYSTEM_CASE(handlers_call) {
    handle(SIGCHLD, reap);
    constexpr int kChildren = 12;
    auto mutex = norma::mutex::create();
    for (int i = 0; i < kChildren; ++i) {
        child(i % norma::node_count(), CLONE_VM | SIGCHLD, [] { return 0; });
    }
    const auto in_time = [] { return reaped == kChildren; };
    for (int round = 0; round < 20000 && !in_time(); ++round) {
        std::lock_guard guard(mutex);
        CHECK_EQ(1, norma_getppid());
    }
    CHECK_SOON(in_time());
    CHECK_FAILS(ECHILD, norma_waitpid(-1, nullptr, 0));
    return 0;
}

// While the parent waits, a handler of its runs, and the wait goes on.
SYSTEM_CASE(waits_go_on) {
    handle(SIGUSR1, [](int) {
        ++counted;
        CHECK_EQ(0, norma_kill(norma_getpid(), 0));
    });
    const int self = norma_getpid();
    const int pid = child(systest::last_node(), CLONE_VM | SIGCHLD, [self] {
        for (int i = 0; i < 5; ++i) {
            CHECK_EQ(0, norma_kill(self, SIGUSR1));
            CHECK_SOON(counted == i + 1);
        }
        return 1;
    });
    CHECK_EQ(exited(1), end_of(pid));
    CHECK_EQ(5, counted.load());
    return 0;
}

SYSTEM_CASE(moving_children) {
    handle(SIGUSR1, count);
    auto *arrived = new std::atomic<int>(0);
    const int pid = child(0, CLONE_VM | SIGUSR2, [arrived] {
        const int before = norma_getpid();
        task_t port = TASK_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_task_teleport(systest::self(), TRUE, systest::last_node(), &port));
        CHECK_EQ(before, norma_getpid());
        CHECK(norma_getppid() != 1);
        handle(SIGUSR1, count); // handlers stay behind
        *arrived = 1;
        while (counted == 0) {
            std::this_thread::yield();
        }
        return 3;
    });
    signal(SIGUSR2, SIG_IGN);
    CHECK_SOON(*arrived == 1);
    CHECK_EQ(0, norma_waitpid(pid, nullptr, WNOHANG | __WALL));
    CHECK_EQ(0, norma_kill(pid, SIGUSR1));
    CHECK_EQ(exited(3), end_of(pid));
    return 0;
}

SYSTEM_CASE(moving_parent) {
    auto *go = new std::atomic<bool>(false);
    const auto wait = [go] {
        while (!*go) {
            std::this_thread::yield();
        }
        return 2;
    };
    const int stays = child(0, CLONE_VM | SIGCHLD, wait);
    const int self = norma_getpid();
    task_t port = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(systest::self(), TRUE, systest::last_node(), &port));
    CHECK_EQ(self, norma_getpid());
    handle(SIGCHLD, count);
    const int late = child(systest::last_node(), CLONE_VM | SIGCHLD, wait);
    *go = true;
    CHECK_EQ(exited(2), end_of(stays));
    CHECK_EQ(exited(2), end_of(late));
    CHECK_SOON(counted >= 1);
    return 0;
}

SYSTEM_CASE(lost_children) {
    handle(SIGRTMIN + 2, count);
    const int node = systest::last_node();
    auto *up = new std::atomic<int>(0);
    std::vector<int> pids;
    for (int i = 0; i < 2; ++i) {
        pids.push_back(child(node, CLONE_VM | (SIGRTMIN + 2), [up] {
            ++*up;
            return wait_for_ever();
        }));
    }
    CHECK_SOON(*up == 2);
    systest::kill_node(node);
    for (const int pid : pids) {
        CHECK_EQ(SIGKILL, end_of(pid));
        CHECK_FAILS(EHOSTDOWN, norma_kill(pid, 0));
    }
    CHECK_SOON(counted == 2);
    CHECK_FAILS(EHOSTDOWN, clonetest::clone(node, CLONE_VM | SIGCHLD, [] { return 0; }));
    return 0;
}

} // namespace
