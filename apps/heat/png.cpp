// SPDX-License-Identifier: BSD-3-Clause
// PNG through libpng. libpng reports errors by longjmp, so whatever needs a destructor lives in PngReader, outside the
// frames that are jumped over.
#include "apps/heat/picture.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>
#include <png.h>

namespace heat {

namespace {

class PngReader {
  public:
    explicit PngReader(std::string_view bytes) : rest_(bytes), length_(bytes.size()) {}
    PngReader(const PngReader &) = delete;
    PngReader &operator=(const PngReader &) = delete;
    ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }

    Picture read() {
        png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
        info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
        if (info_ == nullptr) {
            throw PictureError("libpng cannot be set up");
        }
        png_set_read_fn(png_, this, on_read);
        if (!read_header()) {
            throw PictureError(fmt::format("is truncated or broken: {}", message_.data()));
        }
        check_size(width_, height_);
        check_length();
        bytes_.resize(row_bytes_ * height_);
        rows_.resize(height_);
        for (std::size_t row = 0; row < height_; ++row) {
            rows_[row] = bytes_.data() + row * row_bytes_;
        }
        if (!read_rows()) {
            throw PictureError(fmt::format("is truncated or broken: {}", message_.data()));
        }
        return to_grey();
    }

  private:
    static PngReader &self(png_voidp pointer) { return *static_cast<PngReader *>(pointer); }
    static void on_warning(png_structp, png_const_charp) {}
    [[noreturn]] static void on_error(png_structp png, png_const_charp text) {
        auto &message = self(png_get_error_ptr(png)).message_;
        std::strncpy(message.data(), text, message.size() - 1);
        png_longjmp(png, 1);
    }
    static void on_read(png_structp png, png_bytep out, png_size_t length) {
        std::string_view &rest = self(png_get_io_ptr(png)).rest_;
        if (rest.size() < length) {
            png_error(png, "the file ends too early");
        }
        std::memcpy(out, rest.data(), length);
        rest.remove_prefix(length);
    }

    // After this, every colour type comes as 8 or 16 bit grey or RGB without alpha (transparency is ignored).
    bool read_header() {
        if (setjmp(png_jmpbuf(png_)) != 0) {
            return false;
        }
        png_read_info(png_, info_);
        packed_row_bytes_ = png_get_rowbytes(png_, info_);
        png_set_expand(png_);
        png_set_strip_alpha(png_);
        png_set_interlace_handling(png_);
        png_read_update_info(png_, info_);
        width_ = png_get_image_width(png_, info_);
        height_ = png_get_image_height(png_, info_);
        row_bytes_ = png_get_rowbytes(png_, info_);
        channels_ = png_get_channels(png_, info_);
        depth_bytes_ = png_get_bit_depth(png_, info_) / 8u;
        return true;
    }

    // Before memory is taken: the header may promise more than the file can hold, however well it is packed.
    void check_length() const {
        constexpr std::size_t kBestPacking = 1032; // of deflate: two bits for 258 bytes
        if (packed_row_bytes_ * height_ / kBestPacking > length_) {
            throw PictureError(fmt::format("is truncated or broken: {} x {} pixels cannot come from {} bytes", width_,
                                           height_, length_));
        }
    }

    // Reads to the end chunk, so that a picture that lost its tail is noticed even if all pixels are there.
    bool read_rows() {
        if (setjmp(png_jmpbuf(png_)) != 0) {
            return false;
        }
        png_read_image(png_, rows_.data());
        png_read_end(png_, nullptr);
        return true;
    }

    double sample(const png_byte *pixel, std::size_t channel) const {
        const png_byte *at = pixel + channel * depth_bytes_;
        return depth_bytes_ == 2 ? (at[0] << 8 | at[1]) / 65535.0 : at[0] / 255.0;
    }

    Picture to_grey() const {
        Picture picture{width_, height_, std::vector<double>(width_ * height_)};
        for (std::size_t row = 0; row < height_; ++row) {
            for (std::size_t column = 0; column < width_; ++column) {
                const png_byte *pixel = rows_[row] + column * channels_ * depth_bytes_;
                const double red = sample(pixel, 0);
                // A grey picture keeps its exact values, whether stored as grey or as equal red, green and blue.
                const bool grey = channels_ < 3 || (std::memcmp(pixel, pixel + depth_bytes_, depth_bytes_) == 0 &&
                                                    std::memcmp(pixel, pixel + 2 * depth_bytes_, depth_bytes_) == 0);
                picture.pixels[row * width_ + column] =
                    grey ? red : 0.2126 * red + 0.7152 * sample(pixel, 1) + 0.0722 * sample(pixel, 2);
            }
        }
        return picture;
    }

    png_structp png_ = nullptr;
    png_infop info_ = nullptr;
    std::string_view rest_;
    std::size_t length_;
    std::array<char, 256> message_{};
    std::size_t width_ = 0;
    std::size_t height_ = 0;
    std::size_t row_bytes_ = 0;
    std::size_t packed_row_bytes_ = 0; // as in the file
    std::size_t channels_ = 0;
    std::size_t depth_bytes_ = 0;
    std::vector<png_byte> bytes_;
    std::vector<png_bytep> rows_;
};

constexpr std::size_t kColours = 256;

// Red rises first, then green, then blue: black, red, orange, yellow, white.
std::array<png_byte, kColours * 3> heat_palette() {
    std::array<png_byte, kColours * 3> palette{};
    const auto ramp = [](double x) { return static_cast<png_byte>(std::lround(255.0 * std::clamp(x, 0.0, 1.0))); };
    for (std::size_t i = 0; i < kColours; ++i) {
        const double level = static_cast<double>(i) / (kColours - 1);
        palette[3 * i] = ramp(level * 2.6);
        palette[3 * i + 1] = ramp((level - 0.33) * 2.4);
        palette[3 * i + 2] = ramp((level - 0.75) * 4.0);
    }
    return palette;
}

} // namespace

Picture parse_png(std::string_view bytes) {
    return PngReader(bytes).read();
}

void write_heat_png(const std::filesystem::path &file, std::span<const double> values, std::size_t width,
                    std::size_t height, double low, double high) {
    const double per_colour = high > low ? (kColours - 1) / (high - low) : 0.0;
    std::vector<png_byte> indices(width * height);
    std::transform(values.begin(), values.end(), indices.begin(), [&](double value) {
        return static_cast<png_byte>(std::lround(std::clamp((value - low) * per_colour, 0.0, kColours - 1.0)));
    });
    const auto palette = heat_palette();
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    image.width = static_cast<png_uint_32>(width);
    image.height = static_cast<png_uint_32>(height);
    image.format = PNG_FORMAT_RGB_COLORMAP;
    image.flags = PNG_IMAGE_FLAG_FAST;
    image.colormap_entries = kColours;
    if (png_image_write_to_file(&image, file.c_str(), 0, indices.data(), 0, palette.data()) == 0) {
        throw std::runtime_error(fmt::format("picture '{}' cannot be written: {}", file.string(), image.message));
    }
}

} // namespace heat
