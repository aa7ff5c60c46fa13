// SPDX-License-Identifier: BSD-3-Clause
// am_lat, am_bw, bibw, am_rate: node servers sending each other messages, without tasks and memory. The floor is the
// transport alone, between two processes bound as the node servers are; that of bibw is the stream one way.
#include <algorithm>

#include <fmt/format.h>

#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"
#include "runtime/probe.hpp"

namespace norma::bench {
namespace {

// Microseconds for a message in a stream of them from the caller's node.
double stream_us(int peer, std::uint64_t size, unsigned messages) {
    double seconds = 0;
    check(norma_probe_bw(peer, static_cast<unsigned>(size), messages, &seconds), "norma_probe_bw");
    return seconds * 1e6 / messages;
}

std::vector<double> streams(const TestInfo &test, unsigned messages) {
    std::vector<double> samples;
    for (unsigned round = 0; round < test.warmup + test.iterations; ++round) {
        const double sample = stream_us(kPeer, test.size, messages);
        if (round >= test.warmup) {
            samples.push_back(sample);
        }
    }
    return samples;
}

struct Direction {
    int to;
    std::uint64_t size;
    unsigned messages;
    std::size_t rounds;
    norma_sync_t start;
    double *begun, *over; // of each round; clocks can be compared on one machine
};

double now_us() {
    return std::chrono::duration<double, std::micro>(Clock::now().time_since_epoch()).count();
}

void send_one_round(const Direction &self, std::size_t round) {
    check(norma_barrier_wait(self.start, nullptr), "norma_barrier_wait");
    self.begun[round] = now_us();
    stream_us(self.to, self.size, self.messages);
    self.over[round] = now_us();
}

void send_all_rounds(Direction &self) {
    for (std::size_t round = 0; round < self.rounds; ++round) {
        send_one_round(self, round);
    }
}

} // namespace

Rows am_lat(const TestInfo &test) {
    std::vector<double> samples(test.iterations);
    measure_am(kPeer, kRequestBytes, static_cast<unsigned>(test.size), test.warmup, samples);
    return {latency_row("am_lat", test.size, samples, transport_floor_us("lat", test))};
}

// A sample is the mean time of a message in a stream of a fixed number of them.
Rows am_bw(const TestInfo &test) {
    constexpr unsigned kMessages = 256;
    return {bandwidth_row("am_bw", test.size, streams(test, kMessages), transport_floor_us("bw", test))};
}

Rows am_rate(const TestInfo &test) {
    constexpr unsigned kMessages = 10'000;
    const auto row = bandwidth_row("am_rate", test.size, streams(test, kMessages), transport_floor_us("bw", test));
    fmt::print("# am_rate: {:.0f} messages of {} bytes a second\n", 1e6 / row.time.median, test.size);
    return {row};
}

// A sample is the time in which a message goes each way, from the first start of a round to its last end. Each round
// begins with a stream one way.
Rows bibw(const TestInfo &test) {
    constexpr std::uint64_t kBytes = 16 << 20, kFewest = 64, kMost = 4096;
    const auto messages = static_cast<unsigned>(std::clamp(kBytes / test.size, kFewest, kMost));
    const std::size_t rounds = test.warmup + test.iterations;
    const Barrier start(2);
    const Array<double> begun(rounds), over(rounds);
    const Array<Direction> there(1);
    *there.data() = {0, test.size, messages, rounds, start.id(), begun.data(), over.data()};
    std::vector<double> begun_here(rounds), over_here(rounds);
    const Direction here{kPeer, test.size, messages, rounds, start.id(), begun_here.data(), over_here.data()};
    RemoteTask task(kPeer);
    task.start<&send_all_rounds>(there.data());
    std::vector<double> both_ways, one_way;
    for (std::size_t round = 0; round < rounds; ++round) {
        one_way.push_back(stream_us(kPeer, test.size, messages));
        send_one_round(here, round);
    }
    task.join();
    for (std::size_t round = test.warmup; round < rounds; ++round) {
        const double first = std::min(begun.span()[round], begun_here[round]);
        both_ways.push_back((std::max(over.span()[round], over_here[round]) - first) / messages);
    }
    one_way.erase(one_way.begin(), one_way.begin() + test.warmup);
    return {bandwidth_row("bibw", test.size, both_ways, median(std::move(one_way)), 2)};
}

} // namespace norma::bench
