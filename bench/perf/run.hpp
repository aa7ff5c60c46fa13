// SPDX-License-Identifier: BSD-3-Clause
// What the programs that `norma perf` runs as jobs have in common: each has some of the tests.
#pragma once

#include <span>
#include <string_view>

#include "bench/perf/tests.hpp"

namespace norma::bench {

struct Entry {
    std::string_view name;
    Rows (*run)(const TestInfo &test);
};

// Its main(): runs what the command line says. Returns the exit status.
int run_program(int argc, char **argv, const char *name, std::span<const Entry> entries);

} // namespace norma::bench
