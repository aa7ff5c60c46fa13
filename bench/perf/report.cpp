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

std::string csv_string(const std::string &text) {
    if (text.find_first_of(",\"\n") == std::string::npos) {
        return text;
    }
    std::string quoted = "\"";
    for (const char letter : text) {
        quoted += letter == '"' ? "\"\"" : std::string(1, letter);
    }
    return quoted + '"';
}

// What is known of a row. A number that is not known is empty.
struct Field {
    const char *name;
    std::string value;
    bool is_text = false;
};

std::vector<Field> fields(const Setting &setting, const Row &row) {
    const auto number = [](const std::optional<double> &value) {
        return value ? fmt::format("{:.3f}", *value) : std::string();
    };
    const auto &time = row.time;
    return {{"test", row.test, true},
            {"transport", setting.transport, true},
            {"wait", setting.wait, true},
            {"nodes", std::to_string(setting.nodes)},
            {"size", std::to_string(row.size)},
            {"iterations", std::to_string(row.iterations)},
            {"min_us", number(time.min)},
            {"median_us", number(time.median)},
            {"avg_us", number(time.avg)},
            {"p99_us", number(time.p99)},
            {"p999_us", number(time.p999)},
            {"max_us", number(time.max)},
            {"mb_per_s", number(row.mb_per_s)},
            {"floor_us", number(row.floor_us)},
            {"ratio_to_floor", number(row.ratio())},
            {"kernel", setting.kernel, true},
            {"commit", setting.commit, true}};
}

std::string json_value(const Field &field) {
    if (field.is_text) {
        return json_string(field.value);
    }
    return field.value.empty() ? "null" : field.value;
}

} // namespace

Row latency_row(std::string test, std::uint64_t size, const std::vector<double> &samples,
                std::optional<double> floor_us) {
    return {std::move(test), size, samples.size(), summarize(samples), std::nullopt, floor_us};
}

Row bandwidth_row(std::string test, std::uint64_t size, const std::vector<double> &samples,
                  std::optional<double> floor_us, unsigned ways) {
    auto row = latency_row(std::move(test), size, samples, floor_us);
    row.mb_per_s = ways * static_cast<double>(size) / row.time.median; // bytes per microsecond
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
    for (const auto &row : rows) {
        json += json.size() > 1 ? ",\n{" : "\n{";
        const char *separator = "";
        for (const auto &field : fields(setting, row)) {
            json += fmt::format("{}\"{}\": {}", separator, field.name, json_value(field));
            separator = ", ";
        }
        json += '}';
    }
    return json + "\n]\n";
}

std::string to_csv(const Setting &setting, const std::vector<Row> &rows) {
    std::string csv;
    const char *separator = "";
    for (const auto &field : fields(setting, {})) {
        csv += fmt::format("{}{}", separator, field.name);
        separator = ",";
    }
    csv += '\n';
    for (const auto &row : rows) {
        separator = "";
        for (const auto &field : fields(setting, row)) {
            csv += separator + csv_string(field.value);
            separator = ",";
        }
        csv += '\n';
    }
    return csv;
}

} // namespace norma::bench
