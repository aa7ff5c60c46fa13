// SPDX-License-Identifier: BSD-3-Clause
#include "bench/perf/options.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "rpc/transport.hpp"
#include "runtime/values.hpp"

namespace norma::bench {
namespace {

constexpr std::uint64_t kPage = rpc::kPageBytes, kKiB = 1 << 10, kMiB = 1 << 20, kGiB = 1 << 30;
constexpr unsigned kMostIterations = 1'000'000;
constexpr unsigned kLeastNodes = 2;
constexpr std::uint64_t kLeastSwept = 8;
// A swept test moves about as much for each size, but is repeated a few times whatever the size.
constexpr std::uint64_t kSweptBytes = 256 * kMiB;
constexpr unsigned kLeastSweptIterations = 5;

constexpr std::array kTests = {
    TestInfo{"am_lat", "round trip between two node servers: 64 B there, SIZE back", 5000, 500, kPage, 1,
             rpc::kMaxPayloadBytes},
    TestInfo{"am_bw", "stream of messages of SIZE between two node servers", 10, 1, rpc::kMaxPayloadBytes, 1,
             rpc::kMaxPayloadBytes},
    TestInfo{"bibw", "streams of messages of SIZE between two node servers, both ways at once", 10, 1,
             rpc::kMaxPayloadBytes, 1, rpc::kMaxPayloadBytes},
    TestInfo{"am_rate", "stream of small messages between two node servers", 20, 2, 8, 1, kKiB},
    TestInfo{"fault_local", "first touch of a page, served by the own node server", 2000, 200, kPage},
    TestInfo{"fault_read", "first read of a page that another node has written", 2000, 200, kPage},
    TestInfo{"fault_write", "first write to a page that another node has written", 2000, 200, kPage},
    TestInfo{"fault_upgrade", "write to a page that two nodes have read", 2000, 200, kPage},
    TestInfo{"fault_fanout", "write to a page that k other nodes have read, k = 1 to N - 1", 500, 50, kPage},
    TestInfo{"page_pingpong", "two nodes write one page in turn: one hand-over", 2000, 200, kPage},
    TestInfo{"false_sharing", "1000 writes to a page while another node writes another word of it", 20, 2, kPage},
    TestInfo{"stream_read", "read SIZE of memory that another node has written", 5, 1, 64 * kMiB, kMiB, 8 * kGiB, kPage,
             kGiB},
    TestInfo{"stream_write", "overwrite SIZE of memory that another node has written", 5, 1, 64 * kMiB, kMiB, 8 * kGiB,
             kPage, kGiB},
    TestInfo{"barrier", "barrier of one thread on each node", 5000, 500, 0},
    TestInfo{"lock", "take a free lock that lives on another node", 5000, 500, 0},
    TestInfo{"clone", "norma_task_clone to another node, SIZE of memory touched", 20, 2, 16 * kMiB, kPage, 8 * kGiB,
             kPage, kGiB},
    TestInfo{"teleport", "norma_task_teleport to another node, SIZE of memory touched", 20, 2, 16 * kMiB, kPage,
             8 * kGiB, kPage, kGiB},
    TestInfo{"migrate", "norma_task_migrate to another node, SIZE of memory touched; not among all", 20, 2, 16 * kMiB,
             kPage, 8 * kGiB, kPage, kGiB, true},
    TestInfo{"snapshot", "norma_task_create on another node: a copy of SIZE of memory touched", 5, 1, 16 * kMiB, kPage,
             8 * kGiB, kPage, kGiB},
    TestInfo{"cow_write", "first write to a page that a child has a copy of", 2000, 200, kPage},
    TestInfo{"get_lat", "norma_get of SIZE from an exported region on another node", 2000, 200, 8, 8, 64 * kMiB},
    TestInfo{"put_lat", "norma_put of SIZE into an exported region on another node", 2000, 200, 8, 8, 64 * kMiB},
    TestInfo{"get_bw", "a stream of norma_get of SIZE, 8 under way", 50, 5, 64 * kKiB, 8, 64 * kMiB},
    TestInfo{"put_bw", "a stream of norma_put of SIZE, 8 under way", 50, 5, 64 * kKiB, 8, 64 * kMiB},
    TestInfo{"atomic_lat", "norma_fetch_add in an exported region on another node", 2000, 200, 8},
    TestInfo{"numa", "first touch, by where the thread and its node server run", 2000, 200, kPage},
};

const TestInfo *find(std::string_view name) {
    const auto found = std::find_if(kTests.begin(), kTests.end(), [&](const auto &test) { return test.name == name; });
    return found == kTests.end() ? nullptr : &*found;
}

std::string test_names() {
    std::string names = "all";
    for (const auto &test : kTests) {
        names += fmt::format(", {}", test.name);
    }
    return names;
}

bool has_size(const TestInfo &test) {
    return test.most_size != 0;
}

std::uint64_t checked_size(const std::string &text, const std::string &test_name) {
    if (test_name == "all") {
        throw WrongOption(fmt::format("-s {} goes with one test, not with 'all'", text));
    }
    const auto &test = *find(test_name);
    if (!has_size(test)) {
        throw WrongOption(fmt::format("-s {}: the size of {} is fixed", text, test_name));
    }
    const auto parsed = rt::parse_bytes(text);
    const auto size = parsed ? static_cast<std::uint64_t>(*parsed) : 0;
    if (!parsed || size < test.least_size || size > test.most_size || size % test.size_step != 0) {
        throw WrongOption(fmt::format("-s {}: the size of {} must be from {} to {}{}", text, test_name,
                                      rt::format_bytes(test.least_size), rt::format_bytes(test.most_size),
                                      test.size_step > 1 ? ", in whole pages" : ""));
    }
    return size;
}

void check_sweep(const RawSettings &raw) {
    if (raw.sweep && !raw.size.empty()) {
        throw WrongOption(fmt::format("-s {}: with -a all sizes are measured", raw.size));
    }
    if (raw.sweep && raw.test != "all" && !has_size(*find(raw.test))) {
        throw WrongOption(fmt::format("-a: the size of {} is fixed", raw.test));
    }
}

void check_plot(const RawSettings &raw) {
    if (raw.plot.empty()) {
        return;
    }
    if (!raw.plot.ends_with(".png")) {
        throw WrongOption(fmt::format("--plot {}: the name of the picture must end with .png", raw.plot));
    }
    if (raw.test == "all" || !raw.sweep) {
        throw WrongOption(fmt::format("--plot {}: what is drawn is one test with all its sizes (-a)", raw.plot));
    }
}

unsigned swept_iterations(const TestInfo &test) {
    const auto enough = static_cast<unsigned>(kSweptBytes / test.size);
    return std::min(test.iterations, std::max(kLeastSweptIterations, enough));
}

std::vector<TestInfo> every_size(const TestInfo &test, const Settings &settings) {
    std::vector<TestInfo> sizes;
    for (auto size = std::max(std::bit_ceil(test.least_size), kLeastSwept); size <= test.most_swept; size *= 2) {
        auto one = test;
        one.size = size;
        one.iterations = settings.iterations.value_or(swept_iterations(one));
        one.warmup = settings.warmup.value_or(std::min(one.warmup, (one.iterations + 9) / 10));
        sizes.push_back(one);
    }
    return sizes;
}

} // namespace

std::span<const TestInfo> tests() {
    return kTests;
}

void add_options(CLI::App &app, RawSettings &raw) {
    app.add_option("test", raw.test, "what to measure: a test, or all")->required()->type_name("TEST");
    app.add_option("-n,--iterations", raw.iterations, "measured repetitions")->check(CLI::Range(1U, kMostIterations));
    app.add_option("-w,--warmup", raw.warmup, "repetitions before these")->check(CLI::Range(0U, kMostIterations));
    app.add_option("-s,--size", raw.size, "bytes, e.g. 64M, for a test that has a size");
    app.add_flag("-a,--all-sizes", raw.sweep, "all sizes that are powers of two, for tests that have a size");
    app.add_option("--json", raw.json, "write the results to this file as well")->type_name("FILE");
    app.add_option("--csv", raw.csv, "the same, as comma-separated values")->type_name("FILE");
    app.add_option("--plot", raw.plot, "draw the results of one test and its floor by size (-a, gnuplot)")
        ->type_name("FILE.png");
}

Settings settings(const RawSettings &raw, unsigned nodes) {
    if (raw.test != "all" && find(raw.test) == nullptr) {
        throw WrongOption(fmt::format("there is no test '{}'; there are: {}", raw.test, test_names()));
    }
    if (nodes < kLeastNodes) {
        throw WrongOption(fmt::format("-N {}: at least {} nodes are needed", nodes, kLeastNodes));
    }
    check_sweep(raw);
    check_plot(raw);
    Settings checked{raw.test, raw.iterations, raw.warmup, std::nullopt, raw.sweep, raw.json, raw.csv, raw.plot};
    if (!raw.size.empty()) {
        checked.size = checked_size(raw.size, raw.test);
    }
    return checked;
}

std::vector<TestInfo> chosen_tests(const Settings &settings) {
    std::vector<TestInfo> chosen;
    for (auto test : kTests) {
        if (settings.test == "all" ? test.whole_program : settings.test != test.name) {
            continue;
        }
        if (settings.sweep && has_size(test)) {
            const auto sizes = every_size(test, settings);
            chosen.insert(chosen.end(), sizes.begin(), sizes.end());
            continue;
        }
        test.iterations = settings.iterations.value_or(test.iterations);
        test.warmup = settings.warmup.value_or(test.warmup);
        test.size = settings.size.value_or(test.size);
        chosen.push_back(test);
    }
    return chosen;
}

} // namespace norma::bench
