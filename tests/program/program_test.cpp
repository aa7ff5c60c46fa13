// SPDX-License-Identifier: BSD-3-Clause
// Whole programs as whole jobs: each case of program_app over the transports.
#include "tests/system/job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

namespace systest {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Run {
    const char *label;
    std::vector<std::string> words;
    int nodes = 2;
    const char *transport = "";
    std::vector<std::string> env{};
    std::string out{};
    bool as_user = false;
};

void PrintTo(const Run &run, std::ostream *out) {
    *out << run.label;
}

class Programs : public ::testing::TestWithParam<Run> {};

TEST_P(Programs, Case) {
    const auto &run = GetParam();
    auto words = run.words;
    words.insert(words.begin(), PROGRAM_APP);
    const auto end =
        run_words({.nodes = run.nodes, .transport = run.transport, .env = run.env, .as_user = run.as_user}, words);
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0);
    EXPECT_EQ(end.err, "");
    EXPECT_EQ(end.out, run.out);
    EXPECT_THAT(end.left_behind, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    , Programs,
    ::testing::Values(
        Run{"data", {"data_is_shared"}}, Run{"data_tcp_4", {"data_is_shared"}, 4, "tcp"},
        Run{"data_alone", {"data_is_shared"}, 1}, Run{"data_user", {"data_is_shared"}, 2, "", {}, "", true},
        Run{"static_variables", {"static_variables_are_made_once"}},
        Run{"static_variables_4", {"static_variables_are_made_once"}, 4, "tcp"},
        Run{"streams", {"streams_in_children"}, 2, "", {}, "1.5 preinitialised\n"}, Run{"copied", {"data_is_copied"}},
        Run{"copied_3", {"data_is_copied"}, 3, "tcp"}, Run{"moved", {"data_moves"}, 2, "", {}, "moved with after\n"},
        Run{"built_by_four", {"built_by_four", "8"}}, Run{"built_by_four_tcp", {"built_by_four", "8"}, 2, "tcp"},
        Run{"built_by_four_shm", {"built_by_four", "8"}, 2, "shm"}, Run{"allocators", {"allocators"}},
        Run{"full", {"heap_is_full"}, 2, "", {"NORMA_HEAP=64M"}}, Run{"travel", {"blocks_travel"}},
        Run{"travel_4", {"blocks_travel", "500"}, 4, "tcp"}, Run{"travel_shm", {"blocks_travel", "500"}, 3, "shm"}),
    [](const auto &run) { return run.param.label; });

TEST(WholePrograms, SurviveANode) {
    const auto end = run_words({.nodes = 4}, {PROGRAM_APP, "survivors_allocate"});
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_THAT(end.left_behind, IsEmpty());
}

TEST(WholePrograms, NeedTheirOwnBindings) {
    const auto end = run_words({}, {PROGRAM_LAZY});
    EXPECT_EQ(end.status, 126);
    EXPECT_THAT(end.err, HasSubstr("the dynamic linker writes to the program's variables"));
    EXPECT_EQ(end.out, "");
}

TEST(WholePrograms, NeedRoomForTheirHeap) {
    const auto end = run_words({.env = {"NORMA_MEMORY=64M", "NORMA_HEAP=128M"}}, {PROGRAM_APP, "allocators"});
    EXPECT_NE(end.status, 0);
    EXPECT_THAT(end.err, HasSubstr("NORMA_HEAP"));
}

} // namespace
} // namespace systest
