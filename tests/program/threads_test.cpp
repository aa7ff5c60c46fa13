// SPDX-License-Identifier: BSD-3-Clause
// POSIX threads of many nodes as whole jobs: the cases of threads.cpp and of parallel.cpp, and pthreads.c as three
// programs.
#include "tests/system/program_run.hpp"
#include "tests/system/shell.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace systest {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ProgramThreads : public ::testing::TestWithParam<ProgramRun> {};

TEST_P(ProgramThreads, Case) {
    check_run(PROGRAM_APP, GetParam());
}

constexpr int kKilled = 128 + 9, kSegmentationFault = 128 + 11;

INSTANTIATE_TEST_SUITE_P(
    , ProgramThreads,
    ::testing::Values(ProgramRun{"nodes", {"threads_find_their_nodes"}},
                      ProgramRun{"nodes_3", {"threads_find_their_nodes"}, 3, "tcp"},
                      ProgramRun{"nodes_alone", {"threads_find_their_nodes"}, 1},
                      ProgramRun{"stacks", {"threads_stacks"}}, ProgramRun{"stacks_3", {"threads_stacks"}, 3},
                      ProgramRun{"overflow", {"threads_overflow_a_stack"}, 2, "", {}, "", false, kSegmentationFault},
                      ProgramRun{"end", {"threads_end"}}, ProgramRun{"end_alone", {"threads_end"}, 1},
                      ProgramRun{"refuse", {"threads_refuse"}}, ProgramRun{"locks", {"threads_locks"}},
                      ProgramRun{"locks_alone", {"threads_locks"}, 1}, ProgramRun{"broadcast", {"threads_broadcast"}},
                      ProgramRun{"broadcast_4", {"threads_broadcast", "5"}, 4, "tcp"},
                      ProgramRun{"exit", {"threads_exit_the_program"}, 2, "", {}, "", false, 21},
                      ProgramRun{"killed", {"threads_kill_the_program"}, 2, "", {}, "", false, kKilled},
                      ProgramRun{"outlive", {"threads_outlive_main"}, 2, "", {}, "the last one\n"},
                      ProgramRun{"node_dies", {"threads_node_dies"}, 3}, ProgramRun{"loops", {"loops_do_all_once"}},
                      ProgramRun{"loops_alone", {"loops_do_all_once"}, 1},
                      ProgramRun{"loops_4", {"loops_do_all_once"}, 4, "tcp"},
                      ProgramRun{"everywhere", {"loops_are_everywhere"}},
                      ProgramRun{"everywhere_4", {"loops_are_everywhere"}, 4}, ProgramRun{"reduce", {"loops_reduce"}},
                      ProgramRun{"reduce_3", {"loops_reduce"}, 3}, ProgramRun{"throw", {"loops_throw"}},
                      ProgramRun{"throw_alone", {"loops_throw"}, 1}, ProgramRun{"loops_in_loops", {"loops_in_loops"}},
                      ProgramRun{"loops_lose_a_node", {"loops_lose_a_node"}, 3}),
    [](const auto &run) { return run.param.label; });

TEST(ProgramPthreads, PrintTheSameEverywhere) {
    const std::string arguments = " 4 10";
    const auto plain = output_of(PTHREADS_PLAIN + arguments);
    EXPECT_THAT(plain, HasSubstr("mutexes: 4 threads counted to 40 and 80\n"));
    for (const char *program : {PTHREADS, PTHREADS_RELINKED}) {
        EXPECT_EQ(output_of(program + arguments), plain) << "outside a job: " << program;
        for (const int nodes : {1, 2, 4}) {
            const auto end = run_words({.nodes = nodes}, {program, "4", "10"});
            EXPECT_EQ(end.status, 0) << program << " on " << nodes << ": " << end.err;
            EXPECT_EQ(end.out, plain) << program << " on " << nodes;
            EXPECT_THAT(end.left_behind, IsEmpty());
        }
    }
}

} // namespace
} // namespace systest
