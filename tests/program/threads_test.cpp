// SPDX-License-Identifier: BSD-3-Clause
// POSIX threads of many nodes as whole jobs: the cases of threads.cpp and of parallel.cpp, and pthreads.c as three
// programs.
#include "tests/system/job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <ostream>

namespace systest {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Case {
    const char *label;
    std::vector<std::string> words;
    int nodes = 2;
    const char *transport = "";
    int status = 0;
    std::string out{};
};

void PrintTo(const Case &which, std::ostream *out) {
    *out << which.label;
}

class ProgramThreads : public ::testing::TestWithParam<Case> {};

TEST_P(ProgramThreads, Case) {
    const auto &which = GetParam();
    auto words = which.words;
    words.insert(words.begin(), PROGRAM_APP);
    const auto end = run_words({.nodes = which.nodes, .transport = which.transport}, words);
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, which.status) << end.err;
    EXPECT_EQ(end.out, which.out);
    EXPECT_THAT(end.left_behind, IsEmpty());
}

constexpr int kKilled = 128 + 9, kSegmentationFault = 128 + 11;

INSTANTIATE_TEST_SUITE_P(
    , ProgramThreads,
    ::testing::Values(Case{"nodes", {"threads_find_their_nodes"}},
                      Case{"nodes_3", {"threads_find_their_nodes"}, 3, "tcp"},
                      Case{"nodes_alone", {"threads_find_their_nodes"}, 1}, Case{"stacks", {"threads_stacks"}},
                      Case{"stacks_3", {"threads_stacks"}, 3},
                      Case{"overflow", {"threads_overflow_a_stack"}, 2, "", kSegmentationFault},
                      Case{"end", {"threads_end"}}, Case{"end_alone", {"threads_end"}, 1},
                      Case{"refuse", {"threads_refuse"}}, Case{"locks", {"threads_locks"}},
                      Case{"locks_alone", {"threads_locks"}, 1}, Case{"broadcast", {"threads_broadcast"}},
                      Case{"broadcast_4", {"threads_broadcast", "5"}, 4, "tcp"},
                      Case{"exit", {"threads_exit_the_program"}, 2, "", 21},
                      Case{"killed", {"threads_kill_the_program"}, 2, "", kKilled},
                      Case{"outlive", {"threads_outlive_main"}, 2, "", 0, "the last one\n"},
                      Case{"node_dies", {"threads_node_dies"}, 3}, Case{"loops", {"loops_do_all_once"}},
                      Case{"loops_alone", {"loops_do_all_once"}, 1}, Case{"loops_4", {"loops_do_all_once"}, 4, "tcp"},
                      Case{"everywhere", {"loops_are_everywhere"}}, Case{"everywhere_4", {"loops_are_everywhere"}, 4},
                      Case{"reduce", {"loops_reduce"}}, Case{"reduce_3", {"loops_reduce"}, 3},
                      Case{"throw", {"loops_throw"}}, Case{"throw_alone", {"loops_throw"}, 1},
                      Case{"loops_in_loops", {"loops_in_loops"}}, Case{"loops_lose_a_node", {"loops_lose_a_node"}, 3}),
    [](const auto &run) { return run.param.label; });

std::string output_of(const std::string &command) {
    std::string out;
    std::array<char, 4096> part{};
    std::FILE *pipe = ::popen(command.c_str(), "r");
    while (const auto size = std::fread(part.data(), 1, part.size(), pipe)) {
        out.append(part.data(), size);
    }
    EXPECT_EQ(::pclose(pipe), 0) << command;
    return out;
}

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
