// SPDX-License-Identifier: BSD-3-Clause
// Explores jobs: those of the catalogue, or one that the command line describes.
#include "tests/exploration/catalogue.hpp"
#include "tests/exploration/explorer.hpp"
#include "tests/exploration/refinement.hpp"
#include "tests/exploration/trace.hpp"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace norma::exploration {
namespace {

struct Settings {
    Options options;
    Job job;
    std::string only;
    bool list = false;
    bool quick = false;
    bool deep = false;
    bool compare = true;
    bool described = false; // the command line describes a job
};

Depth depth_of(const Settings &settings) {
    return settings.deep ? Depth::deep : settings.quick ? Depth::quick : Depth::normal;
}

std::vector<Entry> choose(const Settings &settings) {
    if (settings.described) {
        return {{.depth = Depth::quick, .job = read_job(settings.job), .compare = Depth::quick}};
    }
    std::vector<Entry> entries = entries_of(settings.only.empty() ? depth_of(settings) : Depth::deep);
    const bool exact = std::any_of(entries.begin(), entries.end(),
                                   [&](const Entry &entry) { return entry.job.name == settings.only; });
    std::erase_if(entries, [&](const Entry &entry) {
        return exact ? entry.job.name != settings.only : entry.job.name.find(settings.only) == std::string::npos;
    });
    if (entries.empty()) {
        throw std::invalid_argument("no job's name contains '" + settings.only + "'; --list shows the names");
    }
    return entries;
}

void print_line(const std::string &name, const Result &result, bool compared) {
    fmt::print("{:33} {:>9} states {:>10} transitions {:>6} quiet, depth {:>2}, arrivals {:>2}, {:5.1f} s{}\n", name,
               result.states, result.transitions, result.quiet, result.depth, result.arrivals, result.seconds,
               compared ? ", as the model" : "");
    std::fflush(stdout);
}

void print_violation(const Job &job, const Violation &violation) {
    fmt::print("\nWRONG: {}\n{} nodes, {} pages, {} may die, {} may be suspected, program {}\n\n{}\n{}", violation.what,
               job.nodes, job.pages, job.deaths, job.suspicions, job.program, trace_of(job, violation.way), legend());
}

int explore_all(const std::vector<Entry> &entries, Settings settings) {
    Result total;
    std::uint64_t compared = 0;
    for (const Entry &entry : entries) {
        const bool compare = settings.compare && entry.compare <= depth_of(settings);
        settings.options.observer = compare ? refinement_of(entry.job) : Observer();
        const bool observed = static_cast<bool>(settings.options.observer);
        const Result result = explore(entry.job, settings.options);
        print_line(entry.job.name, result, observed);
        if (result.violation) {
            print_violation(entry.job, *result.violation);
            return 1;
        }
        if (!result.complete) {
            fmt::print("more than {} states: --limit allows more\n", settings.options.most_states);
            return 2;
        }
        total.states += result.states;
        total.transitions += result.transitions;
        total.depth = std::max(total.depth, result.depth);
        total.seconds += result.seconds;
        compared += observed ? result.transitions : 0;
    }
    fmt::print("explored {} configurations: {} states, {} transitions, {} of them compared with the model, depth {}, "
               "{:.0f} s\n",
               entries.size(), total.states, total.transitions, compared, total.depth, total.seconds);
    return 0;
}

int run(int argc, char **argv) {
    Settings settings;
    CLI::App app("Explores everything that can happen in small jobs, with the coherence core that is in production.");
    app.add_flag("--list", settings.list, "show the jobs and what they do");
    app.add_flag("--quick", settings.quick, "only what takes seconds");
    app.add_flag("--deep", settings.deep, "also what takes long, and everything compared with the model");
    app.add_option("--only", settings.only, "of all jobs, the one of this name, or those whose name contains this");
    app.add_option("--threads", settings.options.threads)->check(CLI::Range(1, 64))->capture_default_str();
    app.add_option("--limit", settings.options.most_states, "give up after so many states")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{4'000'000'000}))
        ->capture_default_str();
    app.add_flag("!--no-fold", settings.options.fold_nodes, "take nodes that are alike for different");
    app.add_flag("!--no-progress", settings.options.progress, "do not check that arrivals come to an end; less memory");
    app.add_flag("!--no-model", settings.compare, "do not compare steps with the Murphi model; faster");
    auto *job = app.add_option_group("one job instead of those that are listed");
    settings.job.name = "described";
    job->add_option("--nodes", settings.job.nodes, "node 0 is the home");
    job->add_option("--pages", settings.job.pages);
    job->add_option("--program", settings.job.program,
                    "'any': every node does anything at any time, 'any rw': but it only reads and writes; or threads: "
                    "'1: r0 w0/2; 2: w1 e1' (read, write, evict; page; window)");
    job->add_option("--deaths", settings.job.deaths, "so many nodes may die");
    job->add_option("--suspicions", settings.job.suspicions, "so many nodes may be taken for dead and live on");
    job->add_flag("--lossy", settings.job.lossy, "messages may be lost, which the protocol does not stand");
    CLI11_PARSE(app, argc, argv);
    settings.described = job->count_all() > 0;
    if (settings.list) {
        for (const Entry &entry : catalogue()) {
            constexpr const char *kDepths[] = {"quick", "normal", "deep"};
            fmt::print("{:7} {:33} {} nodes, {} pages, deaths {}, suspicions {}: {}\n",
                       kDepths[static_cast<unsigned>(entry.depth)], entry.job.name, entry.job.nodes, entry.job.pages,
                       entry.job.deaths, entry.job.suspicions, entry.job.program);
        }
        return 0;
    }
    return explore_all(choose(settings), settings);
}

} // namespace
} // namespace norma::exploration

int main(int argc, char **argv) {
    try {
        return norma::exploration::run(argc, argv);
    } catch (const std::exception &error) {
        fmt::print(stderr, "explore: {}\n", error.what());
        return 2;
    }
}
