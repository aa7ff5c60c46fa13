// SPDX-License-Identifier: BSD-3-Clause
// The plate of heat, and what its options mean.
#include "apps/heat/options.hpp"
#include "apps/heat/plate.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/common/usage.hpp"

namespace {

using apps::UsageError;
using heat::Block;
using heat::Layout;
using testing::HasSubstr;

constexpr std::size_t kPage = 4096;

template <class F> std::string usage_error(F action) {
    try {
        action();
    } catch (const UsageError &error) {
        return error.what();
    }
    return "no error";
}

// ---- Layout

TEST(Layout, EveryBlockHasPagesOfItsOwnAndEveryRowAnOwner) {
    for (const std::size_t width : {3u, 100u, 511u, 512u, 513u, 2000u}) {
        for (const std::size_t workers : {1u, 2u, 5u, 48u}) {
            const Layout layout = heat::lay_out(width, 50, workers, kPage);
            ASSERT_EQ(layout.blocks.size(), workers);
            EXPECT_GE(layout.stride, width);
            std::size_t row = 0;
            std::size_t end = 0;
            for (const Block &block : layout.blocks) {
                EXPECT_EQ(block.first_row, row);
                EXPECT_GE(block.rows, 1u);
                EXPECT_EQ(block.offset * sizeof(double) % kPage, 0u);
                EXPECT_GE(block.offset, end);
                row += block.rows;
                end = block.offset + block.rows * layout.stride;
            }
            EXPECT_EQ(row, 50u);
            EXPECT_GE(layout.plane_doubles, end);
        }
    }
}

TEST(Layout, RowsArePaddedToPagesOnlyWhereThatIsCheap) {
    EXPECT_EQ(heat::lay_out(2000, 50, 2, kPage).stride, 2048u);
    EXPECT_EQ(heat::lay_out(512, 50, 2, kPage).stride, 512u);
    EXPECT_EQ(heat::lay_out(100, 50, 2, kPage).stride, 100u);
}

// ---- Kernel

TEST(Kernel, AUniformPlateStaysAsItIs) {
    const std::vector<double> plate(20 * 10, 42.5);
    EXPECT_EQ(heat::solve_sequentially(plate, 20, 10, 50), plate);
}

TEST(Kernel, OneStepOfOneHotCell) {
    std::vector<double> plate(5 * 5, 0.0);
    plate[2 * 5 + 2] = 100.0;
    const auto after = heat::solve_sequentially(plate, 5, 5, 1);
    std::vector<double> expected(5 * 5, 0.0);
    expected[2 * 5 + 2] = 20.0;
    expected[1 * 5 + 2] = expected[3 * 5 + 2] = expected[2 * 5 + 1] = expected[2 * 5 + 3] = 20.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(after[i], expected[i], 1e-12) << i;
    }
}

TEST(Kernel, TheBorderStaysAndTheInsideFollowsIt) {
    // A linear slope is a steady state: with its borders held, anything tends to it.
    constexpr std::size_t kSide = 12;
    std::vector<double> plate(kSide * kSide, 0.0);
    for (std::size_t i = 0; i < kSide; ++i) {
        plate[i * kSide + kSide - 1] = kSide - 1.0;
        plate[i] = plate[(kSide - 1) * kSide + i] = static_cast<double>(i);
    }
    const auto after = heat::solve_sequentially(plate, kSide, kSide, 5000);
    for (std::size_t row = 0; row < kSide; ++row) {
        for (std::size_t column = 0; column < kSide; ++column) {
            EXPECT_NEAR(after[row * kSide + column], static_cast<double>(column), 1e-9);
        }
    }
    EXPECT_EQ(after[5], plate[5]);
}

TEST(Kernel, NoStepsChangeNothing) {
    const std::vector<double> plate{1, 2, 3, 4, 5, 6, 7, 8, 9};
    EXPECT_EQ(heat::solve_sequentially(plate, 3, 3, 0), plate);
}

TEST(Kernel, RowsComputedAtAnyAlignmentAgreeBitForBit) {
    constexpr std::size_t kWidth = 103;
    std::vector<double> source(3 * kWidth + 8);
    for (std::size_t i = 0; i < source.size(); ++i) {
        source[i] = 1.0 / static_cast<double>(i * 7919 % 1009 + 1);
    }
    const std::vector<double> rows(source.begin(), source.begin() + 3 * kWidth);
    std::vector<double> reference(kWidth);
    heat::step_row(rows.data(), rows.data() + kWidth, rows.data() + 2 * kWidth, reference.data(), kWidth);
    for (std::size_t shift = 1; shift < 8; ++shift) {
        std::vector<double> shifted(3 * kWidth + shift);
        std::copy(rows.begin(), rows.end(), shifted.begin() + static_cast<std::ptrdiff_t>(shift));
        std::vector<double> out(kWidth + shift);
        const double *above = shifted.data() + shift;
        heat::step_row(above, above + kWidth, above + 2 * kWidth, out.data() + shift, kWidth);
        EXPECT_EQ(heat::compare(reference, {out.data() + shift, kWidth}).cells, 0u) << shift;
    }
}

TEST(Compare, FindsTheFirstDifferenceAndTellsZerosApart) {
    const std::vector<double> a{1, 0.0, 3, 4};
    const std::vector<double> b{1, -0.0, 3, 5};
    EXPECT_EQ(heat::compare(a, a).cells, 0u);
    EXPECT_EQ(heat::compare(a, b).cells, 2u);
    EXPECT_EQ(heat::compare(a, b).first, 1u);
}

// ---- Options

TEST(Teleport, TheThreeForms) {
    const auto step = heat::parse_teleport("100");
    EXPECT_EQ(step.step, 100u);
    EXPECT_FALSE(step.worker || step.node);
    const auto worker = heat::parse_teleport("7:2");
    EXPECT_EQ(worker.worker, 2u);
    EXPECT_FALSE(worker.node);
    const auto all = heat::parse_teleport("7:2:3");
    EXPECT_EQ(all.node, 3);
}

TEST(Teleport, OtherTextsAreRefusedByName) {
    for (const char *text : {"", ":", "x", "-1", "1:", "1:x", "1:-1", "1:2:", "1:2:x", "1:2:3:4", "1.5", " 1", "1 ",
                             "99999999999999999999"}) {
        EXPECT_THAT(usage_error([&] { heat::parse_teleport(text); }), HasSubstr("'" + std::string(text) + "'"));
    }
}

heat::Options with_teleports(std::vector<std::string> teleports) {
    heat::Options options;
    options.steps = 100;
    options.teleports = std::move(teleports);
    return options;
}

TEST(Teleport, DefaultsAreTheLastWorkerAndTheNextNode) {
    const auto moves = heat::plan_moves(with_teleports({"50", "20", "60:0:2", "70:0"}), 4, 3);
    ASSERT_EQ(moves.size(), 4u);
    EXPECT_EQ(moves[0].step, 20u); // in the order of steps: worker 3 begins on node 0
    EXPECT_EQ(moves[0].worker, 3u);
    EXPECT_EQ(moves[0].from, 0);
    EXPECT_EQ(moves[0].to, 1);
    EXPECT_EQ(moves[1].from, 1);
    EXPECT_EQ(moves[1].to, 2);
    EXPECT_EQ(moves[3].from, 2); // where the move before has brought it
    EXPECT_EQ(moves[3].to, 0);
}

TEST(Teleport, WhatIsNotThereIsRefused) {
    const auto error = [](std::vector<std::string> teleports) {
        return usage_error([&] { heat::plan_moves(with_teleports(std::move(teleports)), 4, 2); });
    };
    EXPECT_THAT(error({"100"}), HasSubstr("step 100 is not in 0 .. 99"));
    EXPECT_THAT(error({"5:4"}), HasSubstr("worker 4 is not in 0 .. 3"));
    EXPECT_THAT(error({"5:1:2"}), HasSubstr("node 2 is not in 0 .. 1"));
    EXPECT_THAT(error({"5:1:-1"}), HasSubstr("node -1 is not in 0 .. 1"));
    EXPECT_THAT(error({"5:1", "5:1:0"}), HasSubstr("worker 1 is moved at step 5 already"));
    EXPECT_EQ(error({"5:1", "5:2", "99"}), "no error");
}

TEST(Workers, NumberMustFitThePlate) {
    heat::Options options;
    EXPECT_EQ(heat::choose_workers(options, 100, 1), 2u);
    EXPECT_EQ(heat::choose_workers(options, 100, 4), 4u);
    EXPECT_EQ(heat::choose_workers(options, 3, 4), 1u);
    for (const std::int64_t workers : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{9}}) {
        options.workers = workers;
        EXPECT_THAT(usage_error([&] { heat::choose_workers(options, 10, 2); }),
                    HasSubstr("--workers " + std::to_string(workers)));
    }
    options.workers = 8;
    EXPECT_EQ(heat::choose_workers(options, 10, 2), 8u);
}

TEST(Output, IsMadeOrRefusedByName) {
    const std::string base = testing::TempDir() + "norma-heat-output";
    std::filesystem::remove_all(base);
    EXPECT_NO_THROW(heat::prepare_output(base + "/a/b"));
    EXPECT_TRUE(std::filesystem::is_directory(base + "/a/b"));
    EXPECT_NO_THROW(heat::prepare_output(base + "/a/b"));
    std::ofstream(base + "/file") << "x";
    EXPECT_THAT(usage_error([&] { heat::prepare_output(base + "/file"); }), HasSubstr("'" + base + "/file'"));
    EXPECT_THAT(usage_error([&] { heat::prepare_output(base + "/file/c"); }), HasSubstr("cannot be made"));
    std::filesystem::remove_all(base);
}

} // namespace
