// SPDX-License-Identifier: BSD-3-Clause
// PGM, plain (P2) and raw (P5), 8 and 16 bits a pixel.
#include "apps/heat/picture.hpp"

#include <fmt/format.h>

namespace heat {

namespace {

bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

class PgmReader {
  public:
    explicit PgmReader(std::string_view bytes) : bytes_(bytes) {}

    Picture read() {
        const bool raw = bytes_[1] == '5';
        position_ = 2;
        Picture picture;
        picture.width = number("width");
        picture.height = number("height");
        check_size(picture.width, picture.height);
        max_value_ = number("maximum value");
        if (max_value_ < 1 || max_value_ > 65535) {
            throw PictureError(fmt::format("maximum value {} is not in 1 .. 65535", max_value_));
        }
        // Before memory is taken: the header may promise more than the file holds.
        const std::size_t pixels = picture.width * picture.height;
        if (raw) {
            skip_one_space();
        }
        const std::size_t at_least = raw ? pixels * pixel_bytes() : pixels * 2 - 1;
        if (bytes_.size() - position_ < at_least) {
            throw PictureError(fmt::format("is truncated: {} x {} pixels need {}{} bytes, {} are there", picture.width,
                                           picture.height, raw ? "" : "at least ", at_least,
                                           bytes_.size() - position_));
        }
        picture.pixels.resize(pixels);
        for (double &pixel : picture.pixels) {
            pixel = scaled(raw ? raw_value() : number("pixel"));
        }
        return picture;
    }

  private:
    std::size_t pixel_bytes() const { return max_value_ > 255 ? 2 : 1; }

    double scaled(std::size_t value) const {
        if (value > max_value_) {
            throw PictureError(fmt::format("pixel value {} is above the maximum {}", value, max_value_));
        }
        return static_cast<double>(value) / static_cast<double>(max_value_);
    }

    std::size_t raw_value() {
        std::size_t value = static_cast<unsigned char>(bytes_[position_++]);
        if (pixel_bytes() == 2) {
            value = value << 8 | static_cast<unsigned char>(bytes_[position_++]);
        }
        return value;
    }

    void skip_one_space() {
        if (position_ >= bytes_.size() || !is_space(bytes_[position_])) {
            throw PictureError("has no blank between its header and its pixels");
        }
        ++position_;
    }

    void skip_spaces_and_comments() {
        while (position_ < bytes_.size()) {
            if (bytes_[position_] == '#') {
                const std::size_t end = bytes_.find_first_of("\r\n", position_);
                position_ = end == std::string_view::npos ? bytes_.size() : end;
            } else if (is_space(bytes_[position_])) {
                ++position_;
            } else {
                return;
            }
        }
    }

    std::size_t number(std::string_view what) {
        constexpr std::size_t kLimit = 1'000'000'000;
        skip_spaces_and_comments();
        if (position_ == bytes_.size()) {
            throw PictureError(fmt::format("is truncated: it ends where its {} is expected", what));
        }
        const std::size_t start = position_;
        std::size_t value = 0;
        while (position_ < bytes_.size() && bytes_[position_] >= '0' && bytes_[position_] <= '9' && value < kLimit) {
            value = value * 10 + static_cast<std::size_t>(bytes_[position_++] - '0');
        }
        const bool ends_well = position_ == bytes_.size() || is_space(bytes_[position_]) || bytes_[position_] == '#';
        if (position_ == start || !ends_well) {
            throw PictureError(fmt::format("has no valid {} at byte {}", what, start));
        }
        return value;
    }

    std::string_view bytes_;
    std::size_t position_ = 0;
    std::size_t max_value_ = 0;
};

} // namespace

Picture parse_pgm(std::string_view bytes) {
    return PgmReader(bytes).read();
}

} // namespace heat
