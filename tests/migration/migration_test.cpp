// SPDX-License-Identifier: BSD-3-Clause
// Tasks that are moved with all their threads, as whole jobs: each case of migration_app, which checks itself.
#include "tests/system/program_run.hpp"
#include "tests/system/shell.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <tuple>

namespace systest {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Migration : public ::testing::TestWithParam<ProgramRun> {};

TEST_P(Migration, Case) {
    EXPECT_EQ(check_run(MIGRATION_APP, GetParam()).err, "");
}

INSTANTIATE_TEST_SUITE_P(
    , Migration,
    ::testing::Values(
        ProgramRun{"recursion", {"recursion_moves"}}, ProgramRun{"floating_point", {"floating_point_moves"}},
        ProgramRun{"eight_threads", {"eight_threads_move"}},
        ProgramRun{"eight_threads_tcp_3", {"eight_threads_move"}, 3, "tcp"},
        ProgramRun{"barrier", {"who_waits_at_a_barrier_moves"}}, ProgramRun{"waits", {"who_waits_for_others_moves"}},
        ProgramRun{"waits_tcp_4", {"who_waits_for_others_moves"}, 4, "tcp"},
        ProgramRun{"locks_and_masks", {"what_a_thread_has_moves"}}, ProgramRun{"exceptions", {"exceptions_move"}},
        ProgramRun{"timers", {"timers_and_handlers_move"}}, ProgramRun{"memory_follows", {"memory_follows"}, 3},
        ProgramRun{"memory_follows_tcp", {"memory_follows"}, 3, "tcp"}, ProgramRun{"names", {"names_move"}},
        ProgramRun{"names_tcp_3", {"names_move"}, 3, "tcp"},
        ProgramRun{"names_from_elsewhere", {"right_to_receive_from_elsewhere_moves"}, 3},
        ProgramRun{"messages", {"messages_come_once"}, 3}, ProgramRun{"messages_tcp", {"messages_come_once"}, 3, "tcp"},
        ProgramRun{"files", {"open_files_move"}}, ProgramRun{"files_tcp_3", {"open_files_move"}, 3, "tcp"},
        ProgramRun{"memory_lazy", {"memory_comes_when_it_is_touched"}, 3},
        ProgramRun{"memory_first", {"memory_comes_first"}, 3},
        ProgramRun{"memory_first_tcp", {"memory_comes_first"}, 3, "tcp"},
        ProgramRun{"memory_first_changed", {"memory_changes_while_it_comes_first"}, 3},
        ProgramRun{"memory_in_use", {"memory_in_use_stays"}},
        ProgramRun{"memory_several_nodes", {"memory_follows_over_several_nodes"}, 3},
        ProgramRun{"itself", {"first_task_moves_itself"}, 2, "", {}, "0 1 2 3 moved\n"},
        ProgramRun{"itself_as_user", {"first_task_moves_itself"}, 2, "", {}, "0 1 2 3 moved\n", true}),
    [](const auto &run) { return run.param.label; });

// One kind of state each.
class State : public ::testing::TestWithParam<const char *> {};

TEST_P(State, IsAsItWas) {
    EXPECT_EQ(check_run(MIGRATION_APP, {GetParam(), {GetParam()}}).err, "");
}

INSTANTIATE_TEST_SUITE_P(
    , State,
    ::testing::Values("general_registers_move", "ymm_registers_move", "zmm_and_mask_registers_move", "x87_stack_moves",
                      "floating_point_modes_and_flags_move", "red_zone_moves", "string_instruction_goes_on",
                      "deep_stack_moves", "jumps_lead_back", "coroutines_go_on", "exception_in_flight_moves",
                      "nested_exceptions_move", "static_and_thread_local_objects_move", "containers_are_changed",
                      "heap_blocks_are_freed_elsewhere", "pending_signals_move", "signal_actions_move",
                      "signal_stack_moves", "timers_of_computing_time_go_on", "sleeps_end_in_time",
                      "directory_and_umask_move", "children_and_their_ends_move", "signals_by_number_arrive",
                      "inheritance_moves", "copies_fit_where_all_memory_is", "protection_moves", "lazy_copies_move",
                      "one_memory_at_two_addresses_moves", "named_object_moves", "others_read_and_write_its_memory",
                      "copies_of_it_are_of_one_moment", "contended_lock", "turns_by_a_word", "units_of_a_semaphore",
                      "eight_at_a_barrier", "condition_with_a_timeout", "threads_keep_their_names", "to_and_fro",
                      "files_come_back", "shared_files_move", "files_move_after_a_clone",
                      "who_waits_for_a_message_moves", "notifications_move", "exception_ports_move"),
    [](const auto &name) { return std::string(name.param); });

struct Obstacle {
    const char *name, *reason;
    const char *another = "";
};

class Refused : public ::testing::TestWithParam<Obstacle> {};

TEST_P(Refused, WithTheReason) {
    EXPECT_THAT(
        check_run(MIGRATION_APP, {GetParam().name, {GetParam().name}, 3}).err,
        AllOf(HasSubstr(std::string("does not move to node 1: ") + GetParam().reason), HasSubstr(GetParam().another)));
}

INSTANTIATE_TEST_SUITE_P(
    , Refused,
    ::testing::Values(Obstacle{"timer_stays", "it has timers made by timer_create"},
                      Obstacle{"wired_memory_stays", "it has wired memory"},
                      Obstacle{"file_as_memory_stays", "it has opened files as memory objects"},
                      Obstacle{"shared_directories_stay", "it shares directories or signal actions"},
                      Obstacle{"suspended_task_stays", "it is suspended"},
                      Obstacle{"suspended_thread_stays", "a thread of it is suspended"},
                      Obstacle{"thread_of_the_c_library_stays", "it has a thread that norma has not made"},
                      Obstacle{"posix_threads_stay", "it has a thread that norma has not made",
                               "a thread of it cannot be stopped: in "},
                      Obstacle{"epoll_set_stays", "it has an open file that only its own process can use"},
                      Obstacle{"open_directory_stays", "it has an open directory"},
                      Obstacle{"stream_stays", "it has a stream of the C library"}),
    [](const auto &obstacle) { return std::string(obstacle.param.name); });

class NodesDie : public ::testing::TestWithParam<int> {};

TEST_P(NodesDie, OnTheWay) { // the case says how it must end
    Job job({.nodes = 3}, {MIGRATION_APP, "a_node_dies_on_the_way"});
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    const auto server = job.node_server(1 + GetParam() % 2);
    ASSERT_GT(server, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(23 * GetParam()));
    ASSERT_EQ(::kill(server, SIGKILL), 0);
    const auto end = job.finish();
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_THAT(end.left_behind, ::testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(, NodesDie, ::testing::Range(0, 6));

std::string answer_to(const std::string &command) {
    const auto end = run_in_shell(command + " 2>&1");
    return end.status != 0 ? "failed: " + end.out : end.out;
}

TEST(Migrations, AreMadeAtTheCommandLine) {
    Job job({}, {MIGRATION_APP, "goes_and_comes_back"});
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    const auto launcher = std::to_string(job.launcher());
    const std::string norma(NORMA_PROGRAM);
    EXPECT_EQ(answer_to(norma + " migrate 0.1 1 --json --job " + launcher),
              R"({"job": )" + launcher + R"(, "task": "1.1", "was": "0.1", "node": 1})" + "\n");
    ASSERT_TRUE(job.wait_for_output("away\n")); // else it might never know that it has been there
    EXPECT_EQ(answer_to(norma + " migrate 0.1 1 --job " + launcher),
              "failed: norma migrate: task 0.1 of job " + launcher + " has not moved: there is no such task\n");
    EXPECT_THAT(answer_to(norma + " stat 1.1 --json --job " + launcher), HasSubstr(R"("behind_bytes": 0,)"));
    EXPECT_EQ(answer_to(norma + " migrate 1.1 0 --lazy --job " + launcher), "task 1.1 is 0.2 on node 0 now\n");
    const auto end = job.finish();
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_EQ(end.out, "begun\naway\nback\n");
    EXPECT_THAT(end.left_behind, ::testing::IsEmpty());
}

class Homes : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(Homes, FollowTheirTask) {
    const auto &[transport, precopy] = GetParam();
    Job job({.nodes = 3, .transport = transport}, {MIGRATION_APP, "the_node_it_was_on_dies"});
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    EXPECT_EQ(answer_to(std::string(NORMA_PROGRAM) + " migrate 1.1 2 --job " + std::to_string(job.launcher()) +
                        (precopy.empty() ? "" : " --" + precopy)),
              "task 1.1 is 2.1 on node 2 now\n");
    ASSERT_EQ(::kill(job.node_server(1), SIGKILL), 0);
    const auto end = job.finish();
    EXPECT_EQ(end.status, 0);
    EXPECT_EQ(end.err, "norma: node 1 is gone (killed by signal 9)\n");
    EXPECT_THAT(end.left_behind, ::testing::IsEmpty());
}

std::string name_of(const ::testing::TestParamInfo<Homes::ParamType> &run) {
    const auto &[transport, precopy] = run.param;
    return transport + (precopy.empty() ? "" : "_" + precopy);
}

INSTANTIATE_TEST_SUITE_P(, Homes, ::testing::Combine(::testing::Values("shm", "tcp"), ::testing::Values("", "precopy")),
                         name_of);

TEST(Migrations, AreOfWholePrograms) {
    const auto end = check_run(SYSTEM_APP, {"refused", {"migration_of_no_whole_program"}});
    EXPECT_THAT(end.err, HasSubstr("does not move to node 1: it is not a whole program"));
}

} // namespace
} // namespace systest
