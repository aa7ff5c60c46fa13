// SPDX-License-Identifier: BSD-3-Clause
// The simulator as a program: tests/sim --seeds 1000, or --seed N --verbose for one run with its trace.
#include "tests/simulation/simulate.hpp"

#include <CLI/CLI.hpp>
#include <csignal>
#include <unistd.h>

namespace {

using norma::sim::Coverage;
using norma::sim::name_of;
using norma::sim::Probe;

volatile std::uint64_t seed_under_way = 0;

// A broken invariant of production code ends the program; which run it was must not be lost.
void on_abort(int) {
    char text[64];
    const auto size =
        std::snprintf(text, sizeof text, "seed %llu: aborted\n", static_cast<unsigned long long>(seed_under_way));
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, static_cast<std::size_t>(size));
}

std::optional<norma::sim::Drill> drill_of(const std::string &call, const std::string &victim, std::uint64_t message) {
    const auto index = [](const auto &names, const std::string &name) {
        return std::find(names.begin(), names.end(), name) - names.begin();
    };
    if (call.empty()) {
        return std::nullopt;
    }
    return norma::sim::Drill{.call = norma::sim::Drill::Call(index(norma::sim::kDrillCalls, call)),
                             .victim = norma::sim::Drill::Victim(index(norma::sim::kDrillVictims, victim)),
                             .message = message};
}

} // namespace

int main(int argc, char **argv) {
    std::uint64_t first = 1, seeds = 1000, single = 0;
    bool verbose = false, keep_going = false, show_probes = false;
    CLI::App app{"Runs whole jobs of production node servers over a simulated network, clock and kernel."};
    app.add_option("--seeds", seeds, "how many runs, with the seeds from --first on");
    app.add_option("--first", first, "the first of them");
    app.add_option("--seed", single, "one run only");
    std::string call, victim = "first";
    std::uint64_t message = 0;
    app.add_option("--drill", call,
                   "the drill of this call instead: create, clone, teleport, remap, remap_copy, borrow, migrate, "
                   "migrate_other")
        ->check(CLI::IsMember(norma::sim::kDrillCalls));
    app.add_option("--victim", victim, "who dies in it: first, source, third, target, caller, other, child")
        ->check(CLI::IsMember(norma::sim::kDrillVictims));
    app.add_option("--message", message, "at which message; 0: nobody dies");
    app.add_flag("--verbose", verbose, "print what happens");
    app.add_flag("--keep-going", keep_going, "go on after a run that fails");
    app.add_flag("--probes", show_probes, "print how often each probe was hit");
    CLI11_PARSE(app, argc, argv);
    std::signal(SIGABRT, on_abort);
    if (verbose) {
        std::setvbuf(stdout, nullptr, _IOLBF, 0); // so that a run that aborts is told to its end
    }

    Coverage coverage;
    unsigned failures = 0;
    const auto begin = single != 0 ? single : first;
    const auto end = single != 0 ? single + 1 : first + seeds;
    for (auto seed = begin; seed < end && (failures == 0 || keep_going); ++seed) {
        seed_under_way = seed;
        const auto report = norma::sim::simulate(seed, verbose ? stdout : nullptr, drill_of(call, victim, message));
        coverage.add(report);
        if (!report.error.empty()) {
            ++failures;
            fmt::print("seed {}: {}\n", seed, report.error);
        }
    }
    if (show_probes) {
        for (std::size_t i = 0; i < norma::sim::kProbes; ++i) {
            fmt::print("{:>10} {}\n", coverage.probes[static_cast<Probe>(i)], name_of(static_cast<Probe>(i)));
        }
    }
    bool incomplete = false;
    if (single == 0 && seeds >= 2000 && failures == 0) { // fewer need not reach everything
        for (const auto &name : coverage.missed()) {
            fmt::print("never reached: {}\n", name);
            incomplete = true;
        }
    }
    fmt::print("{}, {} failed\n", coverage.describe(), failures);
    return failures > 0 || incomplete ? 1 : 0;
}
