// SPDX-License-Identifier: BSD-3-Clause
// Loops on all nodes: every iteration once, reductions, exceptions, loops in loops.
#include "tests/system/app.hpp"

#include <norma/parallel.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using norma::parallel_for;
using norma::parallel_options;
using norma::parallel_reduce;
using norma::schedule;
using systest::Args;

const std::vector<parallel_options> kWays{
    {},
    {.chunk = 7},
    {.threads_per_node = 3},
    {.schedule = schedule::dynamic},
    {.schedule = schedule::dynamic, .chunk = 1},
    {.schedule = schedule::dynamic, .chunk = 1000, .threads_per_node = 2},
};

SYSTEM_CASE(loops_do_all_once) {
    for (const auto &options : kWays) {
        for (const long count : {0L, 1L, 5L, 300L}) {
            std::vector<std::atomic<int>> done(static_cast<std::size_t>(count));
            parallel_for(
                -2L, count - 2, [&](long i) { ++done.at(static_cast<std::size_t>(i + 2)); }, options);
            CHECK(std::all_of(done.begin(), done.end(), [](const auto &times) { return times == 1; }));
        }
    }
    constexpr auto kLast = std::numeric_limits<std::int64_t>::max();
    std::atomic<int> calls{0};
    parallel_for(kLast - 10, kLast, [&](std::int64_t) { ++calls; });
    parallel_for(5U, 3U, [&](unsigned) { ++calls; });
    CHECK_EQ(10, calls.load());
    return 0;
}

SYSTEM_CASE(loops_are_everywhere) {
    const int nodes = norma::node_count();
    std::vector<int> where(static_cast<std::size_t>(4 * nodes));
    parallel_for(std::size_t{0}, where.size(), [&](std::size_t i) { where[i] = norma::this_node(); });
    CHECK(std::is_sorted(where.begin(), where.end())); // shares lie together, the caller's first
    CHECK_EQ(static_cast<std::size_t>(nodes), std::set<int>(where.begin(), where.end()).size());
    std::fill(where.begin(), where.end(), -1);
    parallel_for(std::size_t{0}, where.size(), [&](std::size_t i) { where[i] = norma::this_node(); }, {.chunk = 1});
    for (std::size_t i = 0; i < where.size(); ++i) {
        CHECK_EQ(static_cast<int>(i) % nodes, where[i]);
    }
    return 0;
}

SYSTEM_CASE(loops_reduce) {
    for (const auto &options : kWays) {
        const long sum = parallel_reduce(
            1L, 1001L, 0L, [](long i) { return i * i; }, [](long one, long other) { return one + other; }, options);
        CHECK_EQ(333'833'500L, sum);
        const auto longest = parallel_reduce(
            0, 100, std::string(), [](int i) { return std::string(static_cast<std::size_t>(i * 37 % 101), 'x'); },
            [](std::string one, std::string other) { return one.size() < other.size() ? other : one; }, options);
        CHECK_EQ(100U, longest.size());
    }
    CHECK_EQ(1, parallel_reduce(
                    0, 0, 1, [](int i) { return i; }, [](int one, int other) { return one * other; }));
    const auto halves = [] {
        return parallel_reduce(
            0, 5000, 0.0, [](int i) { return 1.0 / (1 + i); }, [](double one, double other) { return one + other; });
    };
    CHECK_EQ(halves(), halves());
    return 0;
}

SYSTEM_CASE(loops_throw) {
    for (const auto &options : kWays) {
        for (const int culprit : {0, 150, 299}) {
            std::string said;
            try {
                parallel_for(
                    0, 300,
                    [&](int i) {
                        if (i == culprit) {
                            throw std::runtime_error("iteration " + std::to_string(i));
                        }
                    },
                    options);
            } catch (const std::runtime_error &error) {
                said = error.what();
            }
            CHECK_EQ("iteration " + std::to_string(culprit), said);
        }
    }
    std::atomic<int> thrown{0}; // by all at once, and one is told
    try {
        parallel_for(0, norma::node_count(), [&](int) {
            ++thrown;
            throw 5;
        });
    } catch (int value) {
        CHECK_EQ(5, value);
        ++thrown;
    }
    CHECK(thrown >= 2);
    return 0;
}

SYSTEM_CASE(loops_in_loops) {
    std::atomic<int> calls{0};
    parallel_for(0, 8, [&](int) {
        const auto outer = std::this_thread::get_id();
        const int node = norma::this_node();
        parallel_for(0, 10, [&](int) {
            CHECK(outer == std::this_thread::get_id() && node == norma::this_node());
            ++calls;
        });
    });
    CHECK_EQ(80, calls.load());
    return 0;
}

SYSTEM_CASE(loops_lose_a_node) {
    std::atomic<int> started{0};
    int error = 0;
    try {
        parallel_for(0, norma::node_count(), [&](int) {
            ++started;
            if (norma::this_node() == 0) {
                CHECK_SOON(started == norma::node_count());
                systest::kill_node(systest::last_node());
            } else {
                std::this_thread::sleep_for(std::chrono::seconds(norma::this_node() == systest::last_node() ? 60 : 0));
            }
        });
    } catch (const std::system_error &thrown) {
        error = thrown.code().value();
    }
    CHECK_EQ(EOWNERDEAD, error);
    return 0;
}

} // namespace
