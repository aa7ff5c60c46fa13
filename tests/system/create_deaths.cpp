// SPDX-License-Identifier: BSD-3-Clause
// A node dies while children are made: nothing stays frozen, nothing leaks, and whoever is left goes on.
#include "tests/system/create.hpp"

#include <chrono>
#include <string_view>
#include <thread>

#include <unistd.h>

namespace {

using systest::bytes_of_node;
using systest::child_of_mine;
using systest::kill_node;
using systest::Maker;
using systest::shared_bytes;
using systest::truly_shared;

constexpr std::size_t kPage = systest::kPageBytes;
constexpr std::size_t kPages = 2048; // two dozen copies take more than NORMA_MEMORY=256M
constexpr int kRoundsAfter = 30;
using Word = std::atomic<long>;

Word &word(std::byte *memory, std::size_t page) {
    return *reinterpret_cast<Word *>(memory + page * kPage);
}

// On the node that is killed one may hear of that before one ends oneself.
void check_until_killed(kern_return_t status) {
    if (status == KERN_NODE_DOWN) {
        for (;;) {
            ::pause();
        }
    }
    CHECK_KERN(KERN_SUCCESS, status);
}

// On node 1, until it dies: makes children of memory with its home on node 0, or writes it.
void disturb(std::string_view who, std::byte *memory) {
    const bool creates = who == "asker";
    auto helper = norma::clone_to(1);
    helper.start([=] {
        for (long round = 1;; ++round) {
            if (creates) {
                task_t child = TASK_NULL;
                check_until_killed(norma_task_create(mach_task_self(), TRUE, 2, &child));
                check_until_killed(task_terminate(child));
            } else {
                word(memory, 1 + static_cast<std::size_t>(round) % 3) = round;
            }
        }
    });
    helper.release();
}

// Makes a child that finds the round's number in `mine`.
void create_one(int node, Word &mine, long round) {
    mine = round;
    const auto child =
        child_of_mine({.how = Maker::How::create_on, .node = node}, [&mine, round] { CHECK_EQ(round, mine.load()); });
    mine = -round;
    CHECK_EQ(0, END_OF(child));
}

// Tries to make a child that is not to stay. Whether it was made.
bool try_one(int node, bool node_is_dead) {
    task_t child = TASK_NULL;
    const auto status = norma_task_create(mach_task_self(), TRUE, node, &child);
    if (status == KERN_SUCCESS) {
        task_terminate(child); // which may come too late
    }
    CHECK(status == KERN_NODE_DOWN || (status == KERN_SUCCESS && !node_is_dead));
    return status == KERN_SUCCESS;
}

} // namespace

// create_and_death WHO [MS]: after so many milliseconds of making children node 1 dies, which is where another task
// makes children of the same memory (asker) or writes it (writer), where the memory to be copied was allocated (home),
// or where the children come to be (child).
SYSTEM_CASE(create_and_death) {
    const std::string_view who = args[0];
    auto *const memory = who == "home" ? bytes_of_node(1, kPages * kPage) : shared_bytes(kPages * kPage);
    word(memory, 5) = 5;
    auto &mine = *reinterpret_cast<Word *>(shared_bytes(kPage));
    auto *const dead = truly_shared<Word>();
    if (who == "asker" || who == "writer") {
        disturb(who, memory);
    }
    std::thread killer([dead, delay = systest::number(args, 1, 100)] {
        std::this_thread::sleep_for(std::chrono::milliseconds(delay));
        kill_node(1);
        *dead = 1;
    });
    const bool any = who == "home" || who == "child"; // then a child cannot always be made
    long made = 0;
    for (long round = 1, after = 0; after < kRoundsAfter; ++round) {
        const bool is_dead = *dead != 0;
        after += is_dead ? 1 : 0;
        if (any) {
            made += try_one(who == "child" ? 1 : 2, is_dead) ? 1 : 0;
        } else {
            create_one(round % 2 == 0 ? 0 : 2, mine, round);
            ++made;
        }
        mine = round; // frozen for none of them
    }
    killer.join();
    CHECK(made > 0);
    if (who == "home") {
        systest::set_inheritance(memory, kPages * kPage, VM_INHERIT_NONE);
    }
    for (long round = 1; round <= kRoundsAfter; ++round) {
        create_one(round % 2 == 0 ? 0 : 2, mine, round);
    }
    fmt::print("went on\n");
    return 0;
}
