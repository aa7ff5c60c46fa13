// SPDX-License-Identifier: BSD-3-Clause
#include "apps/heat/picture.hpp"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include <fmt/format.h>

namespace heat {

namespace {

std::string read_file(const std::filesystem::path &file) {
    std::error_code error;
    if (std::filesystem::is_directory(file, error)) {
        throw PictureError("is a directory");
    }
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        throw PictureError(fmt::format("cannot be read: {}", std::strerror(errno)));
    }
    std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (in.bad()) {
        throw PictureError("cannot be read to its end");
    }
    return bytes;
}

} // namespace

void check_size(std::size_t width, std::size_t height) {
    if (width < 3 || height < 3) {
        throw PictureError(fmt::format("{} x {} pixels are too few: at least 3 x 3 are needed", width, height));
    }
    if (width > kMaxSide || height > kMaxSide || width * height > kMaxPixels) {
        throw PictureError(fmt::format("{} x {} pixels are too many: at most {} a side and {} in all", width, height,
                                       kMaxSide, kMaxPixels));
    }
}

Picture parse_picture(std::string_view bytes) {
    if (bytes.empty()) {
        throw PictureError("is empty");
    }
    if (bytes.starts_with("\x89PNG")) {
        return parse_png(bytes);
    }
    if (bytes.starts_with("P2") || bytes.starts_with("P5")) {
        return parse_pgm(bytes);
    }
    std::string start;
    for (const char c : bytes.substr(0, 4)) {
        start += (c >= 0x20 && c < 0x7f) ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    throw PictureError(fmt::format("is neither PNG nor PGM (P2 or P5): it begins with \"{}\"", start));
}

Picture read_picture(const std::filesystem::path &file) {
    try {
        return parse_picture(read_file(file));
    } catch (const PictureError &error) {
        throw PictureError(fmt::format("picture '{}': {}", file.string(), error.what()));
    }
}

Picture generate_picture(std::size_t width, std::size_t height) {
    check_size(width, height);
    Picture picture{width, height, std::vector<double>(width * height, 0.05)};
    const double scale = static_cast<double>(std::min(width, height));
    const auto hot = [&](double x, double y) {
        const double from_centre =
            std::hypot(x - 0.5 * static_cast<double>(width) / scale, y - 0.5 * static_cast<double>(height) / scale);
        const bool ring = from_centre > 0.27 && from_centre < 0.33;
        const bool bar = std::abs(y - x) < 0.02 && x > 0.05 && x < 0.95;
        const bool spot = std::hypot(x - 0.2, y - 0.75) < 0.08 || std::hypot(x - 0.85, y - 0.2) < 0.06;
        return ring || bar || spot;
    };
    for (std::size_t row = 0; row < height; ++row) {
        for (std::size_t column = 0; column < width; ++column) {
            double &pixel = picture.pixels[row * width + column];
            if (row == 0) {
                pixel = 1.0; // a heater along the upper edge
            } else if (hot((static_cast<double>(column) + 0.5) / scale, (static_cast<double>(row) + 0.5) / scale)) {
                pixel = 0.95;
            }
        }
    }
    return picture;
}

} // namespace heat
