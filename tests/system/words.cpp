// SPDX-License-Identifier: BSD-3-Clause
// Waiting at words of coherent memory: norma_wait and norma_wake.
#include "tests/system/app.hpp"

#include <array>
#include <chrono>
#include <climits>
#include <csignal>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using systest::address_of;
using systest::shared;
using systest::spawn;

using Word = std::uint32_t;

constexpr vm_size_t kPage = 4096;
constexpr int kTimes = 200;

std::atomic_ref<Word> atomic(Word *word) {
    return std::atomic_ref(*word);
}

int node_of_number(int number) {
    return number % norma::node_count();
}

// How many of the waiters that have said that they are about to wait are queued cannot be seen; they are soon.
void until_they_wait(const std::atomic<int> &about, int count) {
    CHECK_SOON(about == count);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

struct Queue {
    alignas(kPage) Word word;
    std::atomic<int> about, woken;
};

norma::task waiter(int node, Queue *queue, kern_return_t expected = KERN_SUCCESS) {
    return spawn(node, [queue, expected] {
        queue->about.fetch_add(1);
        CHECK_KERN(expected, norma_wait(&queue->word, 0, -1));
        queue->woken.fetch_add(1);
    });
}

// The same memory at another address.
Word *alias_of(Word *word, task_t source) {
    vm_address_t address = 0;
    vm_prot_t now = 0;
    vm_prot_t most = 0;
    CHECK_KERN(KERN_SUCCESS, vm_remap(mach_task_self(), &address, kPage, 0, TRUE, source, address_of(word), FALSE, &now,
                                      &most, VM_INHERIT_SHARE));
    return reinterpret_cast<Word *>(address + address_of(word) % kPage);
}

} // namespace

SYSTEM_CASE(words_rules) {
    auto *word = shared<std::array<Word, 2048>>()->data();
    const auto begin = std::chrono::steady_clock::now();
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_wait(word, 0, 50));
    CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(50));
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_wait(word, 0, 0));
    CHECK_KERN(KERN_INVALID_VALUE, norma_wait(word, 1, -1));
    CHECK_KERN(KERN_SUCCESS, norma_wake(word, 0));
    CHECK_KERN(KERN_SUCCESS, norma_wake(word, INT_MAX));          // nobody waits
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_wait(word, 0, 0)); // and nothing is kept of it
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_wake(word, -1));
    auto *between = reinterpret_cast<Word *>(reinterpret_cast<char *>(word) + 2);
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_wait(between, 0, 0));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_wake(between, 1));
    static Word mine = 0;
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_wait(&mine, 0, 0));
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_wake(&mine, 1));
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_wait(nullptr, 0, 0));
    auto *hole = reinterpret_cast<Word *>(systest::kWindow + systest::kWindowSize / 2);
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_wait(hole, 0, 0));
    CHECK_KERN(KERN_SUCCESS, vm_protect(mach_task_self(), address_of(word), kPage, FALSE, VM_PROT_READ));
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_wait(word, 0, 0)); // it is only read
    CHECK_KERN(KERN_SUCCESS, vm_protect(mach_task_self(), address_of(word), kPage, FALSE, VM_PROT_NONE));
    CHECK_KERN(KERN_PROTECTION_FAILURE, norma_wait(word, 0, 0));
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_wait(word + kPage / sizeof(Word), 0, 0)); // the next page
    return 0;
}

// Waiters of all nodes are one queue; another word, and a copy of the word, have queues of their own.
SYSTEM_CASE(words_queue) {
    auto *queue = shared<Queue>();
    auto *other = shared<Queue>();
    std::vector<norma::task> tasks;
    const int count = 2 * norma::node_count();
    for (int number = 0; number < count; ++number) {
        tasks.push_back(waiter(node_of_number(number), queue));
        until_they_wait(queue->about, number + 1);
    }
    auto elsewhere = waiter(norma::node_count() - 1, other);
    norma::task copy = norma::create_on(norma::node_count() - 1); // Queue is a copy in it
    copy.run([queue] { return norma_wake(&queue->word, INT_MAX) == KERN_SUCCESS ? 0 : 1; });
    JOIN(copy);
    CHECK_EQ(0, queue->woken.load());
    for (int number = 0; number < 3; ++number) { // longest first
        CHECK_KERN(KERN_SUCCESS, norma_wake(&queue->word, 1));
        JOIN(tasks[static_cast<std::size_t>(number)]);
        CHECK_EQ(number + 1, queue->woken.load());
    }
    auto *alias = alias_of(&queue->word, mach_task_self());
    CHECK(alias != &queue->word);
    CHECK_KERN(KERN_SUCCESS, norma_wake(alias, INT_MAX));
    for (std::size_t number = 3; number < tasks.size(); ++number) {
        JOIN(tasks[number]);
    }
    CHECK_EQ(0, other->woken.load());
    CHECK_KERN(KERN_SUCCESS, norma_wake(&other->word, 1));
    JOIN(elsewhere);
    return 0;
}

// Turns go round through words of one page: a wake that is lost stops it, since nobody has a time limit.
SYSTEM_CASE(words_turns) {
    struct Ring {
        alignas(kPage) std::array<Word, 8> turn;
        std::atomic<long> sum;
    };
    auto *ring = shared<Ring>();
    const int rounds = static_cast<int>(systest::number(args, 0, kTimes / 5));
    const int count = 2 * norma::node_count();
    std::vector<norma::task> tasks;
    for (int number = 0; number < count; ++number) {
        tasks.push_back(spawn(node_of_number(number), [=] {
            auto *mine = &ring->turn.at(static_cast<std::size_t>(number));
            auto *next = &ring->turn.at(static_cast<std::size_t>((number + 1) % count));
            for (int round = 0; round < rounds; ++round) {
                while (atomic(mine).exchange(0) == 0) {
                    const auto status = norma_wait(mine, 0, -1);
                    CHECK(status == KERN_SUCCESS || status == KERN_INVALID_VALUE);
                }
                ring->sum.fetch_add(1);
                atomic(next).store(1);
                CHECK_KERN(KERN_SUCCESS, norma_wake(next, 1));
            }
        }));
    }
    atomic(ring->turn.data()).store(1);
    CHECK_KERN(KERN_SUCCESS, norma_wake(ring->turn.data(), 1));
    for (auto &task : tasks) {
        JOIN(task);
    }
    CHECK_EQ(static_cast<long>(count) * rounds, ring->sum.load());
    return 0;
}

// A lock that wakes one waiter when it is released: everybody gets it in the end, and one at a time.
SYSTEM_CASE(words_lock) {
    struct Lock {
        alignas(kPage) Word word; // 0 free, 1 held, 2 held and perhaps somebody waits
        long count;
    };
    auto *lock = shared<Lock>();
    const int rounds = static_cast<int>(systest::number(args, 0, kTimes));
    std::vector<norma::task> tasks;
    for (int number = 0; number < 2 * norma::node_count(); ++number) {
        tasks.push_back(spawn(node_of_number(number), [=] {
            for (int round = 0; round < rounds; ++round) {
                Word seen = 0;
                if (!atomic(&lock->word).compare_exchange_strong(seen, 1)) {
                    while (atomic(&lock->word).exchange(2) != 0) {
                        const auto status = norma_wait(&lock->word, 2, -1);
                        CHECK(status == KERN_SUCCESS || status == KERN_INVALID_VALUE);
                    }
                }
                ++lock->count;
                if (atomic(&lock->word).exchange(0) == 2) {
                    CHECK_KERN(KERN_SUCCESS, norma_wake(&lock->word, 1));
                }
            }
        }));
    }
    for (auto &task : tasks) {
        JOIN(task);
    }
    CHECK_EQ(2L * norma::node_count() * rounds, lock->count);
    return 0;
}

// The dead wait for nothing: what is left of the queue is woken.
SYSTEM_CASE(words_deaths) {
    auto *queue = shared<Queue>();
    auto *pid = shared<std::atomic<pid_t>>();
    auto victim = spawn(norma::node_count() - 1, [=] {
        *pid = ::getpid();
        queue->about.fetch_add(1);
        norma_wait(&queue->word, 0, -1);
    });
    until_they_wait(queue->about, 1);
    auto survivor = waiter(norma::node_count() - 1, queue);
    until_they_wait(queue->about, 2);
    CHECK_EQ(0, ::kill(*pid, SIGKILL));
    CHECK_EQ(SIGKILL, END_OF(victim.release()));
    CHECK_KERN(KERN_SUCCESS, norma_wake(&queue->word, 1));
    JOIN(survivor);
    CHECK_EQ(1, queue->woken.load());
    return 0;
}

// Node 1 dies. Waiters on it are gone from the queues of others; at words of its memory nobody waits any more.
SYSTEM_CASE(words_node_dies) {
    auto *queue = shared<Queue>();
    auto *theirs = shared<std::atomic<Queue *>>();
    auto owner = spawn(1, [=] {
        *theirs = shared<Queue>();
        queue->about.fetch_add(1);
        norma_wait(&queue->word, 0, -1);
    });
    until_they_wait(queue->about, 1);
    auto here = waiter(norma::node_count() - 1, queue);
    until_they_wait(queue->about, 2);
    auto *lost = alias_of(&theirs->load()->word, owner.port());
    auto *late = lost + 1;
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_wait(lost, 0, 0)); // the page is here
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_wait(late, 0, 0));
    auto stranded = spawn(0, [=] {
        queue->about.fetch_add(1);
        CHECK_KERN(KERN_NODE_DOWN, norma_wait(lost, 0, -1));
        queue->woken.fetch_add(10);
    });
    until_they_wait(queue->about, 3);
    systest::kill_node(1);
    JOIN(stranded);
    CHECK_KERN(KERN_NODE_DOWN, norma_wait(late, 0, -1));
    CHECK_KERN(KERN_NODE_DOWN, norma_wake(late, 1));
    CHECK_KERN(KERN_SUCCESS, norma_wake(&queue->word, 1));
    if (norma::node_count() > 2) {
        JOIN(here);
        CHECK_EQ(11, queue->woken.load());
    } else {
        here.release();
    }
    owner.release();
    return 0;
}
