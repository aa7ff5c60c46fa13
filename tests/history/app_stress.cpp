// SPDX-License-Identifier: BSD-3-Clause
// Threads of many tasks read, write and update the same few words at random and note down what they see, while tasks
// are cloned, move themselves and are moved, and while a thread that takes part in nothing keeps pulling the pages
// away.
#include "tests/history/clocks.hpp"
#include "tests/history/file.hpp"
#include "tests/history/recorder.hpp"
#include "tests/system/app.hpp"

#include "runtime/probe.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace {

using history::Log;
using history::Recorder;
using history::Word;
using systest::shared;

constexpr unsigned kPages = 6;
constexpr unsigned kWords = 4;     // that are looked at, of each page; the last is only counted up
constexpr unsigned kSpareWord = 5; // for the thief
constexpr unsigned kChildren = 4;  // tasks cloned from within a task, in each round
constexpr unsigned kMoves = 4;     // of the task that is moved by another
constexpr unsigned kMostLogs = 64;

struct alignas(4096) Page {
    struct alignas(64) Line { // words are looked at for themselves; their neighbours come along with the page
        Word word;
    };
    std::array<Line, 64> lines;
};

struct Round {
    unsigned number;
    unsigned operations; // of each thread
    norma::barrier meet; // of the workers
    std::array<Page *, kPages> pages;
    std::array<Log *, kMostLogs> logs;
    std::atomic<unsigned> logs_given;
    std::atomic<bool> over;
    std::atomic<std::uint64_t> teleports, clones, evictions;

    Word &word(unsigned page, unsigned number_in_page) { return pages[page]->lines[number_in_page].word; }
    Log *new_log() {
        const auto given = logs_given.fetch_add(1);
        CHECK(given < kMostLogs);
        return logs.at(given);
    }
};

// One thread at work; lives on its stack, so it survives a teleport.
class Worker {
  public:
    Worker(Round *round, bool counts)
        : round_(round), log_(round->new_log()), recorder_(log_), random_(log_->thread + 1), counts_(counts) {}

    bool finished() const { return recorder_.full(); }
    unsigned done() const { return log_->used; }

    void act() {
        const auto page = pick(kPages);
        const auto number = pick(kWords);
        auto &word = round_->word(page, number);
        auto &known = known_.at(page).at(number);
        const auto location = (std::uint64_t{round_->number} * kPages + page) * kWords + number;
        if (pick(32) == 0) {
            evict(page);
        }
        const auto what = pick(8);
        if (number == kWords - 1 && what < 4 && counts_) {
            recorder_.add_one(word, location);
        } else if (number == kWords - 1 || what < 4) {
            known = recorder_.read(word, location);
        } else if (what < 6) {
            recorder_.write(word, location);
        } else if (what == 6) {
            recorder_.exchange(word, location);
        } else {
            recorder_.compare_exchange(word, location, known);
        }
    }

  private:
    // The page leaves this node, copy or only one, whoever else is using it.
    void evict(unsigned page) {
        const auto address = systest::address_of(round_->pages.at(page));
        CHECK_KERN(KERN_SUCCESS, vm_behavior_set(mach_task_self(), address, sizeof(Page), VM_BEHAVIOR_DONTNEED));
        round_->evictions.fetch_add(1);
    }
    unsigned pick(unsigned limit) { return static_cast<unsigned>(random_() >> 8) % limit; }

    Round *round_;
    Log *log_;
    Recorder recorder_;
    std::minstd_rand random_;
    bool counts_;
    std::array<std::array<std::uint64_t, kWords>, kPages> known_{};
};

int node_after(int node) {
    return (node + 1) % norma::node_count();
}

void work(void *raw) {
    auto *round = static_cast<Round *>(raw);
    round->meet.wait();
    for (Worker worker(round, true); !worker.finished();) {
        worker.act();
    }
}

// As work, and now and then it clones its task; the child does a little work of its own.
void work_and_clone(void *raw) {
    auto *round = static_cast<Round *>(raw);
    round->meet.wait();
    Worker worker(round, true);
    for (unsigned child = 0; !worker.finished(); worker.act()) {
        if (child < kChildren && worker.done() * kChildren >= child * round->operations) {
            ++child;
            auto task = norma::clone_to(node_after(norma::this_node()));
            task.run([round] {
                Worker mine(round, true);
                while (!mine.finished() && mine.done() < round->operations / kChildren) {
                    mine.act();
                }
            });
            round->clones.fetch_add(1);
            JOIN(task);
        }
    }
}

// Goes round the nodes while it works.
void travel(void *raw) {
    auto *round = static_cast<Round *>(raw);
    for (Worker worker(round, true); !worker.finished(); worker.act()) {
        if (worker.done() % 64 == 63) {
            task_t self = TASK_NULL;
            CHECK_KERN(KERN_SUCCESS,
                       norma_task_teleport(mach_task_self(), TRUE, node_after(norma::this_node()), &self));
            round->teleports.fetch_add(1);
        }
    }
    norma_exit(0);
}

// Is ended in the middle of anything when its task is moved, so it does not count: an addition whose result nobody
// knows would leave a gap that cannot be told from a lost one.
void work_until_moved(void *raw) {
    Worker worker(static_cast<Round *>(raw), false);
    for (;;) {
        while (!worker.finished()) {
            worker.act();
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

// Writes to every page, so that no other node keeps a copy for long.
void steal(void *raw) {
    auto *round = static_cast<Round *>(raw);
    for (unsigned page = 0; !round->over.load(); page = (page + 1) % kPages) {
        round->word(page, kSpareWord).fetch_add(1);
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
}

struct Task {
    task_t port = TASK_NULL;
    std::vector<thread_t> threads;
};

thread_t start(task_t task, void (*entry)(void *), Round *round) {
    thread_t started = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, entry, round, 0, &started));
    return started;
}

task_t clone(task_t parent, int node) {
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(parent, TRUE, node, &child));
    return child;
}

// A line of tasks, each a clone of the one before it on the next node, which puts some of the pages there. The last
// knows all pages; those that work are its clones.
std::vector<task_t> make_pages(Round &round) {
    std::vector<task_t> line{mach_task_self()};
    for (int node = 0; node < norma::node_count(); ++node) {
        if (node > 0) {
            line.push_back(clone(line.back(), node));
        }
        for (auto page = static_cast<unsigned>(node); page < kPages;
             page += static_cast<unsigned>(norma::node_count())) {
            vm_address_t address = 0;
            CHECK_KERN(KERN_SUCCESS, vm_allocate(line.back(), &address, sizeof(Page), TRUE));
            round.pages.at(page) = reinterpret_cast<Page *>(address);
        }
    }
    return line;
}

void make_logs(Round &round) {
    const auto bytes = Log::bytes(round.operations);
    for (unsigned i = 0; i < kMostLogs; ++i) {
        auto *log = reinterpret_cast<Log *>(systest::shared_bytes(bytes));
        log->thread = round.number * kMostLogs + i;
        log->room = round.operations;
        round.logs.at(i) = log;
    }
}

// The memory of the round as the first task has it; the rest goes with the tasks.
void free_memory(Round *round) {
    for (auto *log : round->logs) {
        CHECK_KERN(KERN_SUCCESS,
                   vm_deallocate(mach_task_self(), systest::address_of(log), Log::bytes(round->operations)));
    }
    for (unsigned page = 0; page < kPages; page += static_cast<unsigned>(norma::node_count())) {
        CHECK_KERN(KERN_SUCCESS,
                   vm_deallocate(mach_task_self(), systest::address_of(round->pages.at(page)), sizeof(Page)));
    }
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), systest::address_of(round), sizeof(Round)));
}

void collect(const Round &round, history::File &file) {
    for (unsigned i = 0; i < round.logs_given.load(); ++i) {
        const auto *log = round.logs.at(i);
        file.operations.insert(file.operations.end(), log->operations, log->operations + log->used);
    }
    file.facts.teleports += round.teleports.load();
    file.facts.clones += round.clones.load();
    file.facts.evictions += round.evictions.load();
}

void move_about(Round &round, task_t task) {
    for (unsigned move = 0; move < kMoves; ++move) {
        start(task, work_until_moved, &round);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        const int node = static_cast<int>(move) % norma::node_count();
        CHECK_KERN(KERN_SUCCESS, norma_task_teleport(task, TRUE, node, &task));
        round.teleports.fetch_add(1);
    }
    CHECK_KERN(KERN_SUCCESS, task_terminate(task));
}

void run_round(unsigned number, unsigned operations, unsigned threads, history::File &file) {
    auto *round = shared<Round>();
    round->number = number;
    round->operations = operations;
    round->meet = norma::barrier::create(threads * static_cast<unsigned>(norma::node_count()));
    make_logs(*round);
    const auto line = make_pages(*round);
    std::vector<Task> tasks;
    for (int node = 0; node < norma::node_count(); ++node) {
        auto &task = tasks.emplace_back();
        task.port = clone(line.back(), node);
        for (unsigned thread = 0; thread < threads; ++thread) {
            const bool clones = thread == 0 && node == static_cast<int>(number) % norma::node_count();
            task.threads.push_back(start(task.port, clones ? work_and_clone : work, round));
        }
    }
    const auto traveller = clone(line.back(), 0);
    start(traveller, travel, round);
    Task thief{.port = clone(line.back(), static_cast<int>(number) % norma::node_count()), .threads = {}};
    thief.threads.push_back(start(thief.port, steal, round));
    move_about(*round, clone(line.back(), norma::node_count() - 1));
    for (const auto &task : tasks) {
        for (const auto thread : task.threads) {
            CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 60'000));
        }
        CHECK_KERN(KERN_SUCCESS, task_terminate(task.port));
    }
    CHECK_EQ(0, END_OF(traveller));
    round->over = true;
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thief.threads[0], 20'000));
    CHECK_KERN(KERN_SUCCESS, task_terminate(thief.port));
    std::for_each(line.begin() + 1, line.end(), [](task_t task) { CHECK_KERN(KERN_SUCCESS, task_terminate(task)); });
    collect(*round, file);
    free_memory(round);
}

std::uint64_t counted(const char *text, const char *name) {
    const auto *found = std::strstr(text, name);
    CHECK(found != nullptr);
    return std::strtoull(found + std::strlen(name), nullptr, 10);
}

// Of all node servers since the job began.
std::uint64_t faults_served() {
    auto *sum = shared<std::atomic<std::uint64_t>>();
    for (int node = 0; node < norma::node_count(); ++node) {
        auto task = systest::spawn(node, [sum] {
            std::array<char, 2048> text{};
            CHECK_KERN(KERN_SUCCESS, norma_probe_stats(text.data(), text.size()));
            sum->fetch_add(counted(text.data(), " faults_read=") + counted(text.data(), " faults_write="));
        });
        JOIN(task);
    }
    return sum->load();
}

} // namespace

// history FILE ROUNDS OPERATIONS THREADS HOSTS: the operations of each thread, the threads of each working task. With
// more than one host (a clock each) times are made comparable, as far as that goes.
SYSTEM_CASE(history) {
    CHECK(!args.empty());
    const auto rounds = static_cast<unsigned>(systest::number(args, 1, 2));
    const auto operations = static_cast<unsigned>(systest::number(args, 2, 500));
    const auto threads = static_cast<unsigned>(systest::number(args, 3, 2));
    history::File file;
    history::Clocks clocks;
    const bool hosts = systest::number(args, 4, 1) > 1;
    if (hosts) {
        clocks.compare();
    }
    for (unsigned round = 0; round < rounds; ++round) {
        run_round(round, operations, threads, file);
    }
    if (hosts) {
        clocks.compare();
        clocks.correct(file.operations);
        file.facts.uncertainty = static_cast<std::uint64_t>(clocks.uncertainty());
    }
    file.facts.nodes = static_cast<std::uint64_t>(norma::node_count());
    file.facts.rounds = rounds;
    file.facts.faults = faults_served();
    history::save(args[0], file);
    return 0;
}
