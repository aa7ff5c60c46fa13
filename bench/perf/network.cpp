// SPDX-License-Identifier: BSD-3-Clause
// am_lat, am_bw: the transport alone.
#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"
#include "runtime/probe.hpp"

namespace norma::bench {

Rows am_lat(const TestInfo &test) {
    std::vector<double> samples(test.iterations);
    measure_am(kPeer, kRequestBytes, static_cast<unsigned>(test.size), test.warmup, samples);
    return {latency_row("am_lat", test.size, samples)};
}

// A sample is the mean time of a message in a stream of a fixed number of them.
Rows am_bw(const TestInfo &test) {
    constexpr unsigned kMessages = 256;
    std::vector<double> samples;
    for (unsigned round = 0; round < test.warmup + test.iterations; ++round) {
        double seconds = 0;
        check(norma_probe_bw(kPeer, static_cast<unsigned>(test.size), kMessages, &seconds), "norma_probe_bw");
        if (round >= test.warmup) {
            samples.push_back(seconds * 1e6 / kMessages);
        }
    }
    return {bandwidth_row("am_bw", test.size, samples)};
}

} // namespace norma::bench
