// SPDX-License-Identifier: BSD-3-Clause
// What the kernel and norma have of a process: signals that wait, actions, stacks for handlers, timers, directories,
// kin, names.
#include "tests/clone/child.hpp"
#include "tests/migration/moving.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <string>
#include <sys/stat.h>
#include <sys/time.h>
#include <vector>

namespace {

using namespace moving;

std::atomic<int> handled;
std::atomic<bool> as_wanted;

sigset_t set_with(std::initializer_list<int> signals) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : signals) {
        sigaddset(&set, signal);
    }
    return set;
}

void handle(int signal, int flags, void (*handler)(int, siginfo_t *, void *), std::initializer_list<int> blocked = {}) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = flags | SA_SIGINFO;
    action.sa_mask = set_with(blocked);
    CHECK_EQ(0, sigaction(signal, &action, nullptr));
}

// Sent before the move, to the process and to the thread, and handled once each when they are let in after it.
SYSTEM_CASE(pending_signals_move) {
    return moved_when_ready(2, [] {
        handled = 0;
        handle(SIGUSR1, 0, [](int, siginfo_t *, void *) { handled += 1; });
        handle(SIGUSR2, 0, [](int, siginfo_t *, void *) { handled += 100; });
        const auto both = set_with({SIGUSR1, SIGUSR2});
        CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &both, nullptr));
        CHECK_EQ(0, kill(getpid(), SIGUSR1));
        CHECK_EQ(0, pthread_kill(pthread_self(), SIGUSR2));
        be_moved();
        CHECK_EQ(0, handled.load());
        CHECK_EQ(0, pthread_sigmask(SIG_UNBLOCK, &both, nullptr));
        CHECK_EQ(101, handled.load());
    });
}

// A signal that is ignored, one whose handler blocks others, and one whose handler is used only once.
SYSTEM_CASE(signal_actions_move) {
    return moved_when_ready(2, [] {
        handled = 0;
        as_wanted = true;
        CHECK(signal(SIGINT, SIG_IGN) != SIG_ERR);
        handle(SIGUSR1, SA_NODEFER,
               [](int, siginfo_t *info, void *) {
                   sigset_t now;
                   pthread_sigmask(SIG_SETMASK, nullptr, &now);
                   as_wanted = as_wanted && sigismember(&now, SIGUSR2) == 1 && sigismember(&now, SIGUSR1) == 0 &&
                               info->si_pid == getpid();
                   ++handled;
               },
               {SIGUSR2});
        handle(SIGUSR2, SA_RESETHAND, [](int, siginfo_t *, void *) { ++handled; });
        be_moved();
        for (const int signal : {SIGINT, SIGUSR1, SIGUSR1, SIGUSR2}) {
            CHECK_EQ(0, raise(signal));
        }
        CHECK_EQ(3, handled.load());
        CHECK(as_wanted.load());
        struct sigaction now {};
        CHECK_EQ(0, sigaction(SIGUSR2, nullptr, &now));
        CHECK(now.sa_handler == SIG_DFL);
    });
}

// On the heap, like anything else of the program's.
SYSTEM_CASE(signal_stack_moves) {
    return moved_when_ready(2, [] {
        static std::vector<char> memory;
        memory.resize(std::size_t{64} * 1024);
        const stack_t stack{.ss_sp = memory.data(), .ss_flags = 0, .ss_size = memory.size()};
        CHECK_EQ(0, sigaltstack(&stack, nullptr));
        handle(SIGUSR1, SA_ONSTACK, [](int, siginfo_t *, void *) {
            const char here = 0;
            as_wanted = &here >= memory.data() && &here < memory.data() + memory.size();
        });
        be_moved();
        as_wanted = false;
        CHECK_EQ(0, raise(SIGUSR1));
        CHECK(as_wanted.load());
    });
}

// Of the time that the task computes, which begins anew on each node, so that nothing but the interval is looked at.
SYSTEM_CASE(timers_of_computing_time_go_on) {
    return moved_while(4, [] {
        handled = 0;
        handle(SIGVTALRM, SA_RESTART, [](int, siginfo_t *, void *) { ++handled; });
        const itimerval often{.it_interval = {.tv_sec = 0, .tv_usec = 10'000},
                              .it_value = {.tv_sec = 0, .tv_usec = 10'000}};
        CHECK_EQ(0, setitimer(ITIMER_VIRTUAL, &often, nullptr));
        until_over();
        itimerval now{};
        CHECK_EQ(0, getitimer(ITIMER_VIRTUAL, &now));
        CHECK_EQ(10'000L, now.it_interval.tv_usec);
        for (const int before = handled; handled == before;) {
        }
    });
}

// Sleeps end early when the task moves, and are begun again until it is time.
SYSTEM_CASE(sleeps_end_in_time) {
    return moved_while(4, [] {
        while (!over) {
            timespec until{};
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_nsec += 20'000'000;
            until.tv_sec += until.tv_nsec / 1'000'000'000;
            until.tv_nsec %= 1'000'000'000;
            int status = EINTR;
            while (status != 0) {
                status = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
                CHECK(status == 0 || status == EINTR);
            }
            timespec now{};
            clock_gettime(CLOCK_MONOTONIC, &now);
            CHECK(now.tv_sec > until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec));
        }
    });
}

SYSTEM_CASE(directory_and_umask_move) {
    return moved_when_ready(2, [] {
        CHECK_EQ(0, chdir("/usr/bin"));
        umask(0137);
        be_moved();
        std::array<char, PATH_MAX> now{};
        CHECK(getcwd(now.data(), now.size()) != nullptr);
        CHECK_EQ(std::string("/usr/bin"), std::string(now.data()));
        CHECK_EQ(0137U, umask(0));
        CHECK_EQ(0, access("env", X_OK));
    });
}

// A child ends while its parent moves: it is waited for as if nothing had been. One on another node would share its
// open files.
SYSTEM_CASE(children_and_their_ends_move) {
    constexpr int kStatus = 5;
    const int parent = clonetest::child(0, CLONE_VM | SIGCHLD, [] {
        handled = 0;
        handle(SIGCHLD, SA_RESTART, [](int, siginfo_t *, void *) { ++handled; });
        const int me = norma_getpid();
        const int first = clonetest::child(0, CLONE_VM | SIGCHLD, [me] {
            until_over();
            return norma_getppid() == me ? kStatus : 1;
        });
        const int second = clonetest::child(0, CLONE_VM | SIGCHLD, [] { return kStatus + 1; });
        CHECK_EQ(clonetest::exited(kStatus + 1), clonetest::end_of(second));
        for (int i = 0; i < 4; ++i) {
            rest(5ms);
            move_to(node_after(norma::this_node()), self());
            CHECK_EQ(me, norma_getpid());
        }
        over = true;
        CHECK_EQ(clonetest::exited(kStatus), clonetest::end_of(first));
        CHECK_SOON(handled == 2);
        return 0;
    });
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(parent));
    return 0;
}

// Signals that are sent by the task's number, all the time: each one sent is handled.
SYSTEM_CASE(signals_by_number_arrive) {
    static std::atomic<int> number, sent;
    number = sent = handled = 0;
    over = false;
    const int child = clonetest::child(0, CLONE_VM | SIGCHLD, [] {
        handle(SIGUSR1, SA_RESTART, [](int, siginfo_t *, void *) { ++handled; });
        number = norma_getpid();
        for (int i = 0; i < 4; ++i) {
            while (sent == handled || sent % 5 != 0) { // once the next has been sent, until the fifth
                if (sent == 20) {
                    break;
                }
            }
            move_to(node_after(norma::this_node()), self());
        }
        until_over();
        return 0;
    });
    CHECK_SOON(number != 0);
    for (int i = 1; i <= 20; ++i) {
        CHECK_EQ(0, norma_kill(number, SIGUSR1));
        sent = i;
        CHECK_SOON(handled == i);
    }
    over = true;
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(child));
    return 0;
}

} // namespace
