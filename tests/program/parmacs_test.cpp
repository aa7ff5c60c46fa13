// SPDX-License-Identifier: BSD-3-Clause
// Programs with PARMACS macros print the same with plain threads as on any number of nodes.
#include "tests/system/job.hpp"
#include "tests/system/shell.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace systest {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

void expect_everywhere(const std::string &expected, std::vector<std::string> words) {
    for (const int nodes : {1, 2, 4}) {
        const auto end = run_words({.nodes = nodes}, words);
        EXPECT_FALSE(end.timed_out);
        EXPECT_EQ(end.status, 0) << end.err;
        EXPECT_EQ(end.out, expected) << nodes << " nodes";
        EXPECT_EQ(end.err, "");
        EXPECT_THAT(end.left_behind, IsEmpty());
    }
}

TEST(ProgramParmacs, FactorsAMatrix) {
    const auto plain = output_of(LU_PLAIN " -n 192 -p 1 2>&1");
    EXPECT_THAT(plain, HasSubstr("correct: yes\n"));
    EXPECT_EQ(output_of(LU_PLAIN " -n 192 -p 3 2>&1"), plain);
    expect_everywhere(plain, {LU, "-n", "192", "-p", "4"});
}

TEST(ProgramParmacs, HasTheOtherMacros) {
    const auto plain = output_of(MACROS_PLAIN " 4 2>&1");
    EXPECT_EQ(plain, "sum: 3540, there: 0, clock: 1\n");
    expect_everywhere(plain, {MACROS, "4"});
}

TEST(ProgramParmacs, RefusesBadSizes) {
    const auto end = run_words({}, {LU, "-n", "100"});
    EXPECT_EQ(end.status, 2);
    EXPECT_THAT(end.err, HasSubstr("-n must be a multiple of -b"));
}

} // namespace
} // namespace systest
