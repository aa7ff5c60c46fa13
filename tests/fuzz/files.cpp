// SPDX-License-Identifier: BSD-3-Clause
// Files that users give to the programs.
#include "tests/fuzz/targets.hpp"

#include "apps/cg/matrix_market.hpp"
#include "apps/heat/picture.hpp"

#include <string>
#include <vector>

#include <zlib.h>

namespace fuzz {

namespace {

void read_matrix(std::string_view text) {
    const auto matrix = cg::parse_matrix(text);
    FUZZ_CHECK(matrix.row_start.size() == matrix.rows + 1 && matrix.row_start.front() == 0);
    FUZZ_CHECK(matrix.row_start.back() == matrix.columns.size() && matrix.columns.size() == matrix.values.size());
    for (std::size_t row = 0; row < matrix.rows; ++row) {
        FUZZ_CHECK(matrix.row_start[row] <= matrix.row_start[row + 1]);
        for (auto i = matrix.row_start[row]; i < matrix.row_start[row + 1]; ++i) {
            FUZZ_CHECK(matrix.columns[i] < matrix.rows);
            FUZZ_CHECK(i == matrix.row_start[row] || matrix.columns[i - 1] < matrix.columns[i]);
        }
        matrix.diagonal(row);
    }
}

std::uint32_t big_endian(const std::string &text, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        value = value << 8 | static_cast<unsigned char>(text[at + i]);
    }
    return value;
}

// Gives every chunk the checksum that belongs to it: chance finds none, and what is behind it would never be reached.
std::string with_checksums(std::string png) {
    for (std::size_t at = 8; at + 12 <= png.size();) {
        const std::size_t length = big_endian(png, at);
        if (length > png.size() - at - 12) {
            break;
        }
        const auto *chunk = reinterpret_cast<const Bytef *>(png.data() + at + 4);
        const auto sum = crc32(crc32(0, nullptr, 0), chunk, static_cast<uInt>(length + 4));
        for (unsigned i = 0; i < 4; ++i) {
            png[at + 8 + length + i] = static_cast<char>(sum >> (24 - 8 * i));
        }
        at += length + 12;
    }
    return png;
}

} // namespace

// The first byte says whether it is a matrix or the right-hand side of one.
void matrix(Bytes input) {
    Choices choices(input);
    const bool is_vector = choices.flag();
    const auto text = as_text(choices.rest());
    try {
        if (is_vector) {
            FUZZ_CHECK(cg::parse_vector(text, 3).size() == 3);
        } else {
            read_matrix(text);
        }
    } catch (const cg::MatrixError &error) {
        FUZZ_CHECK(*error.what() != '\0');
    }
}

void picture(Bytes input) {
    const auto bytes = with_checksums(std::string(as_text(input)));
    try {
        const auto picture = heat::parse_picture(bytes);
        heat::check_size(picture.width, picture.height);
        FUZZ_CHECK(picture.pixels.size() == picture.width * picture.height);
        for (const double pixel : picture.pixels) {
            FUZZ_CHECK(pixel >= 0 && pixel <= 1.0 + 1e-9);
        }
    } catch (const heat::PictureError &error) {
        FUZZ_CHECK(*error.what() != '\0');
    }
}

} // namespace fuzz
