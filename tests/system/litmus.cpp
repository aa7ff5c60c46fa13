// SPDX-License-Identifier: BSD-3-Clause
// Litmus tests of sequential consistency over two pages of different homes: x lives on node 0, y on node 1. Every
// thread keeps its own record of what it saw; the records are judged when all is over.
#include "tests/system/app.hpp"

#include <array>
#include <immintrin.h>
#include <map>
#include <random>
#include <vector>

namespace {

using systest::shared_bytes;

constexpr unsigned kSlots = 16; // rounds between two barriers, each with variables of its own
constexpr unsigned kThreads = 4;
using Word = std::atomic<std::uint64_t>;

struct Page {
    std::array<Word, kSlots> words;
};

struct Setting;
using Body = void (*)(Setting &, unsigned thread);

// What the threads need to know, in coherent memory of node 0.
struct Setting {
    norma::barrier meet;
    Page *x, *y;
    unsigned rounds;
    Body body;
    std::array<std::uint8_t *, kThreads> seen; // two marks each round: was the value of this round there?
};

struct Place {
    Setting *setting;
    unsigned thread;
};

// One round as a thread sees it. The value of round r is r + 1, so nothing need be cleared.
struct Round {
    Word &x, &y;
    std::uint64_t value;
    std::uint8_t *seen;

    void write(Word &word) const { word.store(value, std::memory_order_relaxed); }
    void read(unsigned mark, const Word &word) const {
        const auto got = word.load(std::memory_order_relaxed);
        CHECK(got <= value);
        seen[mark] = got == value ? 1 : 0;
    }
};

using Act = void (*)(const Round &, unsigned thread);

template <Act act> void play(Setting &setting, unsigned thread) {
    std::minstd_rand random(thread + 1);
    for (unsigned round = 0; round < setting.rounds; ++round) {
        if (round % kSlots == 0) {
            setting.meet.wait();
        }
        const Round now{setting.x->words[round % kSlots], setting.y->words[round % kSlots], round + 1,
                        setting.seen[thread] + std::size_t{2} * round};
        for (auto pauses = random() % 256; pauses > 0; --pauses) {
            _mm_pause();
        }
        act(now, thread);
    }
}

void message_passing(const Round &now, unsigned thread) {
    if (thread == 0) {
        now.write(now.x);
        now.write(now.y);
    } else if (thread == 1) {
        now.read(0, now.y);
        now.read(1, now.x);
    }
}

void store_buffering(const Round &now, unsigned thread) {
    if (thread < 2) {
        now.write(thread == 0 ? now.x : now.y);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        now.read(0, thread == 0 ? now.y : now.x);
    }
}

void load_buffering(const Round &now, unsigned thread) {
    if (thread < 2) {
        now.read(0, thread == 0 ? now.x : now.y);
        now.write(thread == 0 ? now.y : now.x);
    }
}

void independent_reads(const Round &now, unsigned thread) {
    switch (thread) {
    case 0:
        return now.write(now.x);
    case 1:
        return now.write(now.y);
    case 2:
        now.read(0, now.x);
        return now.read(1, now.y);
    default:
        now.read(0, now.y);
        return now.read(1, now.x);
    }
}

// Write to read causality: who has seen x because of y sees x.
void causality(const Round &now, unsigned thread) {
    if (thread == 0) {
        now.write(now.x);
    } else if (thread == 1) {
        now.read(0, now.x);
        if (now.seen[0] != 0) {
            now.write(now.y);
        }
    } else if (thread == 2) {
        now.read(0, now.y);
        now.read(1, now.x);
    }
}

void read_twice(const Round &now, unsigned thread) {
    if (thread == 0) {
        now.write(now.x);
    } else {
        now.read(0, now.x);
        now.read(1, now.x);
    }
}

using Marks = std::array<const std::uint8_t *, kThreads>;
struct Test {
    const char *name;
    Body body;
    bool (*forbidden)(const Marks &);
};

const std::array kTests{
    Test{"MP", play<message_passing>, [](const Marks &m) { return m[1][0] == 1 && m[1][1] == 0; }},
    Test{"SB", play<store_buffering>, [](const Marks &m) { return m[0][0] == 0 && m[1][0] == 0; }},
    Test{"LB", play<load_buffering>, [](const Marks &m) { return m[0][0] == 1 && m[1][0] == 1; }},
    Test{"IRIW", play<independent_reads>,
         [](const Marks &m) { return m[2][0] == 1 && m[2][1] == 0 && m[3][0] == 1 && m[3][1] == 0; }},
    Test{"WRC", play<causality>, [](const Marks &m) { return m[1][0] == 1 && m[2][0] == 1 && m[2][1] == 0; }},
    Test{"CoRR", play<read_twice>,
         [](const Marks &m) {
             return (m[1][0] == 1 && m[1][1] == 0) || (m[2][0] == 1 && m[2][1] == 0) || (m[3][0] == 1 && m[3][1] == 0);
         }},
};

void play_one(void *raw) {
    const auto *place = static_cast<Place *>(raw);
    place->setting->body(*place->setting, place->thread);
    norma_exit(0);
}

// The children are clones of one on node 1, so that they have memory of both homes.
void run_test(const Test &test, unsigned rounds, unsigned first_node) {
    auto *setting = systest::shared<Setting>();
    auto *places = reinterpret_cast<Place *>(shared_bytes(sizeof(Place) * kThreads));
    setting->rounds = rounds;
    setting->body = test.body;
    setting->meet = norma::barrier::create(kThreads);
    setting->x = systest::shared<Page>();
    for (unsigned thread = 0; thread < kThreads; ++thread) {
        setting->seen[thread] = reinterpret_cast<std::uint8_t *>(shared_bytes(std::size_t{2} * rounds));
        places[thread] = {setting, thread};
    }
    const auto ancestor = norma::clone_to(1);
    vm_address_t y = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(ancestor.port(), &y, sizeof(Page), TRUE));
    setting->y = reinterpret_cast<Page *>(y);
    std::vector<task_t> tasks;
    for (unsigned thread = 0; thread < kThreads; ++thread) {
        const auto node = static_cast<int>(first_node + thread) % norma::node_count();
        task_t child = TASK_NULL;
        thread_t started = THREAD_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_task_clone(ancestor.port(), TRUE, node, &child));
        CHECK_KERN(KERN_SUCCESS, norma_thread_start(child, play_one, &places[thread], 0, &started));
        tasks.push_back(child);
    }
    for (const auto task : tasks) {
        CHECK_EQ(0, END_OF(task));
    }
    std::map<std::string, unsigned> outcomes;
    for (unsigned round = 0; round < rounds; ++round) {
        Marks marks{};
        std::string outcome;
        for (unsigned thread = 0; thread < kThreads; ++thread) {
            marks[thread] = setting->seen[thread] + std::size_t{2} * round;
            outcome += fmt::format("{}{} ", marks[thread][0], marks[thread][1]);
        }
        ++outcomes[outcome];
        if (test.forbidden(marks)) {
            systest::fail(__FILE__, __LINE__, fmt::format("{}: round {} shows {}", test.name, round, outcome));
        }
    }
    CHECK(outcomes.size() > 1); // or nothing ran beside anything else, and the test shows nothing
    fmt::print("{} from node {}:", test.name, first_node);
    for (const auto &[outcome, times] : outcomes) {
        fmt::print(" {}x {}", times, outcome);
    }
    fmt::print("\n");
}

} // namespace

// litmus ROUNDS
SYSTEM_CASE(litmus) {
    const auto rounds = static_cast<unsigned>(systest::number(args, 0, 2000));
    for (const auto &test : kTests) {
        for (unsigned first = 0; first < 2; ++first) {
            run_test(test, rounds, first);
        }
    }
    return 0;
}

// Writes to one place are seen in one order: values only grow, and the last one stays.
SYSTEM_CASE(litmus_one_place) {
    const auto values = static_cast<std::uint64_t>(systest::number(args, 0, 20'000));
    auto *word = systest::shared<Word>();
    std::vector<norma::task> readers;
    for (int node = 0; node < norma::node_count(); ++node) {
        readers.push_back(systest::spawn(node, [word, values] {
            std::uint64_t last = 0;
            while (last < values) {
                const auto now = word->load(std::memory_order_relaxed);
                CHECK(now >= last);
                last = now;
            }
            CHECK_EQ(values, last);
        }));
    }
    auto writer = systest::spawn(1, [word, values] {
        for (std::uint64_t value = 1; value <= values; ++value) {
            word->store(value, std::memory_order_relaxed);
        }
    });
    JOIN(writer);
    for (auto &reader : readers) {
        JOIN(reader);
    }
    CHECK_EQ(values, word->load());
    return 0;
}
