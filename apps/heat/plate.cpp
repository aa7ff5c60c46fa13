// SPDX-License-Identifier: BSD-3-Clause
#include "apps/heat/plate.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

#include "apps/common/split.hpp"

namespace heat {

namespace {

constexpr double kDiffusion = 0.2; // of the difference to the neighbours, per step; stable up to 0.25

std::size_t round_up(std::size_t value, std::size_t unit) {
    return (value + unit - 1) / unit * unit;
}

} // namespace

Layout lay_out(std::size_t width, std::size_t height, std::size_t workers, std::size_t page_bytes) {
    assert(workers >= 1 && height >= 2 && workers <= height - 2);
    const std::size_t page = page_bytes / sizeof(double);
    const std::size_t whole_pages = round_up(width, page);
    Layout layout{.width = width, .height = height, .stride = width, .plane_doubles = 0, .blocks = {}};
    if (whole_pages <= width + width / 8) {
        layout.stride = whole_pages;
    }
    for (const apps::Range &inner : apps::split_evenly(height - 2, workers)) {
        // Inner row i is row i + 1 of the plate.
        Block block{inner.begin + 1, inner.size(), layout.plane_doubles};
        if (inner.begin == 0) {
            block.first_row = 0;
            ++block.rows;
        }
        if (inner.end == height - 2) {
            ++block.rows;
        }
        layout.plane_doubles += round_up(block.rows * layout.stride, page);
        layout.blocks.push_back(block);
    }
    return layout;
}

void step_row(const double *above, const double *here, const double *below, double *__restrict out, std::size_t width) {
    out[0] = here[0];
    for (std::size_t x = 1; x + 1 < width; ++x) {
        const double neighbours = (above[x] + below[x]) + (here[x - 1] + here[x + 1]);
        out[x] = here[x] + kDiffusion * (neighbours - 4.0 * here[x]);
    }
    out[width - 1] = here[width - 1];
}

std::vector<double> solve_sequentially(std::span<const double> initial, std::size_t width, std::size_t height,
                                       std::uint64_t steps) {
    std::vector<double> from(initial.begin(), initial.end());
    std::vector<double> to = from;
    for (std::uint64_t step = 0; step < steps; ++step) {
        for (std::size_t row = 1; row + 1 < height; ++row) {
            const double *here = from.data() + row * width;
            step_row(here - width, here, here + width, to.data() + row * width, width);
        }
        std::swap(from, to);
    }
    return from;
}

Difference compare(std::span<const double> a, std::span<const double> b) {
    assert(a.size() == b.size());
    Difference difference;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (std::bit_cast<std::uint64_t>(a[i]) != std::bit_cast<std::uint64_t>(b[i])) {
            difference.first = difference.cells++ == 0 ? i : difference.first;
        }
    }
    return difference;
}

} // namespace heat
