// SPDX-License-Identifier: BSD-3-Clause
// Conjugate gradients with threads as workers: right, and the same bits for every number of workers.
#include "apps/cg/solver.hpp"

#include <barrier>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <thread>

#include <gtest/gtest.h>

#include "apps/common/hash.hpp"

namespace {

using cg::Matrix;
using cg::Settings;
using cg::Status;

class ThreadTeam : public cg::Team {
  public:
    explicit ThreadTeam(std::barrier<> &barrier) : barrier_(barrier) {}
    void meet() override { barrier_.arrive_and_wait(); }

  private:
    std::barrier<> &barrier_;
};

class Memory {
  public:
    void *allocate(std::size_t bytes) {
        constexpr std::size_t kPage = 4096;
        const std::size_t whole = (bytes + kPage - 1) / kPage * kPage;
        void *const block = std::aligned_alloc(kPage, whole);
        std::memset(block, 0, whole);
        blocks_.emplace_back(block, std::free);
        return block;
    }

  private:
    std::vector<std::unique_ptr<void, decltype(&std::free)>> blocks_;
};

struct Solution {
    cg::Outcome outcome;
    std::vector<double> x;
    double residual = 0;
};

Solution solve(const Matrix &matrix, const std::vector<double> &b, Settings settings) {
    settings.max_iterations = settings.max_iterations == 0 ? 10 * matrix.rows : settings.max_iterations;
    Memory memory;
    const cg::Problem *problem =
        cg::place(matrix, b, settings, [&](std::size_t bytes) { return memory.allocate(bytes); });
    std::barrier<> barrier(static_cast<std::ptrdiff_t>(settings.workers));
    {
        std::vector<std::jthread> threads;
        for (std::size_t index = 0; index < settings.workers; ++index) {
            threads.emplace_back([&, index] {
                ThreadTeam team(barrier);
                cg::solve(*problem, index, team);
            });
        }
    }
    Solution solution{*problem->outcome, cg::gather_solution(*problem), 0};
    solution.residual = cg::relative_residual(matrix, b, solution.x);
    return solution;
}

Matrix laplace2d(std::size_t n) {
    std::stringstream file;
    cg::write_laplace2d(file, n);
    return cg::parse_matrix(file.str());
}

std::vector<double> some_vector(std::size_t rows) {
    std::vector<double> values(rows);
    for (std::size_t i = 0; i < rows; ++i) {
        values[i] = static_cast<double>(i * 7919 % 1009) / 1009.0 - 0.5;
    }
    return values;
}

Matrix matrix_of(const std::string &sizes_and_entries) {
    return cg::parse_matrix("%%MatrixMarket matrix coordinate real symmetric\n" + sizes_and_entries);
}

TEST(Solver, SolvesASmallSystemExactly) {
    // [4 1; 1 3] x = [1; 2]
    const Solution solution = solve(matrix_of("2 2 3\n1 1 4\n2 1 1\n2 2 3\n"), {1, 2}, {});
    EXPECT_EQ(solution.outcome.status, Status::converged);
    EXPECT_LE(solution.outcome.iterations, 2u);
    EXPECT_NEAR(solution.x[0], 1.0 / 11, 1e-12);
    EXPECT_NEAR(solution.x[1], 7.0 / 11, 1e-12);
}

TEST(Solver, GivesTheSameBitsForEveryNumberOfWorkers) {
    const Matrix matrix = laplace2d(40);
    const std::vector<double> b = some_vector(matrix.rows);
    for (const bool jacobi : {true, false}) {
        const Solution alone = solve(matrix, b, {.workers = 1, .jacobi = jacobi});
        EXPECT_EQ(alone.outcome.status, Status::converged);
        EXPECT_LE(alone.residual, 1e-10);
        EXPECT_GT(alone.outcome.iterations, 10u);
        for (const std::size_t workers : {2u, 3u, 7u}) {
            const Solution team = solve(matrix, b, {.workers = workers, .jacobi = jacobi});
            EXPECT_EQ(apps::hash_of(team.x), apps::hash_of(alone.x)) << workers;
            EXPECT_EQ(team.outcome.iterations, alone.outcome.iterations);
        }
    }
}

TEST(Solver, JacobiHelpsWhereTheDiagonalVaries) {
    std::string text = "200 200 399\n";
    for (int i = 1; i <= 200; ++i) {
        text += std::to_string(i) + " " + std::to_string(i) + " " + std::to_string(i * i * 10) + "\n";
        if (i > 1) {
            text += std::to_string(i) + " " + std::to_string(i - 1) + " -1\n";
        }
    }
    const Matrix matrix = matrix_of(text);
    const std::vector<double> b(200, 1.0);
    const Solution with = solve(matrix, b, {.workers = 2, .jacobi = true});
    const Solution without = solve(matrix, b, {.workers = 2, .jacobi = false});
    EXPECT_EQ(with.outcome.status, Status::converged);
    EXPECT_LT(with.outcome.iterations * 5, without.outcome.iterations);
}

TEST(Solver, AZeroRightHandSideNeedsNoIteration) {
    const Solution solution = solve(laplace2d(5), std::vector<double>(25, 0.0), {.workers = 2});
    EXPECT_EQ(solution.outcome.status, Status::converged);
    EXPECT_EQ(solution.outcome.iterations, 0u);
    EXPECT_EQ(solution.residual, 0.0);
}

TEST(Solver, SaysThatTheMatrixIsIndefinite) {
    const Solution solution = solve(matrix_of("2 2 3\n1 1 1\n2 1 3\n2 2 1\n"), {1, -1}, {});
    EXPECT_EQ(solution.outcome.status, Status::breakdown);
    EXPECT_LT(solution.outcome.curvature, 0);
}

TEST(Solver, GivesUpWhenToldTo) {
    const Matrix matrix = laplace2d(20);
    const Solution solution = solve(matrix, some_vector(matrix.rows), {.workers = 3, .max_iterations = 4});
    EXPECT_EQ(solution.outcome.status, Status::iterations_used_up);
    EXPECT_EQ(solution.outcome.iterations, 4u);
    EXPECT_GT(solution.residual, 1e-10);
}

TEST(Solver, SaysThatAToleranceIsOutOfReach) {
    const Matrix matrix = laplace2d(30);
    const Solution solution = solve(matrix, some_vector(matrix.rows), {.workers = 2, .tolerance = 1e-18});
    EXPECT_EQ(solution.outcome.status, Status::stalled);
    EXPECT_GT(solution.residual, 1e-18);
}

TEST(Placement, BlocksDependOnTheMatrixAloneAndAreFew) {
    EXPECT_EQ(cg::rows_per_block(1), 8u);
    EXPECT_EQ(cg::most_workers(17), 3u);
    EXPECT_LE(cg::most_workers(10'000'000), 520u);
}

TEST(Placement, NoPageBelongsToTwoWorkers) {
    const Matrix matrix = laplace2d(30);
    Memory memory;
    const cg::Problem *problem = cg::place(matrix, some_vector(matrix.rows), {.workers = 5},
                                           [&](std::size_t bytes) { return memory.allocate(bytes); });
    std::size_t rows = 0;
    std::size_t end = 0;
    for (const cg::Part &part : problem->parts) {
        EXPECT_EQ(part.rows.begin, rows);
        EXPECT_EQ(part.place * sizeof(double) % 4096, 0u);
        EXPECT_EQ(part.sum_place * sizeof(cg::Sums) % 4096, 0u);
        EXPECT_GE(part.place, end);
        rows = part.rows.end;
        end = part.place + part.rows.size();
    }
    EXPECT_EQ(rows, matrix.rows);
}

} // namespace
