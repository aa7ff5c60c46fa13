// SPDX-License-Identifier: BSD-3-Clause
// What the results are measured against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/perf/job.hpp"
#include "bench/perf/options.hpp"

namespace norma::bench {

inline constexpr unsigned kRequestBytes = 64, kReplyBytes = 4096; // of a page that is fetched

// Round trips between the caller's node server and that of `peer`.
void measure_am(int peer, unsigned request_bytes, unsigned reply_bytes, unsigned warmup, std::span<double> samples_us);

// The median of round trips like that of a page, as many as there are iterations to compare with, within reason.
double am_lat_us(int peer, unsigned iterations);

// Microseconds that a stream of `bytes` takes from the caller's node server to that of `peer`.
double am_stream_us(int peer, std::uint64_t bytes);

// First touches that the caller's node server serves without a message. Until another node touches an object its memory
// is the kernel's to fill; so a task on `helper_node` touches one page of it first.
class LocalFaults {
  public:
    LocalFaults(int helper_node, std::size_t count);
    void measure(std::span<double> samples_us); // the next of the `count` pages

  private:
    Memory memory_;
    std::vector<std::size_t> pages_;
    std::size_t next_ = 0;
};

// What the kernel needs for them, arranged as this task and its node server are.
double kernel_floor_us(unsigned iterations, unsigned warmup);

// What bare UCX needs for such accesses, in a process that owns the memory and polls, and one bound as the caller is.
struct RmaFloor {
    std::string operation; // get, put, add
    std::uint64_t size;
    unsigned accesses, window; // of one sample; under way at a time
    unsigned iterations, warmup;
    std::string owner_cpus;
};
double rma_floor_us(const RmaFloor &wanted);

// What the transport alone needs for a round trip ("lat") or for a message in a stream ("bw") of the test's size,
// between two processes bound as the node servers of this node and the next are. Nothing if these are not on one host.
std::optional<double> transport_floor_us(const char *what, const TestInfo &test);

// Microseconds that it takes the kernel to make pages with so many bytes, by UFFDIO_COPY as a node server does.
double placing_us(std::uint64_t bytes);

// What it takes to start this program as a process of its own, until it has ended again.
double process_floor_us(unsigned iterations);

// `count` page numbers below 2 * count, in no order that a prefetcher could foresee, and no two of them neighbours.
std::vector<std::size_t> scattered(std::size_t count);

} // namespace norma::bench
