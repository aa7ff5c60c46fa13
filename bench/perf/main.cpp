// SPDX-License-Identifier: BSD-3-Clause
// norma-perf: the program that `norma perf` runs as a job.
#include <array>

#include "bench/perf/run.hpp"

namespace {

using namespace norma::bench;

constexpr std::array kEntries = {
    Entry{"am_lat", am_lat},
    Entry{"am_bw", am_bw},
    Entry{"bibw", bibw},
    Entry{"am_rate", am_rate},
    Entry{"fault_local", fault_local},
    Entry{"fault_read", fault_read},
    Entry{"fault_write", fault_write},
    Entry{"fault_upgrade", fault_upgrade},
    Entry{"fault_fanout", fault_fanout},
    Entry{"page_pingpong", page_pingpong},
    Entry{"false_sharing", false_sharing},
    Entry{"stream_read", stream_read},
    Entry{"stream_write", stream_write},
    Entry{"barrier", barrier},
    Entry{"lock", norma::bench::lock},
    Entry{"clone", norma::bench::clone},
    Entry{"teleport", teleport},
    Entry{"snapshot", norma::bench::snapshot},
    Entry{"cow_write", norma::bench::cow_write},
    Entry{"get_lat", get_lat},
    Entry{"put_lat", put_lat},
    Entry{"get_bw", get_bw},
    Entry{"put_bw", put_bw},
    Entry{"atomic_lat", atomic_lat},
    Entry{"numa", numa},
};

} // namespace

int main(int argc, char **argv) {
    return run_program(argc, argv, "norma-perf", kEntries);
}
