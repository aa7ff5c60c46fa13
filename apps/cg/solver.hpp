// SPDX-License-Identifier: BSD-3-Clause
// Conjugate gradients by a team of workers that share memory and can do nothing but meet at a barrier.
//
// The result does not depend, in any bit, on the number of workers: sums are formed over blocks of rows whose size
// depends on the matrix alone, and everybody adds the blocks' sums up in the same order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "apps/cg/matrix_market.hpp"
#include "apps/common/split.hpp"

namespace cg {

/// What one worker owns: its rows, and where they are in the shared arrays. Its part of each vector, and its sums,
/// begin on a page of their own, so that no page is written by two workers.
struct Part {
    apps::Range rows;
    std::size_t place = 0; // of its first row in a vector
    apps::Range blocks;
    std::size_t sum_place = 0; // of its first block in `sums`
};

/// The sums of one block of rows: two at a time at most.
struct Sums {
    double first = 0;
    double second = 0;
};

enum class Status : std::uint32_t { running, converged, iterations_used_up, breakdown, stalled };

struct Outcome {
    Status status = Status::running;
    std::uint64_t iterations = 0;
    double curvature = 0; // p'Ap, when it broke down
    double seconds = 0;
};

/// Everything shared. All pointers are to shared memory; vectors are indexed by place, not by row.
struct Problem {
    std::size_t rows = 0;
    std::size_t block_rows = 0;
    std::span<const Part> parts;
    const std::uint64_t *row_start = nullptr;
    const std::uint32_t *columns = nullptr; // places
    const double *values = nullptr;
    const double *inverse_diagonal = nullptr; // the preconditioner
    const double *b = nullptr;
    double *x = nullptr;
    double *r = nullptr;
    double *p = nullptr;
    double *q = nullptr;
    Sums *sums[2] = {}; // used in turn: one is read while the other is written already
    double tolerance = 0;
    std::uint64_t max_iterations = 0;
    Outcome *outcome = nullptr; // written by worker 0 at the end
};

struct Settings {
    std::size_t workers = 1;
    bool jacobi = true;
    double tolerance = 1e-10;
    std::uint64_t max_iterations = 0;
};

/// Rows summed up as one, for a matrix of so many rows.
std::size_t rows_per_block(std::size_t rows);
/// How many workers such a matrix can employ.
std::size_t most_workers(std::size_t rows);

/// Zero-filled shared memory, page-aligned.
using Allocate = std::function<void *(std::size_t bytes)>;

/// Lays everything out in shared memory. Needs 1 <= workers <= most_workers(rows), and, for Jacobi, no zero on the
/// diagonal.
Problem *place(const Matrix &matrix, std::span<const double> b, const Settings &settings, const Allocate &allocate);

/// The solution, row by row.
std::vector<double> gather_solution(const Problem &problem);

/// What the workers of a team wait at. May throw; the worker gives up then.
class Team {
  public:
    virtual ~Team() = default;
    virtual void meet() = 0;
};

/// The work of one worker; all of them must call it.
void solve(const Problem &problem, std::size_t worker, Team &team);

/// ||b - Ax|| / ||b||, computed by the caller alone; 0 if b is 0 and x too.
double relative_residual(const Matrix &matrix, std::span<const double> b, std::span<const double> x);

} // namespace cg
