// SPDX-License-Identifier: BSD-3-Clause
// Threads on all nodes write and read 64 pages at random. Each thread has a pair of words of its own in every page; it
// writes ever larger values there, first one word and then the other, so every reader can tell what it may see.
#include "tests/system/app.hpp"

#include <array>
#include <random>
#include <vector>

namespace {

constexpr unsigned kPages = 64;
constexpr unsigned kMostWriters = 32;
using Word = std::atomic<std::uint64_t>;

struct Pair {
    Word first, second; // first >= second at every moment
};
struct alignas(4096) Page {
    std::array<Pair, kMostWriters> pairs;
};
struct Area {
    std::array<Page, kPages> pages;
    std::array<std::array<std::uint64_t, kPages>, kMostWriters> last; // what each writer wrote last
};

// The writer is a part of the value, so that a word of another place is noticed.
std::uint64_t value_of(std::uint64_t count, unsigned writer, unsigned page) {
    return count << 16 | writer << 8 | page;
}

void check_value(std::uint64_t value, unsigned writer, unsigned page) {
    if (value != 0 && (value & 0xffff) != (writer << 8 | page)) {
        systest::fail(__FILE__, __LINE__, fmt::format("page {} has {:#x} where writer {} writes", page, value, writer));
    }
}

void work(Area *area, unsigned self, unsigned writers, long operations) {
    std::minstd_rand random(self * 7919 + 1);
    std::vector<std::array<std::uint64_t, kPages>> known(writers);
    auto &mine = known.at(self);
    for (long i = 1; i <= operations; ++i) {
        const auto page = static_cast<unsigned>(random() % kPages);
        const auto other = static_cast<unsigned>(random() % writers);
        auto &pairs = area->pages[page].pairs;
        if (random() % 2 == 0) {
            CHECK_EQ(mine[page], pairs[self].second.load(std::memory_order_relaxed));
            mine[page] = value_of(static_cast<std::uint64_t>(i), self, page);
            pairs[self].first.store(mine[page], std::memory_order_relaxed);
            pairs[self].second.store(mine[page], std::memory_order_relaxed);
        } else {
            const auto second = pairs[other].second.load(std::memory_order_relaxed);
            const auto first = pairs[other].first.load(std::memory_order_relaxed);
            check_value(first, other, page);
            check_value(second, other, page);
            CHECK(first >= second && second >= known[other][page]);
            known[other][page] = first;
        }
    }
    area->last[self] = mine;
}

} // namespace

// stress OPERATIONS THREADS: of each task; there is one task on each node.
SYSTEM_CASE(stress) {
    const long operations = systest::number(args, 0, 2000);
    const auto threads = static_cast<unsigned>(systest::number(args, 1, 2));
    const auto writers = threads * static_cast<unsigned>(norma::node_count());
    CHECK(writers <= kMostWriters);
    auto *area = systest::shared<Area>();
    std::vector<norma::task> tasks;
    std::vector<norma::thread> running;
    for (unsigned writer = 0; writer < writers; ++writer) {
        if (writer % threads == 0) {
            tasks.push_back(norma::clone_to(static_cast<int>(writer / threads)));
        }
        running.push_back(tasks.back().start([=] { work(area, writer, writers, operations); }));
    }
    for (const auto &thread : running) {
        thread.wait();
    }
    for (auto &task : tasks) {
        task.terminate(); // throws if it has ended by itself
    }
    for (unsigned writer = 0; writer < writers; ++writer) {
        for (unsigned page = 0; page < kPages; ++page) {
            const auto &pair = area->pages[page].pairs[writer];
            CHECK_EQ(area->last[writer][page], pair.first.load());
            CHECK_EQ(area->last[writer][page], pair.second.load());
        }
    }
    return 0;
}
