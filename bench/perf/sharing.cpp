// SPDX-License-Identifier: BSD-3-Clause
// false_sharing: two nodes write without pause, each a word of its own. A sample is what 1000 writes take on average
// while both write to one page for some milliseconds; the floor is the same with a page for each.
#include <stdexcept>

#include <fmt/format.h>

#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"

namespace norma::bench {
namespace {

constexpr double kPassUs = 5000;
constexpr std::size_t kWritesPerLook = 64; // at the clock

struct Writer {
    volatile std::uint64_t *shared, *own; // a word of the common page, and of a page that nobody else uses
    std::size_t passes;                   // of each kind, in turn
    norma_sync_t start;
    double *shared_us, *own_us; // of 1000 writes, of each pass
    std::uint64_t shared_writes;
};

std::uint64_t write_for_a_while(volatile std::uint64_t &word, double &us_per_thousand) {
    std::uint64_t writes = 0;
    double time = 0;
    const auto start = Clock::now();
    do {
        for (std::size_t i = 0; i < kWritesPerLook; ++i) {
            word = word + 1;
        }
        writes += kWritesPerLook;
        time = microseconds_since(start);
    } while (time < kPassUs);
    us_per_thousand = time * 1000 / static_cast<double>(writes);
    return writes;
}

void write_all_passes(Writer &self) {
    std::uint64_t writes = 0; // not in `self`, whose page other nodes may write to
    for (std::size_t pass = 0; pass < self.passes; ++pass) {
        check(norma_barrier_wait(self.start, nullptr), "norma_barrier_wait");
        writes += write_for_a_while(*self.shared, self.shared_us[pass]);
        check(norma_barrier_wait(self.start, nullptr), "norma_barrier_wait");
        write_for_a_while(*self.own, self.own_us[pass]);
    }
    self.shared_writes = writes;
}

} // namespace

Rows false_sharing(const TestInfo &test) {
    constexpr std::size_t kNeighbour = 8; // the other node's word: in another cache line of the page
    const std::size_t passes = test.warmup + test.iterations;
    const Memory memory(3 * kPage);
    volatile auto *const page = &memory.word(0);
    const Barrier start(2);
    const Array<double> shared_there(passes), own_there(passes);
    const Array<Writer> there(1);
    *there.data() = {page + kNeighbour, &memory.word(2), passes, start.id(), shared_there.data(), own_there.data(), 0};
    std::vector<double> shared(passes), own(passes);
    Writer here{page, &memory.word(1), passes, start.id(), shared.data(), own.data(), 0};
    RemoteTask task(kPeer);
    task.start<&write_all_passes>(there.data());
    write_all_passes(here);
    task.join();
    if (page[0] != here.shared_writes || page[kNeighbour] != there.data()->shared_writes) {
        throw std::runtime_error(fmt::format("{} and {} writes were done, the page counts {} and {}",
                                             here.shared_writes, there.data()->shared_writes, page[0],
                                             page[kNeighbour]));
    }
    const auto both = [&](const std::vector<double> &one, std::span<const double> other) {
        std::vector<double> samples(one.begin() + test.warmup, one.end());
        samples.insert(samples.end(), other.begin() + test.warmup, other.end());
        return samples;
    };
    return {
        latency_row("false_sharing", kPage, both(shared, shared_there.span()), median(both(own, own_there.span())))};
}

} // namespace norma::bench
