// SPDX-License-Identifier: BSD-3-Clause
// Pictures as plain grey values: read from PGM and PNG, made up, written as PNG with a heat palette.
#pragma once

#include "apps/common/usage.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace heat {

/// Brightness of each pixel, 0 (black) to 1 (white), row by row.
struct Picture {
    std::size_t width = 0;
    std::size_t height = 0;
    std::vector<double> pixels;
};

/// The picture is broken, truncated, too large or of no known kind.
struct PictureError : apps::UsageError {
    using apps::UsageError::UsageError;
};

inline constexpr std::size_t kMaxSide = 32768;        // pixels
inline constexpr std::size_t kMaxPixels = 1ull << 28; // 2 GiB of doubles

/// Reads a PNG or PGM file. Throws PictureError; the message names the file.
Picture read_picture(const std::filesystem::path &file);

/// The same from the bytes of a file. `bytes` decides the kind by how it begins.
Picture parse_picture(std::string_view bytes);
Picture parse_pgm(std::string_view bytes);
Picture parse_png(std::string_view bytes);

/// Throws PictureError if a picture of this size is refused.
void check_size(std::size_t width, std::size_t height);

/// A made-up plate: a hot edge, a ring, a bar and a few hot spots on a cold ground. The same on every machine.
Picture generate_picture(std::size_t width, std::size_t height);

/// Writes values as a PNG file, `low` and below black, then red, orange, yellow, `high` and above white.
/// Throws std::runtime_error if that fails.
void write_heat_png(const std::filesystem::path &file, std::span<const double> values, std::size_t width,
                    std::size_t height, double low, double high);

} // namespace heat
