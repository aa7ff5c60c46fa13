// SPDX-License-Identifier: BSD-3-Clause
// A task that moves, and others that do not, at one and the same thing all the while.
#include "tests/migration/moving.hpp"

#include <array>
#include <limits>
#include <norma/mach_flavors.h>

namespace {

using namespace moving;

norma_sync_t lock, condition, there, back, barrier;
long guarded;
std::atomic<long> added;

void add_under_the_lock(long times) {
    for (long i = 0; i < times; ++i) {
        CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(lock));
        const auto before = guarded;
        guarded = before + 1;
        CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(lock));
        ++added;
    }
}

SYSTEM_CASE(contended_lock) {
    CHECK_KERN(KERN_SUCCESS, norma_mutex_create(&lock));
    over = false;
    auto child = systest::spawn(0, [] {
        while (!over) {
            add_under_the_lock(1);
        }
    });
    std::thread mover([task = child.port()] { move_about(task, 5); });
    add_under_the_lock(300);
    mover.join();
    over = true;
    JOIN(child);
    CHECK_EQ(added.load(), guarded);
    return 0;
}

std::uint32_t turn; // odd: the child's

void wait_for_turn(std::uint32_t value) {
    const std::atomic_ref now(turn);
    while (now.load() != value) {
        const auto status = norma_wait(&turn, value - 1, -1);
        CHECK(status == KERN_SUCCESS || status == KERN_INVALID_VALUE);
    }
}

void pass_turn(std::uint32_t value) {
    std::atomic_ref(turn).store(value);
    CHECK_KERN(KERN_SUCCESS, norma_wake(&turn, 1));
}

// To and fro by a word, each waiting for the other.
SYSTEM_CASE(turns_by_a_word) {
    constexpr std::uint32_t kTurns = 200;
    turn = 0;
    auto child = systest::spawn(0, [] {
        for (std::uint32_t value = 1; value < kTurns; value += 2) {
            wait_for_turn(value);
            pass_turn(value + 1);
        }
    });
    std::thread mover([task = child.port()] { move_about(task, 3); });
    for (std::uint32_t value = 1; value < kTurns; value += 2) {
        pass_turn(value);
        wait_for_turn(value + 1);
        if (value == kTurns / 2 + 1) {
            mover.join();
        }
    }
    JOIN(child);
    return 0;
}

// No unit is lost, and none is there twice.
SYSTEM_CASE(units_of_a_semaphore) {
    constexpr int kUnits = 100;
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_create(0, &there));
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_create(0, &back));
    auto child = systest::spawn(0, [] {
        for (int i = 0; i < kUnits; ++i) {
            CHECK_KERN(KERN_SUCCESS, norma_semaphore_wait(there, -1));
            CHECK_KERN(KERN_SUCCESS, norma_semaphore_post(back));
        }
        CHECK_SOON(over.load());
    });
    over = false;
    std::thread mover([task = child.port()] { move_about(task, 3); });
    for (int i = 0; i < kUnits; ++i) {
        CHECK_KERN(KERN_SUCCESS, norma_semaphore_post(there));
    }
    for (int i = 0; i < kUnits; ++i) {
        CHECK_KERN(KERN_SUCCESS, norma_semaphore_wait(back, -1));
    }
    mover.join();
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, [] {
        const auto status = norma_semaphore_wait(back, 0);
        return status == KERN_OPERATION_TIMED_OUT ? KERN_RESOURCE_SHORTAGE : status;
    }());
    over = true;
    JOIN(child);
    return 0;
}

std::array<std::atomic<int>, 8> arrived; // how often
std::atomic<int> last_round;

void meet(std::size_t who) {
    for (int round = 1; round <= last_round; ++round) {
        arrived.at(who) = round;
        CHECK_KERN(KERN_SUCCESS, norma_barrier_wait(barrier, nullptr));
        for (const auto &other : arrived) {
            CHECK(other == round || other == round + 1);
        }
    }
}

// Four threads of a task that moves, four of one that stays.
SYSTEM_CASE(eight_at_a_barrier) {
    constexpr int kFurther = 3; // than any of them can be when it is told
    last_round = std::numeric_limits<int>::max() - 1;
    CHECK_KERN(KERN_SUCCESS, norma_barrier_create(static_cast<unsigned>(arrived.size()), &barrier));
    auto child = norma::clone_to(0);
    std::array<thread_act_t, 8> threads{};
    for (std::size_t i = 0; i < threads.size(); ++i) {
        const auto task = i < 4 ? child.port() : self();
        CHECK_KERN(KERN_SUCCESS, norma_thread_start(
                                     task, [](void *who) { meet(reinterpret_cast<std::size_t>(who)); },
                                     reinterpret_cast<void *>(i), 0, &threads.at(i)));
    }
    move_about(child.port(), 3);
    CHECK_KERN(KERN_SUCCESS, task_suspend(child.port())); // nobody gets far then
    last_round = arrived[0] + kFurther;
    CHECK_KERN(KERN_SUCCESS, task_resume(child.port()));
    for (const auto thread : threads) {
        CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
    }
    CHECK_KERN(KERN_SUCCESS, task_terminate(child.release()));
    return 0;
}

// A move may end the wait early; the lock is held in any case.
SYSTEM_CASE(condition_with_a_timeout) {
    CHECK_KERN(KERN_SUCCESS, norma_mutex_create(&lock));
    CHECK_KERN(KERN_SUCCESS, norma_cond_create(&condition));
    return moved_while(4, [] {
        while (!over) {
            CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(lock));
            const auto status = norma_cond_wait(condition, lock, 10);
            CHECK(status == KERN_OPERATION_TIMED_OUT || status == KERN_SUCCESS);
            CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(lock));
        }
    });
}

std::atomic<std::uint64_t> beats;

// By the name that others have had for a thread since before the first move.
SYSTEM_CASE(threads_keep_their_names) {
    over = false;
    auto child = norma::clone_to(0);
    thread_act_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(
                                 child.port(),
                                 [](void *) {
                                     while (!over) {
                                         ++beats;
                                     }
                                 },
                                 nullptr, 0, &thread));
    for (int i = 0; i < 4; ++i) {
        CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
        const auto still = beats.load();
        rest(5ms);
        CHECK_EQ(still, beats.load());
        x86_thread_state64_t registers{};
        auto count = x86_THREAD_STATE64_COUNT;
        CHECK_KERN(KERN_SUCCESS,
                   thread_get_state(thread, x86_THREAD_STATE64, reinterpret_cast<thread_state_t>(&registers), &count));
        CHECK(registers.rsp >= systest::kWindow);
        CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
        CHECK_SOON(beats > still);
        move_to(node_after(i), child.port());
    }
    over = true;
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
    CHECK_KERN(KERN_SUCCESS, task_terminate(child.release()));
    return 0;
}

// To a node and back again at once, many times: what it left there has hardly ended.
SYSTEM_CASE(to_and_fro) {
    over = false;
    auto child = systest::spawn(0, [] {
        long sum = 0;
        std::array<long, 1000> numbers{};
        for (long i = 0; !over; ++i) {
            auto &number = numbers.at(static_cast<std::size_t>(i) % numbers.size());
            sum -= number;
            number = i;
            sum += number;
        }
        for (const auto number : numbers) {
            sum -= number;
        }
        CHECK_EQ(0L, sum);
    });
    for (int i = 0; i < 30; ++i) {
        move_to(node_after(i), child.port());
    }
    over = true;
    JOIN(child);
    return 0;
}

} // namespace
