// SPDX-License-Identifier: BSD-3-Clause
// norma-perf-whole: the tests of `norma perf` that need a whole program (docs/programs.md).
#include <array>

#include "bench/perf/run.hpp"

namespace {

using namespace norma::bench;

constexpr std::array kEntries = {
    Entry{"migrate", migrate},
};

} // namespace

int main(int argc, char **argv) {
    return run_program(argc, argv, "norma-perf-whole", kEntries);
}
