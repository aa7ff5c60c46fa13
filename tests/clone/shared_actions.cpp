// SPDX-License-Identifier: BSD-3-Clause
// CLONE_SIGHAND: one table of signal actions for tasks of several nodes.
#include "tests/clone/sharers.hpp"

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" // old programs make these calls

namespace {

using clonetest::await;
using clonetest::child;
using clonetest::end_of;
using clonetest::nodes;

constexpr int kShares = CLONE_VM | CLONE_SIGHAND | SIGCHLD;

std::atomic<int> counted, turn; // on nobody's stack, which stays where it is used

void count(int) {
    ++counted;
}
void count_ten(int) {
    counted += 10;
}

void handle(int signal, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = SA_ONSTACK;
    CHECK_EQ(0, sigaction(signal, &action, nullptr));
}

struct sigaction action_of(int signal) {
    struct sigaction action {};
    CHECK_EQ(0, sigaction(signal, nullptr, &action));
    return action;
}

// What either sets the other has, as soon as the call returns, with flags and mask, and while it computes.
SYSTEM_CASE(actions_are_shared) {
    signal(SIGHUP, SIG_IGN);
    for (const int node : nodes()) {
        signal(SIGUSR1, SIG_DFL);
        signal(SIGUSR2, SIG_DFL);
        turn = counted = 0;
        const int pid = child(node, kShares, [] {
            CHECK(action_of(SIGHUP).sa_handler == SIG_IGN);
            handle(SIGUSR1, count);
            turn = 1;
            await(turn, 2);
            const auto action = action_of(SIGUSR2);
            CHECK(action.sa_handler == count_ten);
            CHECK_EQ(SA_ONSTACK | SA_NODEFER, action.sa_flags & (SA_ONSTACK | SA_NODEFER | SA_RESTART));
            CHECK_EQ(1, sigismember(&action.sa_mask, SIGTERM));
            CHECK_EQ(0, sigismember(&action.sa_mask, SIGINT));
            for (turn = 3; counted != 11;) {
            }
            return 0;
        });
        await(turn, 1);
        CHECK(action_of(SIGUSR1).sa_handler == count);
        struct sigaction wanted {};
        wanted.sa_handler = count_ten;
        wanted.sa_flags = SA_ONSTACK | SA_NODEFER;
        sigaddset(&wanted.sa_mask, SIGTERM);
        struct sigaction before {};
        CHECK_EQ(0, sigaction(SIGUSR2, &wanted, &before));
        CHECK(before.sa_handler == SIG_DFL);
        turn = 2;
        await(turn, 3);
        CHECK_EQ(0, raise(SIGUSR1));
        CHECK_EQ(1, counted.load());
        CHECK_EQ(0, norma_kill(pid, SIGUSR2)); // it does not yield
        CHECK_SOON(counted == 11);
        CHECK_EQ(0, end_of(pid));
    }
    return 0;
}

// The flag is a flag of its own, without CLONE_VM too; blocked and pending signals are each one's own.
SYSTEM_CASE(masks_are_not_shared) {
    for (const int node : nodes()) {
        signal(SIGUSR1, SIG_DFL);
        const int pid = child(node, CLONE_SIGHAND | SIGCHLD, [] {
            sigset_t all;
            sigfillset(&all);
            CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &all, nullptr));
            CHECK(signal(SIGUSR1, count_ten) == SIG_DFL);
            CHECK_EQ(0, norma_kill(norma_getpid(), SIGUSR1)); // pending, and nobody else's
            return 0;
        });
        CHECK_EQ(0, end_of(pid));
        sigset_t blocked;
        CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, nullptr, &blocked));
        CHECK_EQ(0, sigismember(&blocked, SIGUSR1));
        CHECK(action_of(SIGUSR1).sa_handler == count_ten); // it has outlived the child
        CHECK_EQ(0, counted.load());
    }
    return 0;
}

// Grandchildren are in the group too; a child that copies is not, and neither are its own.
SYSTEM_CASE(shared_by_generations) {
    turn = 0;
    const int pid = child(systest::last_node(), kShares, [] {
        const int inner = child(0, kShares, [] {
            await(turn, 1);
            CHECK(action_of(SIGUSR1).sa_handler == count);
            CHECK(signal(SIGUSR2, count_ten) == SIG_DFL);
            return 0;
        });
        const int copy = child(0, CLONE_VM | SIGCHLD, [] {
            signal(SIGUSR2, SIG_IGN);
            return end_of(child(systest::last_node(), kShares, [] {
                signal(SIGUSR1, SIG_IGN);
                return 0;
            }));
        });
        CHECK_EQ(0, end_of(copy));
        CHECK(action_of(SIGUSR1).sa_handler == SIG_DFL);
        turn = 2;
        return end_of(inner);
    });
    await(turn, 2);
    CHECK(action_of(SIGUSR2).sa_handler == SIG_DFL);
    CHECK(signal(SIGUSR1, count) == SIG_DFL);
    turn = 1;
    CHECK_EQ(0, end_of(pid));
    CHECK(action_of(SIGUSR2).sa_handler == count_ten);
    return 0;
}

// All calls that change an action do; what they refuse they refuse here too.
SYSTEM_CASE(calls_that_change_actions) {
    turn = 0;
    const int pid = child(systest::last_node(), kShares, [] {
        await(turn, 1);
        const auto flags = [](int signal) { return action_of(signal).sa_flags & (SA_RESTART | SA_NODEFER); };
        const auto once = [](int signal) {
            return (static_cast<unsigned>(action_of(signal).sa_flags) & static_cast<unsigned>(SA_RESETHAND)) != 0;
        };
        CHECK(action_of(SIGUSR1).sa_handler == count && !once(SIGUSR1));
        CHECK_EQ(SA_RESTART, flags(SIGUSR1));
        CHECK(action_of(SIGUSR2).sa_handler == count && once(SIGUSR2));
        CHECK_EQ(SA_NODEFER, flags(SIGUSR2));
        CHECK_EQ(0, flags(SIGALRM));
        CHECK(action_of(SIGALRM).sa_handler == count);
        CHECK(action_of(SIGHUP).sa_handler == SIG_IGN);
        CHECK(action_of(SIGWINCH).sa_handler == count_ten);
        return 0;
    });
    CHECK(signal(SIGUSR1, count) == SIG_DFL);
    CHECK(sysv_signal(SIGUSR2, count) == SIG_DFL);
    CHECK_EQ(0, siginterrupt(SIGALRM, 1));
    CHECK(signal(SIGALRM, count) == SIG_DFL);
    CHECK_EQ(0, sigignore(SIGHUP));
    CHECK(sigset(SIGWINCH, count_ten) == SIG_DFL);
    CHECK(sigset(SIGWINCH, SIG_HOLD) == count_ten);
    CHECK(sigset(SIGWINCH, count_ten) == SIG_HOLD);
    struct sigaction action {};
    for (const int none : {0, -1, 65, SIGKILL, SIGSTOP}) {
        CHECK_FAILS(EINVAL, sigaction(none, &action, nullptr));
        errno = 0;
        CHECK(signal(none, SIG_IGN) == SIG_ERR);
        CHECK_EQ(EINVAL, errno);
    }
    CHECK(signal(SIGUSR1, SIG_ERR) == SIG_ERR);
    turn = 1;
    CHECK_EQ(0, end_of(pid));
    return 0;
}

SYSTEM_CASE(changes_are_in_order) {
    clonetest::change_in_order(kShares, [](int value) {
        constexpr std::uint64_t kFirst = 0x10000; // handlers that are never called
        const auto mine = kFirst + static_cast<std::uint64_t>(value);
        const auto before = signal(SIGURG, value == 0 ? SIG_DFL : reinterpret_cast<sighandler_t>(mine));
        CHECK(before != SIG_ERR);
        return before == SIG_DFL ? 0 : static_cast<int>(reinterpret_cast<std::uint64_t>(before) - kFirst);
    });
    return 0;
}

// A handler may change actions, also while its thread is about to change one.
SYSTEM_CASE(handlers_change_actions) {
    auto *over = new std::atomic<int>(0);
    const int pid = child(systest::last_node(), kShares, [over] {
        await(*over, 1);
        return 0;
    });
    handle(SIGUSR1, [](int) {
        signal(SIGUSR2, counted % 2 == 0 ? SIG_IGN : SIG_DFL);
        ++counted;
    });
    const int disturber = child(0, CLONE_VM | SIGCHLD, [over, self = norma_getpid()] {
        while (*over == 0) {
            const int before = turn; // there is no next signal before the last one lets it go on
            CHECK_EQ(0, norma_kill(self, SIGUSR1));
            while (turn == before && *over == 0) {
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
        }
        return 0;
    });
    for (turn = 0; turn < 20 || counted < 3; ++turn) {
        const auto before = signal(SIGWINCH, turn % 2 == 0 ? count : SIG_DFL);
        CHECK(before == (turn % 2 == 0 ? SIG_DFL : count)); // not what the handler was told
    }
    *over = 1;
    CHECK_EQ(0, end_of(disturber));
    CHECK_EQ(0, end_of(pid));
    return 0;
}

// A task that is teleported begins as any other process does; who is left goes on.
SYSTEM_CASE(movers_leave_groups) {
    turn = 0;
    signal(SIGUSR1, count);
    const int pid = child(0, kShares, [] {
        task_t port = TASK_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_task_teleport(systest::self(), TRUE, systest::last_node(), &port));
        CHECK(action_of(SIGUSR1).sa_handler == SIG_DFL);
        CHECK(signal(SIGUSR1, count_ten) == SIG_DFL);
        turn = 1;
        await(turn, 2);
        CHECK(action_of(SIGUSR1).sa_handler == count_ten);
        const int inner = child(0, kShares, [] {
            CHECK(signal(SIGUSR1, SIG_IGN) == count_ten);
            return 0;
        });
        CHECK_EQ(0, end_of(inner));
        CHECK(action_of(SIGUSR1).sa_handler == SIG_IGN);
        return 0;
    });
    await(turn, 1);
    CHECK(signal(SIGUSR1, count) == count);
    turn = 2;
    CHECK_EQ(0, end_of(pid));
    CHECK(action_of(SIGUSR1).sa_handler == count);
    return 0;
}

// The library's own handler of faults stays in its place, in who has it, and nobody else gets it.
SYSTEM_CASE(fault_handlers_stay) {
    mach_port_t port = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, mach_port_allocate(systest::self(), MACH_PORT_RIGHT_RECEIVE, &port));
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(systest::self(), port, port, MACH_MSG_TYPE_MAKE_SEND));
    signal(SIGSEGV, count);
    CHECK_KERN(KERN_SUCCESS, task_set_exception_ports(systest::self(), EXC_MASK_BAD_ACCESS, port,
                                                      EXCEPTION_STATE_IDENTITY, x86_THREAD_STATE64));
    CHECK(action_of(SIGSEGV).sa_handler != count);
    const int pid = child(systest::last_node(), kShares, [] {
        CHECK(action_of(SIGSEGV).sa_handler == count);
        CHECK(signal(SIGSEGV, count_ten) == count);
        return 0;
    });
    CHECK_EQ(0, end_of(pid));
    CHECK(action_of(SIGSEGV).sa_handler == count_ten);
    CHECK_EQ(0, raise(SIGSEGV)); // not a fault: the program's affair, by way of the library
    CHECK_EQ(10, counted.load());
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(systest::self(), port, MACH_PORT_RIGHT_RECEIVE, -1));
    return 0;
}

// Nodes of members die while the others change the table.
SYSTEM_CASE(lost_members) {
    clonetest::change_while_a_node_dies(
        kShares, [](int node) { return signal(SIGURG, node == 1 ? count : count_ten) != SIG_ERR; },
        [](int round) { return signal(SIGWINCH, round % 2 == 0 ? count : SIG_DFL) != SIG_ERR; });
    return 0;
}

bool is_stopped(pid_t process) {
    std::ifstream file(fmt::format("/proc/{}/stat", process));
    std::string text;
    std::getline(file, text);
    return text.find(") T ") != std::string::npos;
}

// A member that does not answer, on another node, keeps a change from being made; it misses nothing of the next one.
SYSTEM_CASE(stopped_members) {
    turn = 0;
    const int pid = child(systest::last_node(), kShares, [] {
        turn = getpid();
        raise(SIGSTOP);
        await(turn, 1);
        CHECK(action_of(SIGUSR1).sa_handler == count);
        return 0;
    });
    CHECK_SOON(turn != 0 && is_stopped(turn));
    errno = 0;
    CHECK(signal(SIGUSR1, count_ten) == SIG_ERR);
    CHECK_EQ(ETIMEDOUT, errno);
    CHECK(action_of(SIGUSR1).sa_handler == SIG_DFL);
    CHECK_EQ(0, norma_kill(pid, SIGCONT));
    CHECK(signal(SIGUSR1, count) == SIG_DFL);
    turn = 1;
    CHECK_EQ(0, end_of(pid));
    return 0;
}

struct Lost {
    std::atomic<int> turn;
    void *stack;
};

int outlive_group(Lost *lost) {
    lost->turn = 1;
    await(lost->turn, 2);
    CHECK(action_of(SIGUSR1).sa_handler == count_ten);
    for (int i = 0; lost->turn != 3; ++i) { // its home dies meanwhile
        CHECK(signal(SIGUSR2, i % 2 == 0 ? count : SIG_DFL) != SIG_ERR);
    }
    CHECK(signal(SIGUSR1, count) == count_ten);
    CHECK_EQ(0, end_of(child(0, kShares, [] {
                 CHECK(signal(SIGUSR1, SIG_IGN) == count);
                 return 0;
             })));
    CHECK(action_of(SIGUSR1).sa_handler == SIG_IGN);
    lost->turn = 4;
    return 0;
}

// The home of a group dies: each goes on with what it has, and may share that anew.
SYSTEM_CASE(lost_group) {
    auto *lost = new Lost{.turn = 0, .stack = clonetest::stack()}; // no memory of the node that dies
    signal(SIGUSR1, count);
    child(1, CLONE_VM, [lost] {
        const auto body = [](void *argument) { return outlive_group(static_cast<Lost *>(argument)); };
        CHECK(norma_clone_on(2, body, lost->stack, kShares, lost) > 0);
        await(lost->turn, 1);
        signal(SIGUSR1, count_ten);
        lost->turn = 2;
        await(lost->turn, 5);
        return 0;
    });
    CHECK_SOON(lost->turn == 2);
    systest::kill_node(1);
    lost->turn = 3;
    CHECK_SOON(lost->turn == 4);
    CHECK(action_of(SIGUSR1).sa_handler == count);
    return 0;
}

} // namespace
