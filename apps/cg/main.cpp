// SPDX-License-Identifier: BSD-3-Clause
// Conjugate gradients on a symmetric matrix from a Matrix Market file, by tasks on all nodes of a norma job.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <norma/norma.hpp>

#include "apps/cg/matrix_market.hpp"
#include "apps/cg/solver.hpp"
#include "apps/common/application.hpp"
#include "apps/common/hash.hpp"
#include "apps/common/heap.hpp"
#include "apps/common/split.hpp"
#include "apps/common/workers.hpp"

namespace {

constexpr std::int64_t kMostIterations = 1'000'000'000;

struct Options {
    std::string file;
    std::string generate; // laplace2d:N
    std::string rhs = "ones";
    std::string precond = "jacobi";
    double tolerance = 1e-10;
    std::optional<std::int64_t> workers;
    std::optional<std::int64_t> max_iterations;
};

/// The solver cannot succeed or did not; the message says why.
struct NotSolved : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void add_options(CLI::App &app, Options &options) {
    app.add_option("FILE", options.file, "Matrix Market file: coordinate, real or integer, symmetric")->required();
    app.add_option("--tol", options.tolerance, "relative residual to reach")->capture_default_str();
    app.add_option("--workers", options.workers,
                   "worker tasks, round robin over the nodes (default: one a node, >= 2)");
    app.add_option("--max-iterations", options.max_iterations, "give up after so many (default: 10 a row, >= 1000)")
        ->check(CLI::Range(std::int64_t{0}, kMostIterations));
    app.add_option("--rhs", options.rhs, "right hand side: ones, random, or a file of numbers")->capture_default_str();
    app.add_option("--precond", options.precond, "preconditioner")
        ->check(CLI::IsMember({"jacobi", "none"}))
        ->capture_default_str();
    app.add_option("--generate", options.generate, "laplace2d:N: write a test matrix of N x N rows to FILE and stop");
}

int generate(const Options &options) {
    constexpr std::string_view kKind = "laplace2d:";
    constexpr std::uint64_t kLargest = 20000;
    std::uint64_t n = 0;
    const std::string_view text = options.generate;
    const std::string_view digits = text.starts_with(kKind) ? text.substr(kKind.size()) : "";
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || n < 1 || n > kLargest) {
        throw apps::UsageError(fmt::format("--generate '{}': the form is laplace2d:N, N in 1 .. {}", text, kLargest));
    }
    std::ofstream out(options.file);
    cg::write_laplace2d(out, n);
    if (!out.flush()) {
        throw std::runtime_error(fmt::format("'{}' cannot be written", options.file));
    }
    return 0;
}

/// Numbers in [-1, 1), the same in every run (splitmix64).
std::vector<double> random_vector(std::size_t rows) {
    std::vector<double> values(rows);
    std::uint64_t state = 1;
    for (double &value : values) {
        std::uint64_t mixed = state += 0x9e3779b97f4a7c15;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        mixed ^= mixed >> 31;
        value = static_cast<double>(mixed >> 11) * 0x1p-52 - 1.0;
    }
    return values;
}

std::vector<double> right_hand_side(const std::string &rhs, std::size_t rows) {
    if (rhs == "ones") {
        return std::vector<double>(rows, 1.0);
    }
    return rhs == "random" ? random_vector(rows) : cg::read_vector(rhs, rows);
}

void require_positive_diagonal(const cg::Matrix &matrix) {
    for (std::size_t row = 0; row < matrix.rows; ++row) {
        if (const double value = matrix.diagonal(row); value <= 0) {
            throw NotSolved(
                fmt::format("the matrix is not positive definite: entry ({0}, {0}) is {1}", row + 1, value));
        }
    }
}

std::size_t choose_workers(const Options &options, std::size_t rows) {
    const std::int64_t asked = options.workers.value_or(apps::default_workers(norma::node_count()));
    if (asked < 1 || static_cast<std::uint64_t>(asked) > rows) {
        throw apps::UsageError(fmt::format("--workers {}: {} rows can be split among 1 to {} workers", asked, rows,
                                           cg::most_workers(rows)));
    }
    return std::min(static_cast<std::size_t>(asked), cg::most_workers(rows));
}

cg::Settings choose_settings(const Options &options, const cg::Matrix &matrix) {
    if (!(options.tolerance > 0) || options.tolerance >= 1) {
        throw apps::UsageError(fmt::format("--tol {}: must be above 0 and below 1", options.tolerance));
    }
    cg::Settings settings;
    settings.workers = choose_workers(options, matrix.rows);
    settings.jacobi = options.precond == "jacobi";
    settings.tolerance = options.tolerance;
    const auto by_default = std::max<std::int64_t>(1000, 10 * static_cast<std::int64_t>(matrix.rows));
    settings.max_iterations = static_cast<std::uint64_t>(options.max_iterations.value_or(by_default));
    return settings;
}

class NormaTeam : public cg::Team {
  public:
    explicit NormaTeam(norma::barrier barrier) : barrier_(barrier) {}
    void meet() override { barrier_.wait(); }

  private:
    norma::barrier barrier_;
};

int work(const cg::Problem *problem, std::size_t index, norma::barrier barrier) {
    try {
        NormaTeam team(barrier);
        cg::solve(*problem, index, team);
        return 0;
    } catch (const std::system_error &) {
        return apps::kExitFailed; // the barrier broke; the main task finds out which worker is gone
    }
}

/// Clones the workers and waits until they are done. Returns the nodes they ran on.
std::vector<int> run_workers(const cg::Problem *problem) {
    norma::barrier barrier = norma::barrier::create(static_cast<unsigned>(problem->parts.size()));
    std::vector<norma::task> tasks;
    std::vector<int> nodes;
    for (std::size_t index = 0; index < problem->parts.size(); ++index) {
        nodes.push_back(apps::node_for(index, norma::node_count()));
        tasks.push_back(norma::clone_to(nodes.back()));
        barrier.expect(tasks.back());
        tasks.back().run([problem, index, barrier] { return work(problem, index, barrier); });
    }
    std::string failures;
    for (std::size_t index = 0; index < tasks.size(); ++index) {
        std::error_code error;
        const norma::exit_status status = tasks[index].wait(error);
        if (error) {
            failures += fmt::format("; worker {}: {}", index, error.message());
        } else if (!status.exited()) {
            failures += fmt::format("; worker {} was killed by signal {}", index, status.signal());
        } else if (!status.success()) {
            failures += fmt::format("; worker {} gave up", index);
        }
    }
    barrier.destroy();
    if (!failures.empty()) {
        throw NotSolved(failures.substr(2));
    }
    return nodes;
}

void require_success(const cg::Outcome &outcome, double residual, double tolerance) {
    switch (outcome.status) {
    case cg::Status::breakdown:
        throw NotSolved(fmt::format("breakdown in iteration {}: p'Ap is {}, the matrix is not positive definite",
                                    outcome.iterations + 1, outcome.curvature));
    case cg::Status::iterations_used_up:
        throw NotSolved(fmt::format("not converged after {} iterations: the residual is {:.3e}, not {:.1e}",
                                    outcome.iterations, residual, tolerance));
    case cg::Status::stalled:
        throw NotSolved(fmt::format("not converged: rounding keeps the residual at {:.3e}, {:.1e} is out of reach",
                                    residual, tolerance));
    case cg::Status::running:
        throw NotSolved("the workers ended without an outcome");
    case cg::Status::converged:
        break;
    }
    if (!(residual <= tolerance)) {
        throw NotSolved(fmt::format("the workers' solution has the residual {:.3e}, not {:.1e}", residual, tolerance));
    }
}

int solve(const Options &options) {
    apps::require_job("cg");
    const cg::Matrix matrix = cg::read_matrix(options.file);
    const cg::Settings settings = choose_settings(options, matrix);
    const std::vector<double> b = right_hand_side(options.rhs, matrix.rows);
    require_positive_diagonal(matrix);
    fmt::print("matrix: {}, {} rows, {} nonzeros\n", options.file, matrix.rows, matrix.nonzeros());

    std::vector<norma::region> memory; // until the solution has been collected
    const cg::Problem *problem =
        cg::place(matrix, b, settings, [&memory](std::size_t bytes) { return memory.emplace_back(bytes).data(); });
    const auto started = std::chrono::steady_clock::now();
    const std::vector<int> nodes = run_workers(problem);
    const double all = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();

    const std::vector<double> x = cg::gather_solution(*problem);
    const double residual = cg::relative_residual(matrix, b, x);
    fmt::print("workers: {} on nodes {}\n", nodes.size(), apps::node_list(nodes));
    fmt::print("preconditioner: {}\n", options.precond);
    fmt::print("iterations: {}\n", problem->outcome->iterations);
    fmt::print("residual: {:.6e}\n", residual);
    fmt::print("time: {:.3f} s ({:.3f} s with making and ending the workers)\n", problem->outcome->seconds, all);
    fmt::print("hash: {:016x}\n", apps::hash_of(x));
    require_success(*problem->outcome, residual, settings.tolerance);
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    Options options;
    CLI::App app{"Conjugate gradients by tasks on all nodes. Start it with: norma run -N 2 cg FILE"};
    add_options(app, options);
    return apps::run_application("cg", app, argc, argv, [&options] {
        return apps::in_heap([&] { return options.generate.empty() ? solve(options) : generate(options); });
    });
}
