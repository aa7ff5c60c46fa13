// SPDX-License-Identifier: BSD-3-Clause
#include "bench/perf/plot.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>
#include <unistd.h>

#include "bench/perf/options.hpp"

namespace norma::bench {
namespace {

std::string quoted(const std::string &text) {
    std::string result = "'";
    for (const char letter : text) {
        result += letter == '\'' ? "''" : std::string(1, letter);
    }
    return result + '\'';
}

// A curve's points, as gnuplot wants data that stand in the script.
template <class Value> std::string points(const std::vector<Row> &rows, Value value) {
    std::string lines;
    for (const auto &row : rows) {
        if (const auto y = value(row)) {
            lines += fmt::format("{} {:.3f}\n", row.size, *y);
        }
    }
    return lines + "e\n";
}

std::optional<double> floor_of(const Row &row) {
    if (!row.floor_us || !row.mb_per_s) {
        return row.floor_us;
    }
    return *row.mb_per_s * row.time.median / *row.floor_us;
}

} // namespace

void check_plotter(const std::string &file) {
    const char *path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "");
    for (std::string folder; std::getline(folders, folder, ':');) {
        if (::access((folder + "/gnuplot").c_str(), X_OK) == 0) {
            return;
        }
    }
    throw WrongOption(fmt::format("--plot {}: gnuplot is not installed (Debian: gnuplot-nox)", file));
}

std::string plot_script(const Setting &setting, const std::vector<Row> &rows, const std::string &file) {
    const bool bandwidth = rows.front().mb_per_s.has_value();
    const auto title =
        fmt::format("{} over {}, {} nodes, wait {}", rows.front().test, setting.transport, setting.nodes, setting.wait);
    return fmt::format("set terminal pngcairo size 1000,600 noenhanced\n"
                       "set output {}\n"
                       "set title {}\n"
                       "set xlabel 'bytes'\n"
                       "set ylabel '{}'\n"
                       "set logscale x 2\n"
                       "set logscale y 10\n"
                       "set format x '%.0b%B'\n"
                       "set grid\n"
                       "set key left top\n"
                       "plot '-' using 1:2 with linespoints title 'norma (median)', "
                       "'-' using 1:2 with linespoints title 'floor'\n",
                       quoted(file), quoted(title), bandwidth ? "MB/s" : "microseconds") +
           points(rows, [&](const Row &row) { return bandwidth ? row.mb_per_s : std::optional(row.time.median); }) +
           points(rows, floor_of);
}

void draw(const Setting &setting, const std::vector<Row> &rows, const std::string &file) {
    if (rows.empty()) {
        throw std::runtime_error(fmt::format("--plot {}: there are no results to draw", file));
    }
    std::signal(SIGPIPE, SIG_IGN); // gnuplot may end before it has read everything
    const auto script = plot_script(setting, rows, file);
    std::FILE *gnuplot = ::popen("gnuplot", "w");
    if (gnuplot == nullptr) {
        throw std::runtime_error(fmt::format("--plot {}: cannot run gnuplot", file));
    }
    std::fwrite(script.data(), 1, script.size(), gnuplot);
    if (::pclose(gnuplot) != 0) {
        throw std::runtime_error(fmt::format("--plot {}: gnuplot could not draw it", file));
    }
}

} // namespace norma::bench
