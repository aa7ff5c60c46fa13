// SPDX-License-Identifier: BSD-3-Clause
// What the tests of nodes that leave have in common.
#pragma once

#include "tests/system/program_run.hpp"
#include "tests/system/shell.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <unistd.h>

namespace systest {

inline std::string norma(const Job &job, const std::string &words) {
    const auto end =
        run_in_shell(std::string(NORMA_PROGRAM) + " " + words + " --job " + std::to_string(job.launcher()) + " 2>&1");
    return end.status != 0 ? "failed: " + end.out : end.out;
}

inline std::string drain(const Job &job, const std::string &words) {
    return norma(job, "drain " + words);
}

inline std::string file_for(const std::string &label) {
    return std::filesystem::temp_directory_path() / ("norma-drain-" + std::to_string(::getpid()) + label);
}

inline void check_good_end(Job &job) {
    const auto end = job.finish();
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0);
    EXPECT_EQ(end.err, "");
    EXPECT_THAT(end.left_behind, ::testing::IsEmpty());
}

} // namespace systest
