// SPDX-License-Identifier: BSD-3-Clause
// What becomes of the memory of a task that is moved: it follows, comes when it is touched, or stays with those who use
// it where it is.
#include "runtime/probe.hpp"
#include "tests/migration/moving.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace {

using namespace moving;

constexpr std::uint64_t kPages = 4096, kPage = 4096;
constexpr auto kMoment = 200ms; // in which all of it could have come

std::atomic<int> stage;

std::uint64_t pages_in() { // to the node where the caller is
    std::array<char, 1024> text{};
    CHECK_KERN(KERN_SUCCESS, norma_probe_stats(text.data(), text.size()));
    const auto *found = std::strstr(text.data(), " pages_in=");
    CHECK(found != nullptr);
    return std::strtoull(found + std::strlen(" pages_in="), nullptr, 10);
}

std::uint64_t *words_of(std::uint64_t pages) {
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(self(), &address, pages * kPage, true));
    return reinterpret_cast<std::uint64_t *>(address);
}

// Every third page stays untouched.
template <class Visit> void each_used_page(std::uint64_t *words, Visit visit) {
    for (std::uint64_t page = 0; page < kPages; ++page) {
        if (page % 3 != 2) {
            visit(words[page * kPage / sizeof *words], page);
        }
    }
}
constexpr auto kUsed = kPages / 3 * 2;

void fill(std::uint64_t *words) {
    each_used_page(words, [](std::uint64_t &word, std::uint64_t page) { word = page * page + 1; });
}

void check_and_change(std::uint64_t *words) {
    each_used_page(words, [](std::uint64_t &word, std::uint64_t page) {
        CHECK_EQ(page * page + 1, word);
        word = page;
    });
}

void wait_for(int what) { // in the program itself, where a thread can be stopped
    while (stage.load() != what) {
    }
}

} // namespace

// Nobody else has it, so none of it is left where it was: only what was never touched is asked for there.
SYSTEM_CASE(memory_follows) {
    auto child = systest::spawn(1, [] {
        auto *words = words_of(kPages);
        fill(words);
        stage = 1;
        wait_for(2);
        CHECK_SOON(pages_in() >= kUsed);
        rest(kMoment); // what its stack and the program's variables need comes, too
        const auto before = pages_in();
        check_and_change(words);
        CHECK(pages_in() - before < kUsed / 10);
    });
    wait_for(1);
    move_to(2, child.port());
    stage = 2;
    JOIN(child);
    return 0;
}

SYSTEM_CASE(memory_comes_when_it_is_touched) {
    auto child = systest::spawn(1, [] {
        auto *words = words_of(kPages);
        fill(words);
        stage = 1;
        wait_for(2);
        rest(kMoment);
        CHECK(pages_in() < kUsed / 10);
        check_and_change(words);
        CHECK(pages_in() >= kUsed);
    });
    wait_for(1);
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_migrate(child.port(), 2, 4));
    move_to(2, child.port(), NORMA_MIGRATE_LAZY);
    stage = 2;
    JOIN(child);
    return 0;
}

// It is here with the task, which has it for itself as soon as what is on the other node has been given up.
SYSTEM_CASE(memory_comes_first) {
    auto child = systest::spawn(1, [] {
        auto *words = words_of(kPages);
        fill(words);
        stage = 1;
        wait_for(2);
        const auto before = pages_in();
        CHECK(before >= kUsed);
        check_and_change(words);
        CHECK(pages_in() - before < kUsed / 10);
    });
    wait_for(1);
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_migrate(child.port(), 2, NORMA_MIGRATE_LAZY | NORMA_MIGRATE_PRECOPY));
    move_to(2, child.port(), NORMA_MIGRATE_PRECOPY);
    stage = 2;
    JOIN(child);
    return 0;
}

std::uint64_t *changed_words;

// One page of three again and again, and counts in each how often.
void change_pages(void *of_three) {
    const auto remainder = reinterpret_cast<std::uintptr_t>(of_three);
    auto *words = changed_words;
    std::uint64_t rounds = 0;
    for (std::uint64_t page = remainder; stage.load() == 1; page = (page + 3 * 7919) % (kPages / 3 * 3)) {
        auto *on_page = words + page * kPage / sizeof *words;
        CHECK_EQ(page * page + 1, on_page[0]);
        ++on_page[1];
        ++rounds;
    }
    for (std::uint64_t page = remainder; page < kPages; page += 3) {
        rounds -= words[page * kPage / sizeof *words + 1];
    }
    CHECK_EQ(0U, rounds);
}

// While copies of it are made two threads write it, and a third one has other memory again and again.
SYSTEM_CASE(memory_changes_while_it_comes_first) {
    auto child = systest::spawn(1, [] {
        changed_words = words_of(kPages);
        fill(changed_words);
        stage = 1;
        std::array<thread_act_t, 2> threads{};
        for (std::uintptr_t i = 0; i < threads.size(); ++i) {
            CHECK_KERN(KERN_SUCCESS,
                       norma_thread_start(self(), change_pages, reinterpret_cast<void *>(i), 0, &threads[i]));
        }
        while (stage.load() == 1) {
            auto *other = words_of(3);
            other[1] = 1;
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), reinterpret_cast<vm_address_t>(other), 3 * kPage));
        }
        for (const auto thread : threads) {
            CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
        }
        check_and_change(changed_words);
    });
    wait_for(1);
    for (int to = 0; to < 9; ++to) {
        move_to((to + 2) % norma::node_count(), child.port(), to % 3 == 1 ? 0 : NORMA_MIGRATE_PRECOPY);
    }
    stage = 2;
    JOIN(child);
    return 0;
}

// The parent has it, too, and stays where it is.
SYSTEM_CASE(memory_in_use_stays) {
    auto *words = words_of(kPages);
    CHECK_KERN(KERN_SUCCESS,
               vm_inherit(self(), reinterpret_cast<vm_address_t>(words), kPages * kPage, VM_INHERIT_SHARE));
    fill(words);
    auto child = systest::spawn(0, [] {
        stage = 1;
        wait_for(2);
        rest(kMoment);
        CHECK(pages_in() < kUsed / 10);
    });
    wait_for(1);
    move_to(1, child.port());
    stage = 2;
    JOIN(child);
    check_and_change(words);
    return 0;
}

// On from where it is before all has come there: the rest follows from where it was first. Meanwhile it is changed.
SYSTEM_CASE(memory_follows_over_several_nodes) {
    auto child = systest::spawn(1, [] {
        auto *words = words_of(kPages);
        fill(words);
        stage = 1;
        for (std::uint64_t round = 0; stage.load() == 1; ++round) {
            const auto page = round * 7919 % kPages;
            if (page % 3 != 2) {
                auto &word = words[page * kPage / sizeof *words];
                CHECK_EQ(page * page + 1, word);
                word = page * page + 1;
            }
        }
        check_and_change(words);
    });
    wait_for(1);
    for (int to = 0; to < 9; ++to) {
        move_to((to + 2) % norma::node_count(), child.port());
    }
    stage = 2;
    JOIN(child);
    return 0;
}

// The harness moves the child and kills the node where it was. What the child has is not there any more, nor is its
// home: also what it has not touched yet can be had.
SYSTEM_CASE(the_node_it_was_on_dies) {
    auto child = systest::spawn(1, [] {
        auto *words = words_of(kPages);
        fill(words);
        stage = 1;
        wait_for(2);
        check_and_change(words);
        for (std::uint64_t page = 2; page < kPages; page += 3) {
            CHECK_EQ(0U, std::exchange(words[page * kPage / sizeof *words], page));
        }
        auto grandchild = systest::spawn(0, [words] {
            for (std::uint64_t page = 0; page < kPages; ++page) {
                CHECK_EQ(page, words[page * kPage / sizeof *words]);
            }
        });
        JOIN(grandchild);
        stage = 3;
    });
    wait_for(1);
    std::puts("begun");
    std::fflush(stdout);
    int status = 0;
    while (norma_task_wait(child.port(), 50, &status) != KERN_NODE_DOWN) { // its name is of that node still
    }
    stage = 2;
    wait_for(3);
    return 0;
}
