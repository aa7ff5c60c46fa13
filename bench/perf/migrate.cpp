// SPDX-License-Identifier: BSD-3-Clause
// migrate: a task with memory of its own alone, and a thread that does nothing but look at the clock, goes to and fro
// between two nodes without being asked.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "bench/perf/binding.hpp"
#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"
#include "runtime/probe.hpp"

namespace norma::bench {
namespace {

constexpr unsigned kOver = ~0U;
constexpr unsigned kFloorIterations = 1000;

struct Errand {
    std::size_t bytes;
    int flags; // of norma_task_migrate()
    norma_sync_t settled;
    std::atomic<unsigned> moves; // that have been made; kOver: the task may end
    double pause_us;             // of the last one
};

// The first word of a page is written after each move, the second one only once.
void fetch_all(volatile std::uint64_t *words, std::size_t bytes, std::uint64_t value) {
    for (std::size_t at = 0; at < bytes; at += kPage) {
        words[at / sizeof *words] = value;
    }
}
void check_all(const volatile std::uint64_t *words, std::size_t bytes) {
    for (std::size_t at = 0; at < bytes; at += kPage) {
        if (words[at / sizeof *words + 1] != mark_of(at)) {
            throw std::runtime_error("the memory of the task is not what it was before it moved");
        }
    }
}

// A thread can be stopped in the program's own code only, so the clock must not take up all its time.
void compute_a_little() {
    for (int i = 0; i < 1000; ++i) {
        asm volatile("");
    }
}

// Says that it begins, and goes on until the task has moved: the time between the last look at the clock on the one
// node and the first on the other.
double watch_the_clock(const Errand &errand) {
    const int node = norma_node();
    bool there = false;
    double gap = 0, gap_before = 0;
    auto before = Clock::now();
    Semaphore::post(errand.settled);
    do {
        compute_a_little();
        there = norma_node() != node;
        const auto now = Clock::now();
        gap_before = std::exchange(gap, std::chrono::duration<double, std::micro>(now - before).count());
        before = now;
    } while (!there && errand.moves.load() != kOver);
    return std::max(gap, gap_before); // it may have moved just before it was asked where it is, or just after
}

// That have come to the node where the caller is, since it began.
std::uint64_t pages_in() {
    constexpr const char *kName = " pages_in=";
    std::array<char, 1024> text{};
    check(norma_probe_stats(text.data(), text.size()), "norma_probe_stats");
    const auto *found = std::strstr(text.data(), kName);
    if (found == nullptr) {
        throw std::logic_error("the node server does not count pages");
    }
    return std::strtoull(found + std::strlen(kName), nullptr, 10);
}

// As the memory follows; the thread does nothing meanwhile.
void wait_until_in(std::uint64_t pages) {
    constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 200'000};
    constexpr std::chrono::seconds kPatience{20};
    std::uint64_t before = 0;
    auto last = Clock::now();
    for (auto in = pages_in(); in < pages; in = pages_in()) {
        if (std::exchange(before, in) != in) {
            last = Clock::now();
        } else if (Clock::now() - last > kPatience) {
            throw std::runtime_error("the memory of the task does not follow it");
        }
        nanosleep(&kPause, nullptr);
    }
}

void travel(Errand &errand) {
    const Memory memory(errand.bytes);
    auto *const words = &memory.word(0);
    write_to_all(words, memory.size());
    write_to_all(words + 1, memory.size());
    std::array<std::uint64_t, kPeer + 1> in_before{}; // at the end of the last visit there
    unsigned moves = 0;
    for (;;) {
        const double pause = watch_the_clock(errand);
        auto &before = in_before.at(static_cast<std::size_t>(norma_node()));
        if (errand.flags != NORMA_MIGRATE_LAZY && errand.moves.load() != kOver) {
            wait_until_in(before + memory.size() / kPage);
        }
        while (errand.moves.load() == moves) {
            compute_a_little();
        }
        moves = errand.moves.load();
        if (moves == kOver) {
            return;
        }
        fetch_all(words, memory.size(), moves);
        Semaphore::post(errand.settled);
        check_all(words, memory.size());
        before = pages_in();
        errand.pause_us = pause;
    }
}

struct Times {
    std::vector<double> pause, call, all, stream;
};

Times measure(const TestInfo &test, int flags) {
    const Semaphore settled;
    const Array<Errand> memory(1);
    auto &errand = *new (memory.data()) Errand{test.size, flags, settled.id(), {}, 0};
    RemoteTask traveller(0);
    traveller.start<&travel>(&errand);
    settled.wait();
    Times times;
    for (unsigned round = 0; round < test.warmup + test.iterations; ++round) {
        const auto start = Clock::now();
        check(norma_task_migrate(traveller.port(), round % 2 == 0 ? kPeer : 0, flags), "norma_task_migrate");
        const double call = microseconds_since(start);
        errand.moves = round + 1;
        settled.wait();
        const double all = microseconds_since(start);
        settled.wait();
        if (round >= test.warmup) {
            times.pause.push_back(errand.pause_us);
            times.call.push_back(call);
            times.all.push_back(all);
            times.stream.push_back(am_stream_us(kPeer, test.size));
        }
    }
    errand.moves = kOver;
    traveller.join();
    return times;
}

void add_rows(Rows &rows, const TestInfo &test, const Times &times, const std::string &prefix, std::string call) {
    constexpr double kRoundTrips = 4; // in which nothing of the task can run
    rows.push_back(latency_row(std::move(call), test.size, times.call, process_floor_us(test.iterations)));
    if (place_of(0).host == place_of(kPeer).host) { // the clocks of two hosts tell nothing of a pause
        rows.push_back(
            latency_row(prefix + "_pause", test.size, times.pause, kRoundTrips * am_lat_us(kPeer, kFloorIterations)));
    }
    rows.push_back(bandwidth_row(prefix + "_all", test.size, times.all, median(times.stream) + placing_us(test.size)));
}

// CRIU 3.17, as packaged, does not start on kernel 6.18, and AMPI has to be built: so they are no part of a run.
void print_others() {
    fmt::print("# migrate: beside it, from another run, not this one: AMPI moves a rank with nothing in 0.43 ms, with "
               "256 MiB in 111 ms, with 1 GiB in 459 ms, and it stands still all the time\n"
               "# migrate: the same, CRIU 4.2: dump and restore of a process with 256 MiB 240 ms, with 1 GiB 968 ms; "
               "a pause of 33 ms with lazy pages (32 MiB)\n");
}

} // namespace

Rows migrate(const TestInfo &test) {
    print_others();
    Rows rows;
    add_rows(rows, test, measure(test, 0), "migrate", "migrate");
    add_rows(rows, test, measure(test, NORMA_MIGRATE_LAZY), "lazy", "migrate_lazy");
    add_rows(rows, test, measure(test, NORMA_MIGRATE_PRECOPY), "precopy", "migrate_precopy");
    return rows;
}

} // namespace norma::bench
