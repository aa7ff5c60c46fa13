// SPDX-License-Identifier: BSD-3-Clause
// Threads that compute, hold or wait for something while their task is moved.
#include "tests/clone/open_files.hpp"
#include "tests/migration/moving.hpp"
#include "tests/system/ports.hpp"

#include <array>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <immintrin.h>
#include <memory>
#include <pthread.h>
#include <random>
#include <stdexcept>
#include <string>
#include <sys/time.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace moving;

int fibonacci(int n) { // deep, with frames of its own all the way
    volatile int depth = n;
    return n < 2 ? n : fibonacci(depth - 1) + fibonacci(depth - 2);
}

SYSTEM_CASE(recursion_moves) {
    return moved_while(6, [] {
        while (!over) {
            CHECK_EQ(6765, fibonacci(20));
        }
    });
}

// Vector registers, the x87 stack and the rounding mode.
[[gnu::noinline]] double vectors(int rounds) {
    __m128d sums[12]{};
    long double extended = 1;
    for (int i = 0; i < rounds; ++i) {
        for (std::size_t k = 0; k < std::size(sums); ++k) {
            sums[k] = _mm_add_pd(sums[k], _mm_set_pd(static_cast<double>(k) * 0.1, 0.3));
        }
        extended = extended * 1.0000001L + 0.1L;
    }
    double total = static_cast<double>(extended);
    for (const auto &sum : sums) {
        total += sum[0] * 3 + sum[1];
    }
    return total;
}

SYSTEM_CASE(floating_point_moves) {
    return moved_while(6, [] {
        std::fesetround(FE_UPWARD);
        const auto expected = vectors(20000);
        while (!over) {
            const auto got = vectors(20000);
            CHECK_EQ(expected, got);
            CHECK_EQ(FE_UPWARD, std::fegetround());
        }
    });
}

thread_local int own_number = 5;
thread_local std::array<long, 100> own_numbers;

struct Worker {
    norma_sync_t barrier = 0, mutex = 0;
    std::atomic<long> counter{0}, rounds{0};
    std::array<long, 8> inside{};
};
Worker shared_work;

void work(void *what) {
    const auto mine = reinterpret_cast<std::intptr_t>(what);
    own_number = static_cast<int>(mine) * 100;
    own_numbers.fill(mine);
    auto &work = shared_work;
    const auto expected = vectors(500);
    while (!over) {
        CHECK_EQ(expected, vectors(500));
        CHECK_EQ(144, fibonacci(12));
        CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(work.mutex));
        const auto before = work.counter.load();
        work.inside[static_cast<std::size_t>(mine)] = before;
        CHECK_EQ(before, work.inside[static_cast<std::size_t>(mine)]);
        work.counter = before + 1;
        CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(work.mutex));
        ++work.rounds;
        CHECK_EQ(static_cast<int>(mine) * 100, own_number);
        CHECK_EQ(mine, own_numbers[99]);
    }
    ++ready;
}

SYSTEM_CASE(eight_threads_move) {
    CHECK_KERN(KERN_SUCCESS, norma_mutex_create(&shared_work.mutex));
    return moved_while(5, [] {
        std::array<thread_act_t, 8> threads{};
        for (std::size_t i = 0; i < threads.size(); ++i) {
            CHECK_KERN(KERN_SUCCESS, norma_thread_start(self(), work, reinterpret_cast<void *>(i), 0, &threads[i]));
        }
        for (const auto thread : threads) { // all the while it is moved
            CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
        }
        CHECK_EQ(8, ready.load());
        CHECK_EQ(shared_work.rounds.load(), shared_work.counter.load());
    });
}

// One thread is missing while the task moves, so that the others wait.
SYSTEM_CASE(who_waits_at_a_barrier_moves) {
    CHECK_KERN(KERN_SUCCESS, norma_barrier_create(4, &shared_work.barrier));
    over = false;
    ready = 0;
    auto child = norma::clone_to(0);
    std::array<thread_act_t, 3> threads{};
    for (auto &thread : threads) {
        CHECK_KERN(KERN_SUCCESS, norma_thread_start(
                                     child.port(),
                                     [](void *) {
                                         boolean_t serial = FALSE;
                                         for (int round = 0; round < 5; ++round) {
                                             CHECK_KERN(KERN_SUCCESS, norma_barrier_wait(shared_work.barrier, &serial));
                                         }
                                         ++ready;
                                     },
                                     nullptr, 0, &thread));
    }
    int node = 0;
    for (int round = 0; round < 5; ++round) {
        rest(5ms);
        node = node_after(node);
        move_to(node, child.port());
        CHECK_EQ(0, ready.load());
        CHECK_KERN(KERN_SUCCESS, norma_barrier_wait(shared_work.barrier, nullptr));
    }
    for (const auto thread : threads) {
        CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
    }
    CHECK_EQ(3, ready.load());
    CHECK_KERN(KERN_SUCCESS, task_terminate(child.release()));
    return 0;
}

std::uint32_t gate;
norma_sync_t queue, lock, condition, units;

SYSTEM_CASE(who_waits_for_others_moves) {
    CHECK_KERN(KERN_SUCCESS, norma_mutex_create(&lock));
    CHECK_KERN(KERN_SUCCESS, norma_mutex_create(&queue));
    CHECK_KERN(KERN_SUCCESS, norma_cond_create(&condition));
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_create(0, &units));
    CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(queue));
    gate = 0;
    ready = 0;
    static constexpr std::array<void (*)(void *), 5> kWaits{
        [](void *) {
            CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(queue));
            CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(queue));
            ++ready;
        },
        [](void *) {
            CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(lock));
            while (gate == 0) {
                CHECK_KERN(KERN_SUCCESS, norma_cond_wait(condition, lock, -1));
            }
            CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(lock));
            ++ready;
        },
        [](void *) {
            CHECK_KERN(KERN_SUCCESS, norma_semaphore_wait(units, -1));
            ++ready;
        },
        [](void *) {
            while (std::atomic_ref(gate).load() == 0) {
                const auto status = norma_wait(&gate, 0, -1);
                CHECK(status == KERN_SUCCESS || status == KERN_INVALID_VALUE);
            }
            ++ready;
        },
        [](void *) {
            while (std::atomic_ref(gate).load() == 0) {
                rest(20ms);
            }
            ++ready;
        },
    };
    auto child = norma::clone_to(0);
    std::array<thread_act_t, kWaits.size()> threads{};
    for (std::size_t i = 0; i < threads.size(); ++i) {
        CHECK_KERN(KERN_SUCCESS, norma_thread_start(child.port(), kWaits[i], nullptr, 0, &threads[i]));
    }
    move_about(child.port(), 4);
    CHECK_EQ(0, ready.load());
    CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(lock));
    std::atomic_ref(gate).store(1);
    CHECK_KERN(KERN_SUCCESS, norma_cond_broadcast(condition));
    CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(lock));
    CHECK_KERN(KERN_SUCCESS, norma_wake(&gate, 1));
    CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(queue));
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_post(units));
    for (const auto thread : threads) {
        CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
    }
    CHECK_EQ(static_cast<int>(kWaits.size()), ready.load());
    CHECK_KERN(KERN_SUCCESS, task_terminate(child.release()));
    return 0;
}

// A timeout goes on where it was; a lock that is held goes along; so does the signal mask.
SYSTEM_CASE(what_a_thread_has_moves) {
    CHECK_KERN(KERN_SUCCESS, norma_mutex_create(&lock));
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_create(0, &units));
    moved_while(4, [] {
        sigset_t mine;
        sigemptyset(&mine);
        sigaddset(&mine, SIGUSR1);
        CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &mine, nullptr));
        CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(lock));
        while (!over) {
            CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_semaphore_wait(units, 30));
        }
        sigset_t now;
        pthread_sigmask(SIG_SETMASK, nullptr, &now);
        CHECK_EQ(1, sigismember(&now, SIGUSR1));
        CHECK_EQ(0, sigismember(&now, SIGUSR2));
        CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(lock));
    });
    CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(lock));
    return 0;
}

[[gnu::noinline]] void throw_at(int depth) {
    const auto guard = std::make_unique<std::string>("made on the way, and gone on the way back");
    if (depth == 0) {
        throw std::runtime_error("thrown before the move, or after it");
    }
    throw_at(depth - 1);
    CHECK(!guard->empty());
}

SYSTEM_CASE(exceptions_move) {
    return moved_while(5, [] {
        while (!over) {
            try {
                CHECK_EQ(6765, fibonacci(20)); // the library that throws is no place to be moved
                throw_at(5);
            } catch (const std::runtime_error &error) {
                CHECK_EQ(233, fibonacci(13)); // it is moved here, the exception caught
                CHECK_EQ(0, std::uncaught_exceptions());
                try {
                    throw;
                } catch (const std::exception &again) {
                    CHECK(&again == &error);
                }
            }
        }
    });
}

std::atomic<int> ticks;

SYSTEM_CASE(timers_and_handlers_move) {
    ticks = 0;
    return moved_while(4, [] {
        struct sigaction action {};
        action.sa_handler = [](int) { ++ticks; };
        action.sa_flags = SA_RESTART;
        CHECK_EQ(0, sigaction(SIGALRM, &action, nullptr));
        const itimerval often{.it_interval = {.tv_sec = 0, .tv_usec = 5000},
                              .it_value = {.tv_sec = 0, .tv_usec = 5000}};
        CHECK_EQ(0, setitimer(ITIMER_REAL, &often, nullptr));
        while (!over) {
            fibonacci(10);
        }
        const auto now = ticks.load();
        CHECK_SOON(ticks > now);
    });
}

// The job's first task, by itself, with what it has on its heap and on its stack.
SYSTEM_CASE(first_task_moves_itself) {
    const auto times = systest::number(args, 0, 4);
    std::vector<std::string> on_heap{"a string that is too long to be in the object itself"};
    auto child = systest::spawn(norma::node_count() - 1, [] {
        while (!over) {
            rest(20ms);
        }
    });
    own_number = 77;
    for (long i = 0; i < times; ++i) {
        const auto to = node_after(norma::this_node());
        move_to(to, self());
        CHECK_EQ(to, norma::this_node());
        CHECK_EQ(77, own_number);
        on_heap.push_back(std::to_string(i));
        CHECK_EQ(static_cast<std::size_t>(i) + 2, on_heap.size());
        std::printf("%ld ", i);
    }
    over = true;
    JOIN(child); // by the name it had for it before
    std::puts("moved");
    return 0;
}

// Somebody at the command line moves the job's first task away, and back.
SYSTEM_CASE(goes_and_comes_back) {
    const auto home = norma::this_node();
    std::puts("begun");
    std::fflush(stdout);
    while (norma::this_node() == home) {
        fibonacci(10);
    }
    std::puts("away");
    std::fflush(stdout);
    while (norma::this_node() != home) {
        fibonacci(10);
    }
    std::puts("back");
    return 0;
}

// Node 1 or 2 is killed from outside while a task is moved about: that runs on one node afterwards, or has died with
// the other, or of a page of its stack that was still there.
SYSTEM_CASE(a_node_dies_on_the_way) {
    over = false;
    auto child = norma::clone_to(1);
    const auto port = systest::make_port_to_send(); // of this node, and what is sent there; from now on it receives
    CHECK_KERN(MACH_MSG_SUCCESS, systest::send(port, 4711));
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(child.port(), port, port, MACH_MSG_TYPE_MOVE_RECEIVE));
    child.run([port] {
        const int file = clonetest::digits();
        while (!over) {
            CHECK_EQ(5, fibonacci(5)); // it writes nothing but its stack, so that nothing else is lost with the node
        }
        CHECK_EQ(4711U, systest::number_from(port));
        char byte = 0;
        const auto got = read(file, &byte, 1);
        CHECK((got == 1 && byte == '0') || (got == -1 && errno == EHOSTDOWN));
    });
    std::puts("begun");
    std::fflush(stdout);
    auto status = KERN_SUCCESS;
    for (int to = 2; status == KERN_SUCCESS; to = 3 - to) {
        status = norma_task_migrate(child.port(), to, to == 1 ? NORMA_MIGRATE_PRECOPY : 0);
    }
    CHECK(status == KERN_NODE_DOWN || status == KERN_INVALID_TASK);
    over = true;
    int how = 0;
    const auto ended = norma_task_wait(child.release(), 20000, &how);
    CHECK(ended == KERN_NODE_DOWN || (ended == KERN_SUCCESS && (how == 0 || how == SIGBUS)));
    CHECK_SOON(systest::type_of(port) == MACH_PORT_TYPE_DEAD_NAME); // it ends with the task
    return 0;
}

// kills.py says when, and kills a node then. The task writes nothing but its stack, so that nothing else is lost with
// it.
SYSTEM_CASE(moves_when_told) {
    static constexpr auto compute = [](void *) {
        ++ready;
        while (!over) {
            CHECK_EQ(5, fibonacci(5));
        }
    };
    static constexpr auto until_told = [] {
        char line_end = 0;
        std::fflush(stdout);
        CHECK_EQ(1, read(STDIN_FILENO, &line_end, 1));
    };
    over = false;
    ready = 0;
    auto child = systest::spawn(1, [] {
        std::array<thread_act_t, 3> threads{};
        for (auto &thread : threads) {
            CHECK_KERN(KERN_SUCCESS, norma_thread_start(self(), compute, nullptr, 0, &thread));
        }
        compute(nullptr);
        for (const auto thread : threads) {
            CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
        }
    });
    CHECK_SOON(ready == 4);
    over = false; // now the variables are this node's
    std::puts("begun");
    until_told();
    std::printf("status %d\n", norma_task_migrate(child.port(), 2, 0));
    until_told();
    over = true;
    int how = 0;
    const auto ended = norma_task_wait(child.release(), 20000, &how);
    std::printf("ended %d %d\n", ended, how);
    return 0;
}

} // namespace
