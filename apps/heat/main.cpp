// SPDX-License-Identifier: BSD-3-Clause
// Heat diffusion on a plate whose temperatures come from a picture, computed by tasks on all nodes of a norma job.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "apps/common/application.hpp"
#include "apps/common/hash.hpp"
#include "apps/common/heap.hpp"
#include "apps/common/workers.hpp"
#include "apps/heat/options.hpp"
#include "apps/heat/picture.hpp"
#include "apps/heat/run.hpp"

namespace {

using heat::Options;

constexpr double kDegrees = 100.0; // a white pixel
constexpr std::int64_t kMostSteps = 1'000'000'000;
constexpr std::int64_t kMostFrames = 10'000;

void add_options(CLI::App &app, Options &options) {
    app.add_option("--input", options.input, "PNG or PGM picture with the initial temperatures (default: made up)");
    auto *width = app.add_option("--width", options.width, "width of the made-up picture")
                      ->check(CLI::Range(std::int64_t{3}, std::int64_t{heat::kMaxSide}))
                      ->capture_default_str();
    auto *height = app.add_option("--height", options.height, "height of the made-up picture")
                       ->check(CLI::Range(std::int64_t{3}, std::int64_t{heat::kMaxSide}))
                       ->capture_default_str();
    app.get_option("--input")->excludes(width)->excludes(height);
    app.add_option("--steps", options.steps, "number of time steps")
        ->check(CLI::Range(std::int64_t{0}, kMostSteps))
        ->capture_default_str();
    app.add_option("--workers", options.workers,
                   "worker tasks, round robin over the nodes (default: one a node, >= 2)");
    app.add_option("--teleport-at", options.teleports,
                   "STEP[:WORKER[:NODE]]: before that step, move a worker (default: the last) to a node (default: the "
                   "next); may be repeated")
        ->expected(1)
        ->take_all();
    app.add_flag("--teleport-self", options.teleport_self, "workers teleport themselves instead of being moved");
    app.add_option("--output", options.output, "directory for the pictures")->capture_default_str();
    app.add_option("--frames", options.frames, "pictures on the way, besides the result")
        ->check(CLI::Range(std::int64_t{0}, kMostFrames))
        ->capture_default_str();
    app.add_flag("--verify", options.verify, "compute with one task too and compare bit by bit");
    app.add_flag("--quiet", options.quiet, "print the hash only");
}

std::vector<std::uint64_t> frame_steps(const Options &options) {
    std::vector<std::uint64_t> steps;
    const std::uint64_t frames = std::min(options.frames, options.steps);
    for (std::uint64_t i = 0; i < frames; ++i) {
        steps.push_back(i * options.steps / frames);
    }
    return steps;
}

class ProgressBar {
  public:
    ProgressBar(std::uint64_t steps, bool shown) : steps_(steps), shown_(shown) {}
    ~ProgressBar() { clear(); }

    void show(std::uint64_t step) {
        if (shown_) {
            constexpr std::uint64_t kWidth = 40;
            const std::uint64_t full = steps_ == 0 ? kWidth : step * kWidth / steps_;
            fmt::print(stderr, "\r[{:<40}] {:>3}%  step {} of {}", std::string(full, '#'),
                       steps_ == 0 ? 100 : step * 100 / steps_, step, steps_);
            std::fflush(stderr);
            drawn_ = true;
        }
    }
    /// Before anything else is printed.
    void clear() {
        if (drawn_) {
            fmt::print(stderr, "\r\033[K");
            drawn_ = false;
        }
    }

  private:
    std::uint64_t steps_;
    bool shown_;
    bool drawn_ = false;
};

class Application {
  public:
    explicit Application(Options options) : options_(std::move(options)) {}

    int run() {
        apps::require_job("heat");
        nodes_ = norma::node_count();
        const heat::Picture picture = options_.input.empty() ? generate() : heat::read_picture(options_.input);
        const heat::Plan plan = make_plan(picture);
        heat::prepare_output(options_.output);
        take_temperatures(picture);
        return solve(plan);
    }

  private:
    heat::Picture generate() const {
        try {
            return heat::generate_picture(options_.width, options_.height);
        } catch (const heat::PictureError &error) {
            throw apps::UsageError(
                fmt::format("--width {} --height {}: {}", options_.width, options_.height, error.what()));
        }
    }

    heat::Plan make_plan(const heat::Picture &picture) const {
        heat::Plan plan;
        const unsigned workers = heat::choose_workers(options_, picture.height, nodes_);
        plan.moves = heat::plan_moves(options_, workers, nodes_);
        vm_size_t page_bytes = 0;
        norma::detail::check(norma::make_error_code(host_page_size(mach_host_self(), &page_bytes)), "host_page_size");
        plan.layout = heat::lay_out(picture.width, picture.height, workers, page_bytes);
        plan.steps = options_.steps;
        plan.frame_steps = frame_steps(options_);
        plan.progress_every = show_progress() ? std::max<std::uint64_t>(1, options_.steps / 100) : 0;
        plan.teleport_self = options_.teleport_self;
        plan.nodes = nodes_;
        return plan;
    }

    bool show_progress() const { return !options_.quiet && isatty(STDERR_FILENO) != 0; }

    void take_temperatures(const heat::Picture &picture) {
        initial_ = picture.pixels;
        for (double &value : initial_) {
            value *= kDegrees;
        }
        const auto [low, high] = std::minmax_element(initial_.begin(), initial_.end());
        low_ = *low;
        high_ = *high;
    }

    int solve(const heat::Plan &plan) {
        const std::size_t width = plan.layout.width;
        const std::size_t height = plan.layout.height;
        say("plate: {} x {} cells, {:.1f} to {:.1f} degrees, {} steps\n", width, height, low_, high_, plan.steps);
        ProgressBar bar(plan.steps, show_progress());
        heat::Callbacks callbacks;
        callbacks.progress = [&](std::uint64_t step) { bar.show(step); };
        callbacks.frame = [&](std::uint64_t step, const std::vector<double> &plate) {
            write(fmt::format("frame-{:07}.png", step), plate, width, height);
        };
        callbacks.teleported = [&](const heat::Teleport &move) {
            bar.clear();
            say("teleport: worker {} from node {} to node {} at step {} in {:.2f} ms{}\n", move.worker, move.from,
                move.to, move.step, move.milliseconds, plan.teleport_self ? " (by itself)" : "");
        };
        const heat::Result result = heat::run(plan, initial_, callbacks);
        bar.clear();
        write("result.png", result.plate, width, height);
        print_summary(plan, result);
        return options_.verify ? verify(plan, result.plate) : 0;
    }

    void print_summary(const heat::Plan &plan, const heat::Result &result) const {
        const double updates =
            static_cast<double>((plan.layout.width - 2) * (plan.layout.height - 2)) * static_cast<double>(plan.steps);
        say("workers: {}, at the end on nodes {}\n", result.nodes.size(), apps::node_list(result.nodes));
        say("teleports: {}\n", plan.moves.size());
        say("clone: {:.2f} ms for all workers\n", result.clone_seconds * 1e3);
        say("time: {:.3f} s\n", result.compute_seconds);
        say("rate: {:.1f} million cell updates per second\n",
            result.compute_seconds > 0 ? updates / result.compute_seconds / 1e6 : 0.0);
        for (const std::string &file : written_) {
            say("picture: {}\n", file);
        }
        fmt::print("hash: {:016x}\n", apps::hash_of(result.plate));
    }

    int verify(const heat::Plan &plan, const std::vector<double> &plate) const {
        const std::size_t width = plan.layout.width;
        const auto expected = heat::solve_sequentially(initial_, width, plan.layout.height, plan.steps);
        const heat::Difference difference = heat::compare(plate, expected);
        if (difference.cells == 0) {
            say("verify: ok, one task alone gives the same bits\n");
            return 0;
        }
        fmt::print(stderr, "heat: verify: {} cells differ; the first is row {}, column {}: {} instead of {}\n",
                   difference.cells, difference.first / width, difference.first % width, plate[difference.first],
                   expected[difference.first]);
        return apps::kExitFailed;
    }

    void write(const std::string &name, const std::vector<double> &plate, std::size_t width, std::size_t height) {
        const std::filesystem::path file = std::filesystem::path(options_.output) / name;
        heat::write_heat_png(file, plate, width, height, low_, high_);
        written_.push_back(file.string());
    }

    template <class... Args> void say(fmt::format_string<Args...> format, Args &&...args) const {
        if (!options_.quiet) {
            fmt::print(format, std::forward<Args>(args)...);
            std::fflush(stdout);
        }
    }

    Options options_;
    int nodes_ = 0;
    std::vector<double> initial_;
    double low_ = 0;
    double high_ = 0;
    std::vector<std::string> written_;
};

} // namespace

int main(int argc, char **argv) {
    Options options;
    CLI::App app{"Heat diffusion on a plate, computed by tasks on all nodes. Start it with: norma run -N 2 heat"};
    add_options(app, options);
    return apps::run_application("heat", app, argc, argv,
                                 [&options] { return apps::in_heap([&] { return Application(options).run(); }); });
}
