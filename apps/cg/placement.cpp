// SPDX-License-Identifier: BSD-3-Clause
// Lays a problem out in shared memory, page by page as its owners need it.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <memory>
#include <new>

#include "apps/cg/solver.hpp"

namespace cg {

namespace {

constexpr std::size_t kPage = 4096;

std::size_t blocks_of(std::size_t rows) {
    const std::size_t block = rows_per_block(rows);
    return (rows + block - 1) / block;
}

template <class T> std::size_t round_to_page(std::size_t count) {
    constexpr std::size_t kPerPage = kPage / sizeof(T);
    return (count + kPerPage - 1) / kPerPage * kPerPage;
}

std::vector<Part> split(const Matrix &matrix, std::size_t workers) {
    const std::size_t block = rows_per_block(matrix.rows);
    std::vector<std::uint64_t> weights;
    for (std::size_t begin = 0; begin < matrix.rows; begin += block) {
        const std::size_t end = std::min(begin + block, matrix.rows);
        // A row costs something even if it is all but empty: the vectors are as long as there are rows.
        weights.push_back(matrix.row_start[end] - matrix.row_start[begin] + (end - begin));
    }
    std::vector<Part> parts;
    std::size_t place = 0;
    std::size_t sum_place = 0;
    for (const apps::Range &blocks : apps::split_by_weight(weights, workers)) {
        const apps::Range rows{blocks.begin * block, std::min(blocks.end * block, matrix.rows)};
        parts.push_back({rows, place, blocks, sum_place});
        place += round_to_page<double>(rows.size());
        sum_place += round_to_page<Sums>(blocks.size());
    }
    return parts;
}

class Placement {
  public:
    Placement(const Matrix &matrix, std::size_t workers, const Allocate &allocate)
        : matrix_(matrix), allocate_(allocate), parts_(split(matrix, workers)) {
        for (const Part &part : parts_) {
            for (std::size_t row = part.rows.begin; row < part.rows.end; ++row) {
                place_of_.push_back(static_cast<std::uint32_t>(part.place + row - part.rows.begin));
            }
        }
        places_ = parts_.back().place + round_to_page<double>(parts_.back().rows.size());
        sum_places_ = parts_.back().sum_place + round_to_page<Sums>(parts_.back().blocks.size());
    }

    Problem *build(std::span<const double> b, const Settings &settings) {
        auto *problem = ::new (allocate_(sizeof(Problem))) Problem;
        problem->rows = matrix_.rows;
        problem->block_rows = rows_per_block(matrix_.rows);
        problem->parts = {copy(parts_), parts_.size()};
        problem->row_start = copy(matrix_.row_start);
        std::vector<std::uint32_t> columns(matrix_.columns.size());
        std::transform(matrix_.columns.begin(), matrix_.columns.end(), columns.begin(),
                       [&](std::uint32_t column) { return place_of_[column]; });
        problem->columns = copy(columns);
        problem->values = copy(matrix_.values);
        problem->inverse_diagonal =
            vector([&](std::size_t row) { return settings.jacobi ? 1.0 / matrix_.diagonal(row) : 1.0; });
        problem->b = vector([&](std::size_t row) { return b[row]; });
        problem->x = array<double>(places_);
        problem->r = array<double>(places_);
        problem->p = array<double>(places_);
        problem->q = array<double>(places_);
        problem->sums[0] = array<Sums>(sum_places_);
        problem->sums[1] = array<Sums>(sum_places_);
        problem->tolerance = settings.tolerance;
        problem->max_iterations = settings.max_iterations;
        problem->outcome = ::new (allocate_(sizeof(Outcome))) Outcome;
        return problem;
    }

  private:
    // Untouched: whoever writes a page first makes it on its own node.
    template <class T> T *array(std::size_t count) const { return static_cast<T *>(allocate_(count * sizeof(T))); }

    template <class T> T *copy(const std::vector<T> &values) const {
        T *const target = array<T>(values.size());
        std::uninitialized_copy(values.begin(), values.end(), target);
        return target;
    }

    template <class F> double *vector(F value) const {
        auto *const target = array<double>(places_);
        for (std::size_t row = 0; row < matrix_.rows; ++row) {
            target[place_of_[row]] = value(row);
        }
        return target;
    }

    const Matrix &matrix_;
    const Allocate &allocate_;
    std::vector<Part> parts_;
    std::vector<std::uint32_t> place_of_;
    std::size_t places_ = 0;
    std::size_t sum_places_ = 0;
};

} // namespace

std::size_t rows_per_block(std::size_t rows) {
    constexpr std::size_t kSmallest = 8;
    constexpr std::size_t kMostBlocks = 512; // everybody reads all sums, three times an iteration
    std::size_t block = kSmallest;
    while (rows / block > kMostBlocks) {
        block *= 2;
    }
    return block;
}

std::size_t most_workers(std::size_t rows) {
    return blocks_of(rows);
}

Problem *place(const Matrix &matrix, std::span<const double> b, const Settings &settings, const Allocate &allocate) {
    assert(settings.workers >= 1 && settings.workers <= most_workers(matrix.rows) && b.size() == matrix.rows);
    return Placement(matrix, settings.workers, allocate).build(b, settings);
}

std::vector<double> gather_solution(const Problem &problem) {
    std::vector<double> x;
    x.reserve(problem.rows);
    for (const Part &part : problem.parts) {
        x.insert(x.end(), problem.x + part.place, problem.x + part.place + part.rows.size());
    }
    return x;
}

double relative_residual(const Matrix &matrix, std::span<const double> b, std::span<const double> x) {
    const std::size_t block = rows_per_block(matrix.rows);
    double residual = 0;
    double norm = 0;
    // Summed up as the workers do, so that both agree on whether the tolerance is met.
    for (std::size_t begin = 0; begin < matrix.rows; begin += block) {
        Sums sums;
        for (std::size_t row = begin; row < std::min(begin + block, matrix.rows); ++row) {
            double product = 0;
            for (std::uint64_t k = matrix.row_start[row]; k < matrix.row_start[row + 1]; ++k) {
                product += matrix.values[k] * x[matrix.columns[k]];
            }
            const double r = b[row] - product;
            sums.first += r * r;
            sums.second += b[row] * b[row];
        }
        residual += sums.first;
        norm += sums.second;
    }
    return residual == 0 ? 0 : std::sqrt(residual) / std::sqrt(norm);
}

} // namespace cg
