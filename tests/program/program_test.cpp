// SPDX-License-Identifier: BSD-3-Clause
// Whole programs as whole jobs: each case of program_app over the transports.
#include "tests/system/program_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace systest {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Programs : public ::testing::TestWithParam<ProgramRun> {};

TEST_P(Programs, Case) {
    EXPECT_EQ(check_run(PROGRAM_APP, GetParam()).err, "");
}

INSTANTIATE_TEST_SUITE_P(
    , Programs,
    ::testing::Values(ProgramRun{"data", {"data_is_shared"}}, ProgramRun{"data_tcp_4", {"data_is_shared"}, 4, "tcp"},
                      ProgramRun{"data_alone", {"data_is_shared"}, 1},
                      ProgramRun{"data_user", {"data_is_shared"}, 2, "", {}, "", true},
                      ProgramRun{"static_variables", {"static_variables_are_made_once"}},
                      ProgramRun{"static_variables_4", {"static_variables_are_made_once"}, 4, "tcp"},
                      ProgramRun{"streams", {"streams_in_children"}, 2, "", {}, "1.5 preinitialised\n"},
                      ProgramRun{"copied", {"data_is_copied"}}, ProgramRun{"copied_3", {"data_is_copied"}, 3, "tcp"},
                      ProgramRun{"moved", {"data_moves"}, 2, "", {}, "moved with after\n"},
                      ProgramRun{"built_by_four", {"built_by_four", "100"}},
                      ProgramRun{"built_by_four_tcp", {"built_by_four", "8"}, 2, "tcp"},
                      ProgramRun{"built_by_four_shm", {"built_by_four", "8"}, 2, "shm"},
                      ProgramRun{"allocators", {"allocators"}},
                      ProgramRun{"full", {"heap_is_full"}, 2, "", {"NORMA_HEAP=64M"}},
                      ProgramRun{"travel", {"blocks_travel"}},
                      ProgramRun{"travel_4", {"blocks_travel", "500"}, 4, "tcp"},
                      ProgramRun{"travel_shm", {"blocks_travel", "500"}, 3, "shm"}),
    [](const auto &run) { return run.param.label; });

TEST(WholePrograms, SurviveANode) {
    for (const char *name : {"survivors_allocate", "trade_survives_a_node"}) {
        // Without pages fetched ahead: who writes page after page takes neighbours along, which die with its node.
        const auto end = run_words({.nodes = 4, .env = {"NORMA_PREFETCH=0"}}, {PROGRAM_APP, name});
        EXPECT_FALSE(end.timed_out) << name;
        EXPECT_EQ(end.status, 0) << name << ": " << end.err;
        EXPECT_THAT(end.left_behind, IsEmpty()) << name;
    }
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
