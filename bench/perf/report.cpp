// SPDX-License-Identifier: BSD-3-Clause
#include "bench/perf/report.hpp"

#include <cstdio>

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "runtime/build_info.hpp"

namespace norma::bench {
namespace {

std::string column(const std::optional<double> &value, int precision) {
    return value ? fmt::format("{:.{}f}", *value, precision) : "-";
}

std::string json_number(const std::optional<double> &value) {
    return value ? fmt::format("{:.3f}", *value) : "null";
}

std::string json_string(const std::string &text) {
    std::string quoted = "\"";
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') {
            quoted += '\\';
        }
        quoted += letter;
    }
    return quoted + '"';
}

} // namespace

Row latency_row(std::string test, std::uint64_t size, const std::vector<double> &samples,
                std::optional<double> floor_us) {
    return {std::move(test), size, samples.size(), summarize(samples), std::nullopt, floor_us};
}

Row bandwidth_row(std::string test, std::uint64_t size, const std::vector<double> &samples,
                  std::optional<double> floor_us) {
    auto row = latency_row(std::move(test), size, samples, floor_us);
    row.mb_per_s = static_cast<double>(size) / row.time.median; // bytes per microsecond
    return row;
}

Setting current_setting(const std::string &transport, const std::string &wait, unsigned nodes) {
    utsname system{};
    ::uname(&system);
    return {transport, wait, system.release, std::string(rt::build_info().commit), nodes, {}};
}

void print_header(const Setting &setting) {
    fmt::print("# norma perf: transport {}, wait {}, {} nodes, page {} bytes, kernel {}, commit {}\n",
               setting.transport, setting.wait, setting.nodes, ::sysconf(_SC_PAGESIZE), setting.kernel, setting.commit);
    for (const auto &line : setting.binding) {
        fmt::print("# binding: {}\n", line);
    }
    fmt::print("# times in microseconds; ratio = median / floor, the floor being measured in the same run\n");
    fmt::print("# {:<14}{:>11}{:>9}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}{:>10}{:>11}{:>7}\n", "test", "size", "iter",
               "min", "median", "avg", "p99", "p99.9", "max", "MB/s", "floor", "ratio");
    std::fflush(stdout);
}

void print_row(const Row &row) {
    const auto &time = row.time;
    fmt::print("{:<16}{:>11}{:>9}{:>11.2f}{:>11.2f}{:>11.2f}{:>11.2f}{:>11.2f}{:>11.2f}{:>10}{:>11}{:>7}\n", row.test,
               row.size, row.iterations, time.min, time.median, time.avg, time.p99, time.p999, time.max,
               column(row.mb_per_s, 0), column(row.floor_us, 2), column(row.ratio(), 2));
    std::fflush(stdout);
}

std::string to_json(const Setting &setting, const std::vector<Row> &rows) {
    std::string json = "[";
    const char *separator = "\n";
    for (const auto &row : rows) {
        const auto &time = row.time;
        json += fmt::format(
            R"({}{{"test": {}, "transport": {}, "wait": {}, "nodes": {}, "size": {}, "iterations": {}, )"
            R"("min_us": {:.3f}, "median_us": {:.3f}, "avg_us": {:.3f}, "p99_us": {:.3f}, "p999_us": {:.3f}, )"
            R"("max_us": {:.3f}, "mb_per_s": {}, "floor_us": {}, "ratio_to_floor": {}, "kernel": {}, "commit": {}}})",
            separator, json_string(row.test), json_string(setting.transport), json_string(setting.wait), setting.nodes,
            row.size, row.iterations, time.min, time.median, time.avg, time.p99, time.p999, time.max,
            json_number(row.mb_per_s), json_number(row.floor_us), json_number(row.ratio()), json_string(setting.kernel),
            json_string(setting.commit));
        separator = ",\n";
    }
    return json + "\n]\n";
}

} // namespace norma::bench
