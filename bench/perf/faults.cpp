// SPDX-License-Identifier: BSD-3-Clause
// fault_local, fault_read, fault_write, fault_upgrade: single pages, touched in no order.
//
// Node 0 writes the pages, a task on node 1 touches them. The floor, a round trip and a local fault, is measured on
// node 1 too, in turn with the faults, so that a slow moment of the machine meets both.
#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"

namespace norma::bench {
namespace {

enum class Access { read, write, upgrade };

struct Plan {
    Access access;
    volatile std::uint64_t *words;
    std::size_t warmup, count;
    double *faults, *round_trips, *local; // of `count` each
};

constexpr std::size_t kWordsPerPage = kPage / sizeof(std::uint64_t);
constexpr std::size_t kTurns = 10;

std::uint64_t content(std::size_t page) {
    return page * 0x9e3779b97f4a7c15U + 1;
}

void expect(std::uint64_t found, std::size_t page) {
    if (found != content(page)) {
        throw std::runtime_error(fmt::format("page {} holds {:#x}, not {:#x}", page, found, content(page)));
    }
}

double touch(const Plan &plan, std::size_t page) {
    volatile auto *words = plan.words + page * kWordsPerPage;
    const auto start = Clock::now();
    if (plan.access == Access::read) {
        [[maybe_unused]] const auto value = words[0];
    } else {
        words[1] = page;
    }
    const double time = microseconds_since(start);
    expect(words[0], page);
    return time;
}

void measure(Plan &plan) {
    const auto order = scattered(plan.warmup + plan.count);
    if (plan.access == Access::upgrade) {
        for (const auto page : order) {
            expect(plan.words[page * kWordsPerPage], page);
        }
    }
    LocalFaults local_faults(0, plan.count);
    std::size_t next = 0;
    for (; next < plan.warmup; ++next) {
        touch(plan, order[next]);
    }
    const std::size_t turn = (plan.count + kTurns - 1) / kTurns;
    for (std::size_t from = 0; from < plan.count; from += turn) {
        const auto count = std::min(turn, plan.count - from);
        measure_am(0, kRequestBytes, kReplyBytes, 1, {plan.round_trips + from, count});
        local_faults.measure({plan.local + from, count});
        for (std::size_t sample = from; sample < from + count; ++sample) {
            plan.faults[sample] = touch(plan, order[next++]);
        }
    }
}

Rows measure_remote(const TestInfo &test, Access access) {
    const auto pages = scattered(test.warmup + test.iterations);
    const Memory memory(2 * pages.size() * kPage);
    for (const auto page : pages) {
        memory.word(page) = content(page);
    }
    const Array<double> faults(test.iterations), round_trips(test.iterations), local(test.iterations);
    const Array<Plan> plan(1);
    *plan.data() = {access,        &memory.word(0),    test.warmup, test.iterations,
                    faults.data(), round_trips.data(), local.data()};
    RemoteTask task(kPeer);
    task.start<&measure>(plan.data());
    task.join();
    const auto samples = [](const Array<double> &array) {
        return std::vector<double>(array.span().begin(), array.span().end());
    };
    const double floor = median(samples(round_trips)) + median(samples(local));
    return {latency_row(std::string(test.name), kPage, samples(faults), floor)};
}

} // namespace

// The floor is what the kernel needs without norma, measured before and after.
Rows fault_local(const TestInfo &test) {
    const double before = kernel_floor_us(test.iterations, test.warmup);
    std::vector<double> samples(test.warmup + test.iterations);
    LocalFaults(kPeer, samples.size()).measure(samples);
    samples.erase(samples.begin(), samples.begin() + test.warmup);
    const double after = kernel_floor_us(test.iterations, test.warmup);
    return {latency_row("fault_local", kPage, samples, (before + after) / 2)};
}

Rows fault_read(const TestInfo &test) {
    return measure_remote(test, Access::read);
}
Rows fault_write(const TestInfo &test) {
    return measure_remote(test, Access::write);
}
Rows fault_upgrade(const TestInfo &test) {
    return measure_remote(test, Access::upgrade);
}

} // namespace norma::bench
