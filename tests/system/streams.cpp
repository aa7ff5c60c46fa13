// SPDX-License-Identifier: BSD-3-Clause
// Threads on several nodes go through the same memory from its first page to its last, at once and in turn, as readers
// and as writers: what is fetched ahead for one of them must not be old, nor be lost to another.
#include "tests/system/app.hpp"

#include <array>
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
