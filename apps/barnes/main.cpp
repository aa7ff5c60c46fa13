// SPDX-License-Identifier: BSD-3-Clause
// Bodies under their own gravitation, after Barnes and Hut, by threads on all nodes of a norma job. A whole program.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/barnes/simulation.hpp"
#include "apps/common/application.hpp"
#include "apps/common/hash.hpp"
#include "apps/common/heap.hpp"
#include "apps/common/split.hpp"
#include "apps/common/threads.hpp"

namespace {

using barnes::Body;

constexpr std::uint64_t kMostBodies = 100'000'000;
constexpr unsigned kMostSteps = 1'000'000'000;

struct Options {
    std::uint64_t bodies = 16384;
    std::uint64_t seed = 1;
    std::optional<unsigned> threads;
    barnes::Settings settings{.steps = 10};
    bool verify = false;
};

void add_options(CLI::App &app, Options &options) {
    app.add_option("--bodies", options.bodies, "bodies of the cluster")
        ->check(CLI::Range(std::uint64_t{1}, kMostBodies))
        ->capture_default_str();
    app.add_option("--seed", options.seed, "another cluster")->capture_default_str();
    app.add_option("--steps", options.settings.steps, "number of time steps")
        ->check(CLI::Range(0U, kMostSteps))
        ->capture_default_str();
    app.add_option("--time-step", options.settings.time_step, "length of a step")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--theta", options.settings.openness, "a cube counts as one body if side / distance is below this")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    app.add_option("--softening", options.settings.softening, "distance below which gravitation does not grow")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--threads", options.threads, "threads, round robin over the nodes (default: one a node, >= 2)")
        ->check(CLI::Range(1U, barnes::kMostThreads));
    app.add_flag("--verify", options.verify, "compute with one thread too and compare bit by bit");
}

std::uint64_t hash_of(const std::vector<Body> &bodies) {
    apps::Hash hash;
    for (const Body &body : bodies) {
        hash.add(body.position);
        hash.add(body.velocity);
    }
    return hash.value();
}

int verify(const std::vector<Body> &initial, barnes::Settings settings, const std::vector<Body> &result) {
    settings.threads = 1;
    barnes::Simulation alone(initial, settings);
    alone.work(0, [] {});
    const auto expected = alone.result();
    for (std::size_t i = 0; i < result.size(); ++i) {
        if (std::memcmp(&result[i], &expected[i], sizeof(Body)) != 0) {
            fmt::print(stderr, "barnes: verify: body {} is at {} {} {}, not at {} {} {}\n", i, result[i].position[0],
                       result[i].position[1], result[i].position[2], expected[i].position[0], expected[i].position[1],
                       expected[i].position[2]);
            return apps::kExitFailed;
        }
    }
    fmt::print("verify: ok, one thread alone gives the same bits\n");
    return 0;
}

int run(Options options) {
    const int nodes_there = apps::nodes_for_threads("barnes");
    options.settings.threads = options.threads.value_or(apps::default_workers(nodes_there));
    fmt::print("bodies: {}, {} steps of {}\n", options.bodies, options.settings.steps, options.settings.time_step);
    const auto initial = barnes::make_cluster(options.bodies, options.seed);
    barnes::Simulation simulation(initial, options.settings);
    const auto started = std::chrono::steady_clock::now();
    const auto nodes =
        apps::run_threads(options.settings.threads,
                          [&simulation](unsigned thread, const apps::Meet &meet) { simulation.work(thread, meet); });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    const auto result = simulation.result();
    fmt::print("threads: {} on nodes {}\n", nodes.size(), fmt::join(nodes, " "));
    fmt::print("time: {:.3f} s\n", seconds);
    fmt::print("rate: {:.1f} thousand bodies per second\n",
               static_cast<double>(options.bodies) * options.settings.steps / seconds / 1e3);
    fmt::print("hash: {:016x}\n", hash_of(result));
    return options.verify ? verify(initial, options.settings, result) : 0;
}

} // namespace

int main(int argc, char **argv) {
    Options options;
    CLI::App app{"Bodies under their own gravitation, by threads on all nodes. Start it with: norma run -N 2 barnes"};
    add_options(app, options);
    return apps::run_application("barnes", app, argc, argv,
                                 [&options] { return apps::in_heap([&] { return run(options); }); });
}
