// SPDX-License-Identifier: BSD-3-Clause
// The program of a job under siege: it counts on two nodes, again and again, until its node server has counted as many
// unwelcome messages as it was told to wait for; then once more. It ends well only if every sum was right.
#include "tests/system/app.hpp"

#include "runtime/probe.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>

namespace {

constexpr long kAdditions = 300; // of each task in each round, with the lock and without
constexpr int kNodes = 2;        // that are what they seem

struct Counters {
    norma::mutex lock;
    long locked;
    std::atomic<long> free;
};

std::string stats() {
    std::array<char, 4096> text{};
    CHECK_KERN(KERN_SUCCESS, norma_probe_stats(text.data(), text.size()));
    return text.data();
}

long sum_of(const std::string &text, std::initializer_list<const char *> names) {
    long sum = 0;
    for (const auto *name : names) {
        const auto found = text.find(name);
        CHECK(found != std::string::npos);
        sum += std::strtol(text.c_str() + found + std::strlen(name), nullptr, 10);
    }
    return sum;
}

void count_everywhere(Counters *counters, long round) {
    std::array<norma::task, kNodes> tasks;
    for (int node = 0; node < kNodes; ++node) {
        tasks.at(static_cast<std::size_t>(node)) = systest::spawn(node, [counters] {
            for (long i = 0; i < kAdditions; ++i) {
                counters->free.fetch_add(1);
                const std::lock_guard guard(counters->lock);
                ++counters->locked;
            }
        });
    }
    for (auto &task : tasks) {
        JOIN(task);
    }
    CHECK_EQ(round * kNodes * kAdditions, counters->free.load());
    CHECK_EQ(round * kNodes * kAdditions, counters->locked);
}

} // namespace

// siege UNWELCOME: messages and records that node 0 is going to drop.
SYSTEM_CASE(siege) {
    const auto unwelcome = systest::number(args, 0, 0);
    auto *counters = systest::shared<Counters>();
    counters->lock = norma::mutex::create();
    std::puts("begun");
    std::fflush(stdout);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    long round = 0;
    long dropped = 0;
    do {
        count_everywhere(counters, ++round);
        dropped = sum_of(stats(), {" dropped_garbage=", " dropped_version=", " dropped_key=", " dropped_incarnation=",
                                   " bad_records="});
    } while (dropped < unwelcome && std::chrono::steady_clock::now() < deadline);
    count_everywhere(counters, ++round);
    std::puts(stats().c_str());
    return 0;
}
