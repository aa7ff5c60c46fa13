// SPDX-License-Identifier: BSD-3-Clause
// Pictures: every PGM and PNG kind, and every way one may be broken.
#include "apps/heat/picture.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>
#include <unistd.h>

namespace {

using heat::Picture;
using heat::PictureError;
using testing::HasSubstr;

std::string error_of(std::string_view bytes) {
    try {
        heat::parse_picture(bytes);
    } catch (const PictureError &error) {
        return error.what();
    }
    return "no error";
}

// ---- PGM

TEST(Pgm, PlainWithComments) {
    const Picture picture = heat::parse_picture("P2 # kind\n# size follows\n3 3\n10\n0 5 10\n1 2 3\n4 # four\n5 6");
    ASSERT_EQ(picture.width, 3u);
    ASSERT_EQ(picture.height, 3u);
    EXPECT_EQ(picture.pixels, (std::vector<double>{0.0, 0.5, 1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}));
}

TEST(Pgm, RawEightBits) {
    const Picture picture = heat::parse_picture(std::string("P5\n4 3\n255\n") + std::string(11, '\xff') + '\0');
    ASSERT_EQ(picture.pixels.size(), 12u);
    EXPECT_EQ(picture.pixels.front(), 1.0);
    EXPECT_EQ(picture.pixels.back(), 0.0);
}

TEST(Pgm, RawSixteenBitsIsBigEndian) {
    std::string bytes = "P5 3 3 65535\n";
    for (int i = 0; i < 9; ++i) {
        bytes += "\x01\x02";
    }
    EXPECT_EQ(heat::parse_picture(bytes).pixels[4], 0x0102 / 65535.0);
}

TEST(Pgm, ARawPixelMayLookLikeABlank) {
    EXPECT_EQ(heat::parse_picture("P5 3 3 255\n         ").pixels[0], ' ' / 255.0);
}

TEST(Pgm, BrokenOnesSayWhy) {
    EXPECT_THAT(error_of(""), HasSubstr("is empty"));
    EXPECT_THAT(error_of("P6 3 3 255\nxxx"), HasSubstr("neither PNG nor PGM (P2 or P5): it begins with \"P6 3\""));
    EXPECT_THAT(error_of("P5"), HasSubstr("ends where its width is expected"));
    EXPECT_THAT(error_of("P5 3"), HasSubstr("ends where its height is expected"));
    EXPECT_THAT(error_of("P5 3 3"), HasSubstr("ends where its maximum value is expected"));
    EXPECT_THAT(error_of("P5 x 3 255\n"), HasSubstr("no valid width at byte 3"));
    EXPECT_THAT(error_of("P5 -3 3 255\n"), HasSubstr("no valid width at byte 3"));
    EXPECT_THAT(error_of("P5 3 3 0\n123456789"), HasSubstr("maximum value 0"));
    EXPECT_THAT(error_of("P5 3 3 65536\n"), HasSubstr("maximum value 65536"));
    EXPECT_THAT(error_of("P5 3 3 255"), HasSubstr("no blank"));
    EXPECT_THAT(error_of("P5 3 3 255\n12345678"), HasSubstr("need 9 bytes, 8 are there"));
    EXPECT_THAT(error_of("P5 3 3 256\n12345678901234567"), HasSubstr("need 18 bytes, 17 are there"));
    EXPECT_THAT(error_of("P2 3 3 9\n1 2 3 4 5 6 7 8     "), HasSubstr("ends where its pixel is expected"));
    EXPECT_THAT(error_of("P2 3 3 9\n1 2 3"), HasSubstr("truncated"));
    EXPECT_THAT(error_of("P2 3 3 9\n1 2 3 4 5 6 7 8 10"), HasSubstr("pixel value 10 is above the maximum 9"));
    EXPECT_THAT(error_of("P2 3 3 9\n1 2 3 4 5 6 7 8 x"), HasSubstr("no valid pixel"));
    EXPECT_THAT(error_of("P5 2 3 255\n123456"), HasSubstr("2 x 3 pixels are too few"));
}

TEST(Pgm, AHugeClaimTakesNoMemory) {
    EXPECT_THAT(error_of("P5 99999999999999999999 9 255\n"), HasSubstr("no valid width"));
    EXPECT_THAT(error_of("P5 100000 100000 255\n"), HasSubstr("too many"));
    EXPECT_THAT(error_of("P5 16384 16384 255\nabc"), HasSubstr("truncated"));
}

TEST(Pgm, EveryTruncationIsSeen) {
    for (const std::string &whole :
         {std::string("P5\n3 4\n1000\n") + std::string(24, '\2'), std::string("P2 3 3 9\n1 2 3\n4 5 6\n7 8 9")}) {
        EXPECT_NO_THROW(heat::parse_picture(whole));
        for (std::size_t length = 0; length < whole.size(); ++length) {
            EXPECT_THROW(heat::parse_picture(whole.substr(0, length)), PictureError) << length;
        }
    }
}

// ---- PNG

struct PngKind {
    const char *name;
    int colour_type;
    int depth;
    bool interlaced;
};

void append(png_structp png, png_bytep data, png_size_t length) {
    static_cast<std::string *>(png_get_io_ptr(png))->append(reinterpret_cast<char *>(data), length);
}

constexpr unsigned kWidth = 9;
constexpr unsigned kHeight = 7;

// Grey level of pixel (x, y), as many bits as `depth` has.
unsigned level(unsigned x, unsigned y, int depth) {
    return (x * 37 + y * 101) * 523 % (1u << depth);
}

void put_sample(std::string &row, unsigned index, unsigned value, int depth) {
    if (depth == 16) {
        row[2 * index] = static_cast<char>(value >> 8);
        row[2 * index + 1] = static_cast<char>(value);
    } else {
        const unsigned bit = index * static_cast<unsigned>(depth);
        const unsigned shift = 8 - static_cast<unsigned>(depth) - bit % 8;
        row[bit / 8] = static_cast<char>(static_cast<unsigned char>(row[bit / 8]) | value << shift);
    }
}

// A PNG of any kind with these grey levels, in all colours alike.
std::string make_png(const PngKind &kind) {
    std::string bytes;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &bytes, append, nullptr);
    png_set_IHDR(png, info, kWidth, kHeight, kind.depth, kind.colour_type,
                 kind.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    const unsigned max = (1u << kind.depth) - 1;
    if (kind.colour_type == PNG_COLOR_TYPE_PALETTE) {
        png_color palette[256];
        for (unsigned i = 0; i <= max; ++i) {
            const auto value = static_cast<png_byte>(i * 255 / max);
            palette[i] = {value, value, value};
        }
        png_set_PLTE(png, info, palette, static_cast<int>(max + 1));
    }
    const unsigned colours = kind.colour_type & PNG_COLOR_MASK_PALETTE ? 1
                             : kind.colour_type & PNG_COLOR_MASK_COLOR ? 3
                                                                       : 1;
    const unsigned channels = colours + (kind.colour_type & PNG_COLOR_MASK_ALPHA ? 1 : 0);
    std::vector<std::string> rows(kHeight, std::string(kWidth * channels * 2, '\0'));
    std::vector<png_bytep> pointers;
    for (unsigned y = 0; y < kHeight; ++y) {
        for (unsigned x = 0; x < kWidth; ++x) {
            for (unsigned channel = 0; channel < channels; ++channel) {
                const unsigned value = channel < colours ? level(x, y, kind.depth) : max / 2;
                put_sample(rows[y], x * channels + channel, value, kind.depth);
            }
        }
        pointers.push_back(reinterpret_cast<png_bytep>(rows[y].data()));
    }
    png_set_rows(png, info, pointers.data());
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
    png_destroy_write_struct(&png, &info);
    return bytes;
}

class PngKinds : public testing::TestWithParam<PngKind> {};

TEST_P(PngKinds, GiveTheGreyLevels) {
    const Picture picture = heat::parse_picture(make_png(GetParam()));
    ASSERT_EQ(picture.width, kWidth);
    ASSERT_EQ(picture.height, kHeight);
    const int depth = GetParam().depth;
    for (unsigned y = 0; y < kHeight; ++y) {
        for (unsigned x = 0; x < kWidth; ++x) {
            EXPECT_DOUBLE_EQ(picture.pixels[y * kWidth + x], level(x, y, depth) / ((1u << depth) - 1.0));
        }
    }
}

TEST_P(PngKinds, EveryTruncationIsSeen) {
    const std::string whole = make_png(GetParam());
    for (std::size_t length = 0; length < whole.size(); ++length) {
        EXPECT_THROW(heat::parse_picture(whole.substr(0, length)), PictureError) << length;
    }
}

TEST_P(PngKinds, AFlippedByteIsSeenOrHarmless) {
    const std::string whole = make_png(GetParam());
    for (std::size_t at = 0; at < whole.size(); ++at) {
        std::string broken = whole;
        broken[at] = static_cast<char>(broken[at] ^ 0x10);
        try {
            EXPECT_EQ(heat::parse_picture(broken).pixels, heat::parse_picture(whole).pixels) << at;
        } catch (const PictureError &) { // as it should be
        }
    }
}

INSTANTIATE_TEST_SUITE_P(
    All, PngKinds,
    testing::Values(PngKind{"grey1", PNG_COLOR_TYPE_GRAY, 1, false}, PngKind{"grey2", PNG_COLOR_TYPE_GRAY, 2, false},
                    PngKind{"grey4", PNG_COLOR_TYPE_GRAY, 4, true}, PngKind{"grey8", PNG_COLOR_TYPE_GRAY, 8, false},
                    PngKind{"grey16", PNG_COLOR_TYPE_GRAY, 16, true},
                    PngKind{"greyalpha8", PNG_COLOR_TYPE_GRAY_ALPHA, 8, false},
                    PngKind{"greyalpha16", PNG_COLOR_TYPE_GRAY_ALPHA, 16, false},
                    PngKind{"palette1", PNG_COLOR_TYPE_PALETTE, 1, false},
                    PngKind{"palette4", PNG_COLOR_TYPE_PALETTE, 4, false},
                    PngKind{"palette8", PNG_COLOR_TYPE_PALETTE, 8, true}, PngKind{"rgb8", PNG_COLOR_TYPE_RGB, 8, false},
                    PngKind{"rgb16", PNG_COLOR_TYPE_RGB, 16, true}, PngKind{"rgba8", PNG_COLOR_TYPE_RGB_ALPHA, 8, true},
                    PngKind{"rgba16", PNG_COLOR_TYPE_RGB_ALPHA, 16, false}),
    [](const auto &kind) { return kind.param.name; });

TEST(Picture, FilesThatCannotBeReadAreNamed) {
    try {
        heat::read_picture("no/such/picture.png");
        FAIL();
    } catch (const PictureError &error) {
        EXPECT_THAT(error.what(), HasSubstr("picture 'no/such/picture.png': cannot be read: No such file"));
    }
    EXPECT_THROW(heat::read_picture("/"), PictureError);
}

TEST(Picture, AHeatPictureCanBeReadBack) {
    const auto file = std::filesystem::temp_directory_path() / ("norma-apps-" + std::to_string(getpid()) + ".png");
    const std::vector<double> values{-1, 0, 25, 50, 75, 100, 101, 0, 0, 0, 0, 0};
    heat::write_heat_png(file, values, 4, 3, 0, 100);
    const Picture picture = heat::read_picture(file);
    std::filesystem::remove(file);
    ASSERT_EQ(picture.width, 4u);
    ASSERT_EQ(picture.height, 3u);
    EXPECT_EQ(picture.pixels[0], 0.0); // below the range: black
    EXPECT_EQ(picture.pixels[1], 0.0);
    EXPECT_TRUE(std::is_sorted(picture.pixels.begin(), picture.pixels.begin() + 7)); // hotter is brighter
    EXPECT_DOUBLE_EQ(picture.pixels[5], 1.0);                                        // hottest: white
    EXPECT_DOUBLE_EQ(picture.pixels[6], 1.0);
    EXPECT_THROW(heat::write_heat_png("no/such/folder/a.png", values, 4, 3, 0, 100), std::runtime_error);
}

TEST(Picture, TheGeneratedOneHasHotAndCold) {
    const Picture picture = heat::generate_picture(64, 48);
    ASSERT_EQ(picture.pixels.size(), 64u * 48u);
    const auto [low, high] = std::minmax_element(picture.pixels.begin(), picture.pixels.end());
    EXPECT_LT(*low, 0.1);
    EXPECT_GT(*high, 0.9);
    EXPECT_THROW(heat::generate_picture(2, 100), PictureError);
}

} // namespace
