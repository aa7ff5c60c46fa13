// SPDX-License-Identifier: BSD-3-Clause
// Results as a table on standard output, as JSON and as comma-separated values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/perf/stats.hpp"

namespace norma::bench {

struct Row {
    std::string test;
    std::uint64_t size = 0; // bytes that one sample moves or concerns
    std::size_t iterations = 0;
    Summary time;                   // microseconds
    std::optional<double> mb_per_s; // 10^6 bytes a second, where bytes are moved
    std::optional<double> floor_us; // what the median is measured against
    std::optional<double> ratio() const { return floor_us ? std::optional(time.median / *floor_us) : std::nullopt; }
};

// A row of a test that has no bandwidth.
Row latency_row(std::string test, std::uint64_t size, const std::vector<double> &samples,
                std::optional<double> floor_us = std::nullopt);
// A row of a test that moves `size` bytes in each sample, in `ways` directions.
Row bandwidth_row(std::string test, std::uint64_t size, const std::vector<double> &samples,
                  std::optional<double> floor_us = std::nullopt, unsigned ways = 1);

// What all rows of a run have in common.
struct Setting {
    std::string transport, wait, kernel, commit;
    unsigned nodes = 1;
    std::vector<std::string> binding; // one line per node
};

Setting current_setting(const std::string &transport, const std::string &wait, unsigned nodes);

void print_header(const Setting &setting);
void print_row(const Row &row);

// An array with one object per row; a line per row, after one with the names.
std::string to_json(const Setting &setting, const std::vector<Row> &rows);
std::string to_csv(const Setting &setting, const std::vector<Row> &rows);

} // namespace norma::bench
