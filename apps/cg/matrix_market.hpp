// SPDX-License-Identifier: BSD-3-Clause
// Matrix Market files: symmetric real matrices, and vectors.
#pragma once

#include "apps/common/usage.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace cg {

/// A square sparse matrix by rows, all of it stored, the columns of each row ascending.
struct Matrix {
    std::size_t rows = 0;
    std::vector<std::uint64_t> row_start; // rows + 1 entries
    std::vector<std::uint32_t> columns;
    std::vector<double> values;

    std::size_t nonzeros() const { return values.size(); }
    /// The entry at (row, row), 0 if it is not stored.
    double diagonal(std::size_t row) const;
};

/// The file is broken, or of a kind that cannot be handled; the message has the line.
struct MatrixError : apps::UsageError {
    using apps::UsageError::UsageError;
};

/// Reads `coordinate real|integer symmetric|general`; a general matrix must in fact be symmetric.
Matrix parse_matrix(std::string_view text);
Matrix read_matrix(const std::filesystem::path &file);

/// Reads a vector of `rows` numbers: a Matrix Market array of one column, or just one number a line.
std::vector<double> parse_vector(std::string_view text, std::size_t rows);
std::vector<double> read_vector(const std::filesystem::path &file, std::size_t rows);

/// The five-point Laplacian of an n x n grid, symmetric and positive definite, in Matrix Market form.
void write_laplace2d(std::ostream &out, std::size_t n);

} // namespace cg
