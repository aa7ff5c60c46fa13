// SPDX-License-Identifier: BSD-3-Clause
// norma_clone and what belongs to it, as whole jobs of whole programs.
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
    bool as_user = false;
};

void PrintTo(const Run &run, std::ostream *out) {
    *out << run.label;
}

class Clones : public ::testing::TestWithParam<Run> {};

TEST_P(Clones, Case) {
    const auto &run = GetParam();
    auto words = run.words;
    words.insert(words.begin(), CLONE_APP);
    const auto end =
        run_words({.nodes = run.nodes, .transport = run.transport, .env = run.env, .as_user = run.as_user}, words);
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0);
    EXPECT_EQ(end.err, "");
    EXPECT_EQ(end.out, "");
    EXPECT_THAT(end.left_behind, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    , Clones,
    ::testing::Values(Run{"shared", {"memory_is_shared"}}, Run{"shared_tcp_3", {"memory_is_shared"}, 3, "tcp"},
                      Run{"shared_user", {"memory_is_shared"}, 2, "", {}, true}, Run{"copied", {"memory_is_copied"}},
                      Run{"copied_tcp_3", {"memory_is_copied"}, 3, "tcp"}, Run{"ends", {"ends"}},
                      Run{"generations", {"generations"}}, Run{"generations_3", {"generations"}, 3, "shm"},
                      Run{"ids", {"ids"}, 3}, Run{"ids_are_shared", {"ids_are_shared"}}, Run{"orphans", {"orphans"}, 3},
                      Run{"errors", {"errors"}},
                      Run{"no_memory", {"no_memory"}, 2, "", {"NORMA_MEMORY=96M", "NORMA_HEAP=64M"}},
                      Run{"exit_signals", {"exit_signals"}}, Run{"kinds", {"kinds_of_children"}},
                      Run{"signals_travel", {"signals_travel"}},
                      Run{"signals_travel_tcp", {"signals_travel"}, 3, "tcp"},
                      Run{"handlers_are_copied", {"handlers_are_copied"}}, Run{"handlers_call", {"handlers_call"}, 3},
                      Run{"waits_go_on", {"waits_go_on"}}, Run{"moving_children", {"moving_children"}},
                      Run{"moving_parent", {"moving_parent"}}, Run{"directories", {"directories_are_copied"}},
                      Run{"files", {"files_are_copied"}}, Run{"files_user", {"files_are_copied"}, 2, "", {}, true},
                      Run{"many_files", {"many_files"}}, Run{"files_elsewhere", {"files_elsewhere"}}),
    [](const auto &run) { return run.param.label; });

TEST(Clone, OutlivesANode) {
    const auto end = run_words({.nodes = 3}, {CLONE_APP, "lost_children"});
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_THAT(end.left_behind, IsEmpty());
}

TEST(Clone, HasItsLimits) {
    const auto end = run_words({.env = {"NORMA_TASKS=2"}}, {CLONE_APP, "too_many"});
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_THAT(end.err, HasSubstr("NORMA_TASKS"));
    EXPECT_THAT(end.left_behind, IsEmpty());
}

TEST(Clone, RunsTheHistoricSample) {
    const auto end = run_words({}, {CLONE_SAMPLE});
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_EQ(end.out, "the child has ended\n");
    EXPECT_THAT(end.left_behind, IsEmpty());
}

} // namespace
} // namespace systest
