// SPDX-License-Identifier: BSD-3-Clause
// A sweep as a picture, drawn by gnuplot.
#pragma once

#include <string>
#include <vector>

#include "bench/perf/report.hpp"

namespace norma::bench {

// Where gnuplot is, by PATH; throws WrongOption if it is nowhere. `file` is what it was wanted for.
void check_plotter(const std::string &file);

// What gnuplot is told: rows of one test by size, and their floors, each as MB/s where the rows have it, otherwise as
// microseconds.
std::string plot_script(const Setting &setting, const std::vector<Row> &rows, const std::string &file);

// Throws std::runtime_error if the picture could not be made.
void draw(const Setting &setting, const std::vector<Row> &rows, const std::string &file);

} // namespace norma::bench
