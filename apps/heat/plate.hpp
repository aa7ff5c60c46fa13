// SPDX-License-Identifier: BSD-3-Clause
// The plate: how its rows lie in memory, and one step of the heat equation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace heat {

/// The rows of one worker. `offset` is in doubles from the start of a plane.
struct Block {
    std::size_t first_row = 0;
    std::size_t rows = 0;
    std::size_t offset = 0;
};

/// Every worker's block begins on a page of its own, so no page is ever written by two workers and a step moves no
/// page but those of the rows next to a border. Rows are padded to whole pages where that costs little, so that a
/// border row touches as few pages as it can; narrow rows are packed, or most of each page would be padding.
struct Layout {
    std::size_t width = 0;
    std::size_t height = 0;
    std::size_t stride = 0; // doubles from one row to the next within a block
    std::size_t plane_doubles = 0;
    std::vector<Block> blocks;
};

/// Splits the rows; the first and the last row, which never change, go to the first and the last worker.
/// Needs 1 <= workers <= height - 2.
Layout lay_out(std::size_t width, std::size_t height, std::size_t workers, std::size_t page_bytes);

/// Computes one inner row: each cell moves towards the mean of its four neighbours; the two cells at the ends stay.
/// Everyone computes rows with this one function, so results agree bit for bit however rows are split.
void step_row(const double *above, const double *here, const double *below, double *out, std::size_t width);

/// The plate after `steps` steps, computed here and now by the caller alone.
std::vector<double> solve_sequentially(std::span<const double> initial, std::size_t width, std::size_t height,
                                       std::uint64_t steps);

/// Where two results differ: the number of cells, and the first of them.
struct Difference {
    std::size_t cells = 0;
    std::size_t first = 0;
};
/// Compares bit patterns: not even +0 and -0 are taken for equal.
Difference compare(std::span<const double> a, std::span<const double> b);

} // namespace heat
