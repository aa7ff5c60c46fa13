// SPDX-License-Identifier: BSD-3-Clause
// The tests, each run in the first task on node 0, `migrate` in that of a program of its own. What concerns two nodes
// happens between it and node 1.
#pragma once

#include <vector>

#include "bench/perf/options.hpp"
#include "bench/perf/report.hpp"

namespace norma::bench {

inline constexpr int kPeer = 1;

using Rows = std::vector<Row>;

Rows am_lat(const TestInfo &test);
Rows am_bw(const TestInfo &test);
Rows bibw(const TestInfo &test);
Rows am_rate(const TestInfo &test);
Rows fault_local(const TestInfo &test);
Rows fault_read(const TestInfo &test);
Rows fault_write(const TestInfo &test);
Rows fault_upgrade(const TestInfo &test);
Rows fault_fanout(const TestInfo &test);
Rows page_pingpong(const TestInfo &test);
Rows false_sharing(const TestInfo &test);
Rows stream_read(const TestInfo &test);
Rows stream_write(const TestInfo &test);
Rows barrier(const TestInfo &test);
Rows lock(const TestInfo &test);
Rows clone(const TestInfo &test);
Rows teleport(const TestInfo &test);
Rows snapshot(const TestInfo &test);
Rows cow_write(const TestInfo &test);
Rows get_lat(const TestInfo &test);
Rows put_lat(const TestInfo &test);
Rows get_bw(const TestInfo &test);
Rows put_bw(const TestInfo &test);
Rows atomic_lat(const TestInfo &test);
Rows numa(const TestInfo &test);
Rows migrate(const TestInfo &test);

} // namespace norma::bench
