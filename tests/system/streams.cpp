// SPDX-License-Identifier: BSD-3-Clause
// Threads on several nodes go through the same memory, from its first page to its last or in no order, as readers and
// as writers: what is fetched or protected ahead must not be old, nor be lost to another.
#include "tests/system/app.hpp"

#include <array>
#include <random>
#include <vector>

namespace {

constexpr std::size_t kPages = 1500; // several times what is under way for one stream
constexpr std::size_t kRounds = 4;

struct alignas(4096) Page {
    std::atomic<std::uint64_t> round;              // written by one thread
    std::array<std::atomic<std::uint64_t>, 8> sum; // by all
    std::atomic<std::uint64_t> last;
};
struct Area {
    std::array<Page, kPages> pages;
    std::array<std::uint64_t, kPages> expected; // of the first words
};

// A round reaches a page's first word before its last.
void read_all(Area *area) {
    for (std::size_t page = 0; page < kPages; ++page) {
        const auto last = area->pages[page].last.load();
        const auto first = area->pages[page].round.load();
        CHECK(first >= last && first % kPages == page && last % kPages == page);
    }
}

void write_all(Area *area, std::size_t round) {
    for (std::size_t page = 0; page < kPages; ++page) {
        area->pages[page].round.store(round * kPages + page);
        area->pages[page].last.store(round * kPages + page);
    }
}

void add_all(Area *area, std::size_t slot) {
    for (auto &page : area->pages) {
        page.sum[slot].fetch_add(1);
    }
}

std::vector<std::size_t> some_pages(std::size_t seed) {
    std::minstd_rand random(static_cast<unsigned>(seed));
    std::vector<std::size_t> pages(kPages / 10);
    for (auto &page : pages) {
        page = random() % kPages;
    }
    return pages;
}

void read_some(Area *area, std::size_t seed) {
    for (const auto page : some_pages(seed)) {
        CHECK_EQ(area->expected[page], area->pages[page].round.load());
    }
}

} // namespace

SYSTEM_CASE(streams) {
    auto *area = systest::shared<Area>();
    const auto address = systest::address_of(area);
    write_all(area, 0);
    std::vector<norma::task> tasks;
    for (int node = 1; node < norma::node_count(); ++node) {
        tasks.push_back(norma::clone_to(node));
    }
    // The readers of one node know what they do, those of the next are found out.
    CHECK_KERN(KERN_SUCCESS, vm_behavior_set(tasks.back().port(), address, sizeof *area, VM_BEHAVIOR_SEQUENTIAL));
    for (std::size_t round = 1; round <= kRounds; ++round) {
        std::vector<norma::thread> running;
        for (std::size_t index = 0; index < tasks.size(); ++index) {
            running.push_back(tasks[index].start([=] { read_all(area); }));
            running.push_back(tasks[index].start([=] { read_all(area); }));
            running.push_back(tasks[index].start([=] { add_all(area, index); }));
        }
        write_all(area, round);
        for (const auto &thread : running) {
            thread.wait();
        }
        read_all(area);
    }
    for (auto &task : tasks) {
        task.terminate(); // throws if it has ended by itself
    }
    for (const auto &page : area->pages) {
        for (std::size_t index = 0; index < tasks.size(); ++index) {
            CHECK_EQ(kRounds, page.sum[index].load());
        }
    }
    return 0;
}

// Single pages, in no order: here they are read, there they are written. Nobody may be left with an old copy, also
// where the owner has write-protected more pages than it was asked for.
SYSTEM_CASE(scattered) {
    auto *area = systest::shared<Area>();
    std::vector<norma::task> tasks;
    for (int node = 1; node < norma::node_count(); ++node) {
        tasks.push_back(norma::clone_to(node));
    }
    for (std::size_t round = 1; round <= 100; ++round) {
        for (const auto page : some_pages(round % 10 == 0 ? round : 1)) { // mostly the same ones
            area->pages[page].round.store(round);
            area->expected[page] = round;
        }
        for (std::size_t index = 0; index < tasks.size(); ++index) {
            const auto seed = round * tasks.size() + index;
            tasks[index].start([=] { read_some(area, seed); }).wait();
        }
        read_some(area, round);
    }
    for (auto &task : tasks) {
        task.start([=] {
                for (std::size_t page = 0; page < kPages; ++page) {
                    CHECK_EQ(area->expected[page], area->pages[page].round.load());
                }
            })
            .wait();
        task.terminate(); // throws if it has ended by itself
    }
    return 0;
}
