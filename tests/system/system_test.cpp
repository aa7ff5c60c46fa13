// SPDX-License-Identifier: BSD-3-Clause
// Whole jobs in which everything is well: each case of system_app over the transports, as root and as a user.
#include "tests/system/job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace systest {
namespace {

using ::testing::IsEmpty;

void expect_clean(const JobEnd &end, int status) {
    EXPECT_FALSE(end.timed_out) << "after " << end.time.count() << " s";
    EXPECT_EQ(end.status, status);
    EXPECT_EQ(end.err, "");
    EXPECT_THAT(end.left_behind, IsEmpty());
}

struct Run {
    const char *label;
    std::vector<std::string> words;
    int nodes = 2;
    const char *transport = "";
    int status = 0;
    bool as_user = false;
    std::vector<std::string> env{};
    std::string out{};
};

class System : public ::testing::TestWithParam<Run> {};

TEST_P(System, Case) {
    const auto &run = GetParam();
    const auto end = run_case(
        {.nodes = run.nodes, .transport = run.transport, .env = run.env, .as_user = run.as_user}, run.words);
    expect_clean(end, run.status);
    if (!run.out.empty()) {
        EXPECT_EQ(end.out, run.out);
    } else if (!end.out.empty()) {
        GTEST_LOG_(INFO) << end.out;
    }
}

const std::string kMoved = "arrived with 2 arguments, last b\n";

INSTANTIATE_TEST_SUITE_P(
    , System,
    ::testing::ValuesIn(std::vector<Run>{
        {.label = "CountersTcp", .words = {"counters", "2000"}, .nodes = 3, .transport = "tcp"},
        {.label = "CountersShm", .words = {"counters", "2000"}, .nodes = 3, .transport = "shm"},
        {.label = "CountersOneNode", .words = {"counters"}, .nodes = 1},
        {.label = "CloneSharing", .words = {"clone_sharing"}, .nodes = 3},
        {.label = "CloneSharingTcp", .words = {"clone_sharing"}, .nodes = 3, .transport = "tcp"},
        {.label = "CloneSharingShm", .words = {"clone_sharing"}, .nodes = 2, .transport = "shm"},
        {.label = "CloneSharingUser", .words = {"clone_sharing"}, .nodes = 2, .as_user = true},
        {.label = "CloneInheritance", .words = {"clone_inheritance"}},
        {.label = "CloneWithoutMemory", .words = {"clone_without_memory"}},
        {.label = "CloneProtection", .words = {"clone_protection"}},
        {.label = "CloneGenerations", .words = {"clone_generations"}, .nodes = 4},
        {.label = "CloneGenerationsTcp", .words = {"clone_generations"}, .nodes = 3, .transport = "tcp"},
        {.label = "CloneParentDies", .words = {"clone_parent_dies"}, .nodes = 3},
        {.label = "CloneErrors", .words = {"clone_errors"}},
        {.label = "TeleportMain", .words = {"teleport_main", "a", "b"}, .nodes = 3, .status = 42, .out = kMoved},
        {.label = "TeleportMainTcp",
         .words = {"teleport_main", "a", "b"},
         .nodes = 3,
         .transport = "tcp",
         .status = 42,
         .out = kMoved},
        {.label = "TeleportMainUser",
         .words = {"teleport_main", "a", "b"},
         .nodes = 3,
         .status = 42,
         .as_user = true,
         .out = kMoved},
        {.label = "TeleportThread", .words = {"teleport_thread"}, .nodes = 3},
        {.label = "TeleportThreadShm", .words = {"teleport_thread"}, .nodes = 3, .transport = "shm"},
        {.label = "TeleportDriver", .words = {"teleport_driver"}, .nodes = 3},
        {.label = "TeleportNowhere", .words = {"teleport_nowhere"}},
        {.label = "TeleportWithoutMemory", .words = {"teleport_without_memory"}, .nodes = 3},
        {.label = "TeleportWithLock", .words = {"teleport_with_lock"}, .nodes = 3},
    }),
    [](const auto &param) { return std::string(param.param.label); });

} // namespace
} // namespace systest
