// SPDX-License-Identifier: BSD-3-Clause
// stream_read, stream_write: a task on node 1 goes once through memory that node 0 has just written, from its first
// byte to its last. Every pass has memory and a task of its own, so each is as cold as the first.
#include <stdexcept>

#include <fmt/format.h>

#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"

namespace norma::bench {
namespace {

enum class Access { read, write };

struct Pass {
    Access access;
    std::uint64_t *words;
    std::size_t count;
    double time, floor;
};

std::uint64_t sum(const std::uint64_t *words, std::size_t count) {
    std::uint64_t total = 0;
    for (std::size_t word = 0; word < count; ++word) {
        total += words[word];
    }
    return total;
}

void fill(std::uint64_t *words, std::size_t count, std::uint64_t from) {
    for (std::size_t word = 0; word < count; ++word) {
        words[word] = from + word;
    }
}

// Of count words that fill() wrote.
std::uint64_t expected_sum(std::size_t count, std::uint64_t from) {
    return count * from + (count % 2 == 0 ? count / 2 * (count - 1) : (count - 1) / 2 * count);
}

void run(Pass &pass) {
    const auto start = Clock::now();
    std::uint64_t total = 0;
    if (pass.access == Access::read) {
        total = sum(pass.words, pass.count);
    } else {
        fill(pass.words, pass.count, 1);
    }
    pass.time = microseconds_since(start);
    if (pass.access == Access::read && total != expected_sum(pass.count, 0)) {
        throw std::runtime_error("the stream read is not what was written");
    }
}

Pass measure_pass(std::uint64_t bytes, Access access) {
    const Memory memory(bytes);
    auto *words = reinterpret_cast<std::uint64_t *>(memory.data());
    const std::size_t count = bytes / sizeof *words;
    fill(words, count, 0);
    const Array<Pass> pass(1);
    *pass.data() = {access, words, count, 0, am_stream_us(kPeer, bytes)};
    RemoteTask task(kPeer);
    task.start<&run>(pass.data());
    task.join();
    if (access == Access::write && sum(words, count) != expected_sum(count, 1)) {
        throw std::runtime_error("what the stream wrote did not come back");
    }
    return *pass.data();
}

Rows measure(const TestInfo &test, Access access) {
    std::vector<double> samples, floors;
    for (unsigned pass = 0; pass < test.warmup + test.iterations; ++pass) {
        const auto result = measure_pass(test.size, access);
        if (pass >= test.warmup) {
            samples.push_back(result.time);
            floors.push_back(result.floor);
        }
    }
    return {bandwidth_row(std::string(test.name), test.size, samples, median(floors))};
}

} // namespace

Rows stream_read(const TestInfo &test) {
    return measure(test, Access::read);
}
Rows stream_write(const TestInfo &test) {
    return measure(test, Access::write);
}

} // namespace norma::bench
