// SPDX-License-Identifier: BSD-3-Clause
// Deaths of tasks, nodes and launchers, and what is wrong from the start: the messages, the status, and nothing left.
#include "tests/system/job.hpp"

#include <chrono>
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace systest {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

void expect_end(const JobEnd &end, int status, const std::string &err) {
    EXPECT_FALSE(end.timed_out) << "after " << end.time.count() << " s";
    EXPECT_EQ(end.status, status);
    EXPECT_EQ(end.err, err);
    EXPECT_THAT(end.left_behind, IsEmpty());
}

void expect_refusal(const JobEnd &end, int status, const std::string &err_regex) {
    EXPECT_FALSE(end.timed_out) << "after " << end.time.count() << " s";
    EXPECT_EQ(end.status, status);
    EXPECT_THAT(end.err, MatchesRegex(err_regex));
    EXPECT_EQ(end.out, "");
    EXPECT_THAT(end.left_behind, IsEmpty());
}

const std::string kNodeOneGone = "norma: node 1 is gone (killed by signal 9)\n";

TEST(Death, OfTasks) {
    expect_end(run_case({.nodes = 3}, {"death_of_task"}), 0, "");
}

TEST(Death, OfANodeServerLeavesItsTaskNoZeros) {
    expect_end(run_case({.nodes = 2}, {"death_of_server_under_its_task"}), 1,
               "norma: node 0 is gone (killed by signal 9)\nnorma: the first task was lost with node 0\n");
}

TEST(Death, OfANodeThatWasToHandleAnException) {
    expect_end(run_case({.nodes = 2}, {"exceptions_and_node_deaths"}), 0, kNodeOneGone);
}

TEST(Death, OfNodesWithMemoryOfMessages) {
    expect_end(run_case({.nodes = 2}, {"ports_memory_and_node_deaths"}), 0, kNodeOneGone);
}

TEST(Death, OfATaskOnItsWayToABarrier) {
    expect_end(run_case({.nodes = 2}, {"death_before_barrier", "task"}), 0, "");
}

TEST(Death, OfATaskThatSendsADescriptorThatCannotBePolled) {
    const auto end = run_case({.nodes = 2}, {"death_by_bad_channel"});
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0);
    EXPECT_THAT(end.err, MatchesRegex("norma\\[node 1\\]: error: [^\n]*/system_app: sent a descriptor that cannot be "
                                      "polled [^\n]*; its task is ended\n"));
    EXPECT_THAT(end.left_behind, IsEmpty());
}

// Dozens of deaths, in jobs that would run out of memory if what was copied stayed.
TEST(Death, OfTasksInTheMiddleOfACall) {
    for (const auto &[call, who] : std::vector<std::pair<std::string, std::string>>{{"remap", "caller"},
                                                                                    {"remap", "owner"},
                                                                                    {"remap_copy", "caller"},
                                                                                    {"remap_copy", "owner"},
                                                                                    {"teleport", "caller"}}) {
        SCOPED_TRACE(call + " " + who);
        const auto end = run_case({.nodes = 3, .env = {"NORMA_MEMORY=256M"}}, {"call_and_task_death", call, who, "24"});
        expect_end(end, 0, "");
        EXPECT_EQ(end.out, "went on\n");
    }
}

class DeathOfNode : public ::testing::TestWithParam<const char *> {};

TEST_P(DeathOfNode, LeavesTheOthersRunning) {
    const auto end = run_case({.nodes = 3, .transport = GetParam()}, {"death_of_node"});
    expect_end(end, 0, kNodeOneGone);
    EXPECT_EQ(end.out, "went on\n");
}

TEST_P(DeathOfNode, TakesPortsAndRightsAlong) {
    expect_end(run_case({.nodes = 3, .transport = GetParam()}, {"ports_node_dies"}), 0, kNodeOneGone);
    expect_end(run_case({.nodes = 3, .transport = GetParam()}, {"ports_services_of_a_dead_node"}), 0, kNodeOneGone);
}

TEST_P(DeathOfNode, EndsSamplingThere) {
    expect_end(run_case({.nodes = 3, .transport = GetParam()}, {"samples_node_dies"}), 0, kNodeOneGone);
}

TEST_P(DeathOfNode, LosesNothingThatItHadGivenBack) {
    expect_end(run_case({.nodes = 2, .transport = GetParam()}, {"death_after_eviction"}), 0, kNodeOneGone);
}

TEST_P(DeathOfNode, IsToldByCallsThatCopy) {
    expect_end(run_case({.nodes = 2, .transport = GetParam()}, {"death_of_what_is_copied"}), 0, kNodeOneGone);
}

TEST_P(DeathOfNode, LeavesWhatItsTasksWroteForOthers) {
    expect_end(run_case({.nodes = 2, .transport = GetParam()}, {"death_of_writer"}), 0, kNodeOneGone);
}

TEST_P(DeathOfNode, TakesNamesOfMemoryAlong) {
    expect_end(run_case({.nodes = 2, .transport = GetParam()}, {"objects_and_death"}), 0, kNodeOneGone);
}

TEST_P(DeathOfNode, TakesWhatWasNotSavedAlong) {
    expect_end(run_case({.nodes = 3, .transport = GetParam()}, {"files_and_death"}), 0,
               kNodeOneGone +
                   "norma[node 0]: warning: a file has not got all that was written in its memory: some of it "
                   "was on a node that died\n");
    expect_end(run_case({.nodes = 3, .transport = GetParam()}, {"files_and_death_of_home"}), 0, kNodeOneGone);
}

TEST_P(DeathOfNode, EndsWaitsAtWordsOfItsMemory) {
    expect_end(run_case({.nodes = 3, .transport = GetParam()}, {"words_node_dies"}), 0, kNodeOneGone);
}

TEST_P(DeathOfNode, OfTwo) {
    expect_end(run_case({.nodes = 2, .transport = GetParam()}, {"death_of_node"}), 0, kNodeOneGone);
}

TEST_P(DeathOfNode, BeforeABarrier) {
    expect_end(run_case({.nodes = 2, .transport = GetParam()}, {"death_before_barrier", "node"}), 0, kNodeOneGone);
}

TEST_P(DeathOfNode, WhileChildrenAreMade) {
    for (const auto *who : {"asker", "writer", "home", "child"}) {
        SCOPED_TRACE(who);
        const auto end =
            run_case({.nodes = 3, .transport = GetParam(), .env = {"NORMA_WAIT=block", "NORMA_MEMORY=256M"}},
                     {"create_and_death", who});
        expect_end(end, 0, kNodeOneGone);
        EXPECT_EQ(end.out, "went on\n");
    }
}

// 1: the caller's; 2: that of the task whose memory it is, or to which the caller moves; 3: the home of the memory.
TEST_P(DeathOfNode, WhileMemoryIsRemappedAndTasksMove) {
    for (const auto *call : {"remap", "remap_copy", "teleport"}) {
        for (const auto *who : {"1", "2", "3"}) {
            for (const auto *milliseconds : {"0", "3"}) {
                SCOPED_TRACE(std::string(call) + " " + who + " " + milliseconds);
                const auto end = run_case({.nodes = 4, .transport = GetParam(), .env = {"NORMA_MEMORY=256M"}},
                                          {"call_and_node_death", call, who, milliseconds});
                expect_end(end, 0, std::string("norma: node ") + who + " is gone (killed by signal 9)\n");
                EXPECT_EQ(end.out, "went on\n");
            }
        }
    }
}

TEST_P(DeathOfNode, EndsTheJobIfTheFirstTaskWasThere) {
    Job job({.nodes = 3, .transport = GetParam()}, {SYSTEM_APP, "death_of_first"});
    ASSERT_TRUE(job.wait_for_output("here\n"));
    const auto begin = std::chrono::steady_clock::now();
    const auto end = job.finish();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
    expect_end(end, 1, kNodeOneGone + "norma: the first task was lost with node 1\n");
}

TEST_P(DeathOfNode, AfterTheFirstTaskLeftIt) {
    const auto end = run_case({.nodes = 3, .transport = GetParam()}, {"death_of_left_node"});
    // The launcher hears of the node from the kernel and of the task from another node server: in either order.
    const std::string gone = "norma: node 0 is gone (killed by signal 9)\n";
    const std::string killed = "norma: task killed by signal 7 (Bus error)\n";
    const bool task_first = end.err.starts_with(killed);
    expect_end(end, 128 + SIGBUS, task_first ? killed + gone : gone + killed);
    EXPECT_EQ(end.out, "goes on\n");
}

INSTANTIATE_TEST_SUITE_P(Transport, DeathOfNode, ::testing::Values("ucx", "tcp", "shm"),
                         [](const auto &param) { return std::string(param.param); });

TEST(Death, OfLauncherLeavesNothing) {
    for (const auto *transport : {"tcp", "shm"}) {
        Job job({.nodes = 3, .transport = transport}, {SYSTEM_APP, "run_for_ever"});
        ASSERT_TRUE(job.wait_for_output("ready\n"));
        EXPECT_GE(job.processes().size(), 8U); // launcher, three node servers, first task, three children
        ASSERT_EQ(::kill(job.launcher(), SIGKILL), 0);
        expect_end(job.finish(), 128 + SIGKILL, "");
    }
}

TEST(Death, BySignalToTheLauncher) {
    for (const int signal : {SIGINT, SIGTERM}) {
        Job job({.nodes = 3}, {SYSTEM_APP, "run_for_ever"});
        ASSERT_TRUE(job.wait_for_output("ready\n"));
        ASSERT_EQ(::kill(job.launcher(), signal), 0);
        expect_end(job.finish(), 128 + signal, "");
    }
}

TEST(End, ExitCodesPass) {
    for (const auto &[how, code] : std::vector<std::pair<std::string, int>>{
             {"return", 0}, {"return", 7}, {"norma_exit", 3}, {"norma_exit", 255}}) {
        expect_end(run_case({}, {"end", how, std::to_string(code)}), code, "");
    }
    expect_end(run_case({}, {"end", "thread_exit"}), 19, "");
    expect_end(run_case({}, {"end", "terminate"}), 0, "");
}

TEST(End, ByCrash) {
    expect_end(run_case({}, {"end", "segv"}), 139, "norma: task killed by signal 11 (Segmentation fault)\n");
    expect_end(run_case({}, {"end", "abort"}), 134, "norma: task killed by signal 6 (Aborted)\n");
}

TEST(WrongInput, NumberOfNodes) {
    for (const auto *count : {"0", "-1", "2000", "two"}) {
        expect_refusal(run_words({}, {"-N", count, SYSTEM_APP, "end"}), 2, "norma run: [^\n]*\n");
    }
}

TEST(WrongInput, Program) {
    expect_refusal(run_words({}, {"/nowhere/app"}), 2, "norma run: program '/nowhere/app' does not exist\n");
    expect_refusal(run_words({}, {"no-such-program"}), 2, "norma run: program 'no-such-program' is not in PATH\n");
    expect_refusal(run_words({}, {"/etc/passwd"}), 2, "norma run: program '/etc/passwd' is not an executable file\n");
    expect_refusal(run_words({}, {}), 2, "norma run: no program is given\n");
}

TEST(WrongInput, Options) {
    expect_refusal(run_words({.transport = "pigeon"}, {SYSTEM_APP}), 2, "norma run: [^\n]*pigeon[^\n]*\n");
    expect_refusal(run_words({}, {"--wait", "never", SYSTEM_APP}), 2, "norma run: [^\n]*never[^\n]*\n");
    expect_refusal(run_words({}, {"--no-such-option", SYSTEM_APP}), 2, "norma run: [^\n]*--no-such-option[^\n]*\n");
}

TEST(WrongInput, Environment) {
    expect_refusal(run_case({.env = {"NORMA_MEMROY=1G"}}, {"end"}), 2,
                   "norma run: NORMA_MEMROY[^\n]*did you mean NORMA_MEMORY[^\n]*\n");
    expect_refusal(run_case({.env = {"NORMA_SPIN=soon"}}, {"end"}), 2, "norma run: NORMA_SPIN=soon[^\n]*\n");
    expect_refusal(run_case({.env = {"NORMA_PREFETCH=65"}}, {"end"}), 2, "norma run: NORMA_PREFETCH=65[^\n]*\n");
    expect_refusal(run_case({.env = {"NORMA_WINDOW_BASE=0x200000001000"}}, {"end"}), 2,
                   "norma run: NORMA_WINDOW_BASE=0x200000001000[^\n]*2 MiB[^\n]*\n");
}

TEST(WrongInput, NoUserfaultfd) {
    for (const bool as_user : {false, true}) {
        const auto end = run_case({.as_user = as_user, .no_userfaultfd = true}, {"end"});
        EXPECT_FALSE(end.timed_out);
        EXPECT_NE(end.status, 0);
        EXPECT_THAT(end.err, HasSubstr("userfaultfd"));
        EXPECT_THAT(end.err, HasSubstr("norma info --check"));
        EXPECT_EQ(end.out, "");
        EXPECT_THAT(end.left_behind, IsEmpty());
    }
}

// The fixture of these tests must see what it is there for.
TEST(Fixture, SeesProcessesThatAreLeft) {
    const auto end = run_words({.nodes = 1}, {"/bin/sh", "-c",
                                              "setsid sleep 30 >/dev/null 2>&1 </dev/null &\n"
                                              "until [ \"$(cut -d' ' -f6 /proc/$!/stat)\" = $! ]; do :; done"});
    EXPECT_FALSE(end.left_behind.empty());
}

} // namespace
} // namespace systest
