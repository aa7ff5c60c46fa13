// SPDX-License-Identifier: BSD-3-Clause
// One job of a program with many cases, as the parameter of a test.
#pragma once

#include "tests/system/job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

namespace systest {

struct ProgramRun {
    const char *label;
    std::vector<std::string> words; // the case and its arguments
    int nodes = 2;
    const char *transport = "";
    std::vector<std::string> env{};
    std::string out{};
    bool as_user = false;
    int status = 0;
};

inline void PrintTo(const ProgramRun &run, std::ostream *out) {
    *out << run.label;
}

/// Checks how it ends, what it writes and what it leaves behind; what it says on standard error is the caller's to
/// judge.
inline JobEnd check_run(const char *program, const ProgramRun &run) {
    auto words = run.words;
    words.insert(words.begin(), program);
    auto end =
        run_words({.nodes = run.nodes, .transport = run.transport, .env = run.env, .as_user = run.as_user}, words);
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, run.status) << end.err;
    EXPECT_EQ(end.out, run.out);
    EXPECT_THAT(end.left_behind, ::testing::IsEmpty());
    return end;
}

} // namespace systest
