// SPDX-License-Identifier: BSD-3-Clause
// The litmus shapes over two pages with different homes, x on node 0 and y on node 1, by tasks on all nodes. What comes
// out is counted here and judged elsewhere.
#include "tests/history/file.hpp"
#include "tests/system/app.hpp"

#include <array>
#include <immintrin.h>
#include <map>
#include <random>
#include <vector>

namespace {

using history::kLitmusReads;
using history::kLitmusThreads;
using history::Outcome;
using history::Shape;
using history::Step;
using systest::shared_bytes;

constexpr unsigned kSlots = 16;      // rounds between two barriers, each with words of its own
constexpr std::uint64_t kValues = 4; // a word holds kValues times the round plus the value of the shape
using Word = std::atomic<std::uint64_t>;
using Reads = std::array<std::uint8_t, kLitmusReads>;
using Last = std::array<std::uint8_t, 2>;

struct Page {
    std::array<Word, kSlots> words;
};

// What the threads need to know, in coherent memory of node 0.
struct Setting {
    std::size_t shape;
    unsigned rounds;
    norma::barrier meet;
    std::array<Page *, 2> pages;
    std::array<Reads *, kLitmusThreads> reads; // by round
    Last *last;                                // by round
};

struct Place {
    Setting *setting;
    unsigned thread;
};

std::uint8_t value_in(const Word &word, unsigned round) {
    const auto got = word.load();
    CHECK(got / kValues <= round);
    return static_cast<std::uint8_t>(got / kValues == round ? got % kValues : 0);
}

// Rounds count from 1, so that nothing need be cleared.
void play_round(Setting &setting, const std::vector<Step> &steps, unsigned thread, unsigned round) {
    auto &reads = setting.reads.at(thread)[round - 1];
    std::size_t next = 0;
    std::uint8_t last_read = 0;
    for (const auto &step : steps) {
        auto &word = setting.pages.at(step.word)->words.at(round % kSlots);
        if (step.what == Step::What::read) {
            last_read = value_in(word, round);
            reads.at(next++) = last_read;
        } else if (!step.if_seen || last_read != 0) {
            word.store(round * kValues + step.value);
        }
    }
}

// Every thread is past rounds up to `over`, and the last kSlots of them still stand in the words.
void keep_last(Setting &setting, unsigned over) {
    for (unsigned round = over < kSlots ? 1 : over - kSlots + 1; round <= over; ++round) {
        for (std::size_t word = 0; word < 2; ++word) {
            setting.last[round - 1].at(word) = value_in(setting.pages.at(word)->words.at(round % kSlots), round);
        }
    }
}

void play(void *raw) {
    const auto [setting, thread] = *static_cast<Place *>(raw);
    const auto &steps = history::shapes().at(setting->shape).threads.at(thread);
    std::minstd_rand random(thread + 1);
    for (unsigned round = 1; round <= setting->rounds; ++round) {
        if (round % kSlots == 1) {
            setting->meet.wait();
            if (thread == 0) {
                keep_last(*setting, round - 1);
            }
            setting->meet.wait();
        }
        for (auto pauses = random() % 256; pauses > 0; --pauses) {
            _mm_pause();
        }
        play_round(*setting, steps, thread, round);
    }
    setting->meet.wait();
    if (thread == 0) {
        keep_last(*setting, setting->rounds);
    }
    norma_exit(0);
}

void count(const Setting &setting, std::vector<history::Seen> &seen) {
    std::map<Outcome, std::uint64_t> times;
    for (unsigned round = 0; round < setting.rounds; ++round) {
        Outcome outcome;
        for (std::size_t thread = 0; thread < kLitmusThreads; ++thread) {
            outcome.read.at(thread) = setting.reads.at(thread)[round];
        }
        outcome.last = setting.last[round];
        ++times[outcome];
    }
    for (const auto &[outcome, number] : times) {
        seen.push_back({.shape = setting.shape, .times = number, .outcome = outcome});
    }
}

// The tasks are clones of one on node 1, so that they have memory of both homes.
void run_shape(std::size_t shape, unsigned rounds, unsigned first_node, std::vector<history::Seen> &seen) {
    auto *setting = systest::shared<Setting>();
    auto *places = reinterpret_cast<Place *>(shared_bytes(sizeof(Place) * kLitmusThreads));
    setting->shape = shape;
    setting->rounds = rounds;
    setting->meet = norma::barrier::create(kLitmusThreads);
    setting->pages[0] = systest::shared<Page>();
    setting->last = reinterpret_cast<Last *>(shared_bytes(sizeof(Last) * rounds));
    for (unsigned thread = 0; thread < kLitmusThreads; ++thread) {
        setting->reads.at(thread) = reinterpret_cast<Reads *>(shared_bytes(sizeof(Reads) * rounds));
        places[thread] = {setting, thread};
    }
    const auto ancestor = norma::clone_to(1);
    vm_address_t page = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(ancestor.port(), &page, sizeof(Page), TRUE));
    setting->pages[1] = reinterpret_cast<Page *>(page);
    std::vector<task_t> tasks;
    for (unsigned thread = 0; thread < kLitmusThreads; ++thread) {
        const auto node = static_cast<int>(first_node + thread) % norma::node_count();
        task_t child = TASK_NULL;
        thread_t started = THREAD_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_task_clone(ancestor.port(), TRUE, node, &child));
        CHECK_KERN(KERN_SUCCESS, norma_thread_start(child, play, &places[thread], 0, &started));
        tasks.push_back(child);
    }
    for (const auto task : tasks) {
        CHECK_EQ(0, END_OF(task));
    }
    count(*setting, seen);
}

} // namespace

// history_litmus FILE ROUNDS: of each shape, from each of two first nodes.
SYSTEM_CASE(history_litmus) {
    CHECK(!args.empty());
    const auto rounds = static_cast<unsigned>(systest::number(args, 1, 500));
    history::File file;
    for (std::size_t shape = 0; shape < history::shapes().size(); ++shape) {
        for (unsigned first = 0; first < 2; ++first) {
            run_shape(shape, rounds, first, file.seen);
            file.facts.rounds += rounds;
        }
    }
    file.facts.nodes = static_cast<std::uint64_t>(norma::node_count());
    history::save(args[0], file);
    return 0;
}
