// SPDX-License-Identifier: BSD-3-Clause
// fault_fanout: node 0 writes to pages of its own that k other nodes have read, which it has to take from all of them
// at once. The floor is the same for every k: a round trip and a local fault.
#include <memory>
#include <stdexcept>

#include <fmt/format.h>

#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"

namespace norma::bench {
namespace {

struct Reader {
    volatile std::uint64_t *words;
    std::size_t pages;
};

constexpr std::size_t kWordsPerPage = kPage / sizeof(std::uint64_t);

void read_all(Reader &self) {
    for (const auto page : scattered(self.pages)) {
        if (self.words[page * kWordsPerPage] != page + 1) {
            throw std::runtime_error(fmt::format("page {} does not hold what was written", page));
        }
    }
}

std::vector<double> write_all(const Memory &memory, const std::vector<std::size_t> &pages, std::size_t warmup) {
    std::vector<double> samples;
    for (std::size_t next = 0; next < pages.size(); ++next) {
        const auto start = Clock::now();
        memory.word(pages[next]) = 0;
        const double time = microseconds_since(start);
        if (next >= warmup) {
            samples.push_back(time);
        }
    }
    return samples;
}

Row measure(const TestInfo &test, int sharers, double floor) {
    const auto pages = scattered(test.warmup + test.iterations);
    const Memory memory(2 * pages.size() * kPage);
    for (const auto page : pages) {
        memory.word(page) = page + 1;
    }
    const Array<Reader> reader(1);
    *reader.data() = {&memory.word(0), pages.size()};
    std::vector<std::unique_ptr<RemoteTask>> tasks; // to the end: a node without a task has no copies
    for (int node = 1; node <= sharers; ++node) {
        tasks.push_back(std::make_unique<RemoteTask>(node));
        tasks.back()->start<&read_all>(reader.data());
        tasks.back()->join();
    }
    return latency_row(fmt::format("fault_fanout_{}", sharers), kPage, write_all(memory, pages, test.warmup), floor);
}

} // namespace

Rows fault_fanout(const TestInfo &test) {
    Rows rows;
    for (int sharers = 1; sharers < norma_node_count(); ++sharers) {
        std::vector<double> local(test.iterations);
        LocalFaults(kPeer, local.size()).measure(local);
        rows.push_back(measure(test, sharers, am_lat_us(kPeer, test.iterations) + median(local)));
    }
    return rows;
}

} // namespace norma::bench
