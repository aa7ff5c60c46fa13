// SPDX-License-Identifier: BSD-3-Clause
// norma_clone and what belongs to it, as whole jobs of whole programs.
#include "tests/system/program_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace systest {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Clones : public ::testing::TestWithParam<ProgramRun> {};

TEST_P(Clones, Case) {
    EXPECT_EQ(check_run(CLONE_APP, GetParam()).err, "");
}

INSTANTIATE_TEST_SUITE_P(
    , Clones,
    ::testing::Values(
        ProgramRun{"shared", {"memory_is_shared"}}, ProgramRun{"shared_tcp_3", {"memory_is_shared"}, 3, "tcp"},
        ProgramRun{"shared_user", {"memory_is_shared"}, 2, "", {}, "", true},
        ProgramRun{"copied", {"memory_is_copied"}}, ProgramRun{"copied_tcp_3", {"memory_is_copied"}, 3, "tcp"},
        ProgramRun{"ends", {"ends"}}, ProgramRun{"generations", {"generations"}},
        ProgramRun{"generations_3", {"generations"}, 3, "shm"}, ProgramRun{"ids", {"ids"}, 3},
        ProgramRun{"ids_are_shared", {"ids_are_shared"}}, ProgramRun{"orphans", {"orphans"}, 3},
        ProgramRun{"errors", {"errors"}},
        ProgramRun{"no_memory", {"no_memory"}, 2, "", {"NORMA_MEMORY=96M", "NORMA_HEAP=64M"}},
        ProgramRun{"exit_signals", {"exit_signals"}}, ProgramRun{"kinds", {"kinds_of_children"}},
        ProgramRun{"signals_travel", {"signals_travel"}},
        ProgramRun{"signals_travel_tcp", {"signals_travel"}, 3, "tcp"},
        ProgramRun{"handlers_are_copied", {"handlers_are_copied"}}, ProgramRun{"handlers_call", {"handlers_call"}, 3},
        ProgramRun{"waits_go_on", {"waits_go_on"}}, ProgramRun{"moving_children", {"moving_children"}},
        ProgramRun{"actions", {"actions_are_shared"}}, ProgramRun{"actions_tcp_3", {"actions_are_shared"}, 3, "tcp"},
        ProgramRun{"actions_user", {"actions_are_shared"}, 2, "", {}, "", true},
        ProgramRun{"masks", {"masks_are_not_shared"}}, ProgramRun{"actions_generations", {"shared_by_generations"}},
        ProgramRun{"action_calls", {"calls_that_change_actions"}},
        ProgramRun{"action_order", {"changes_are_in_order"}, 3},
        ProgramRun{"action_handlers", {"handlers_change_actions"}}, ProgramRun{"movers", {"movers_leave_groups"}},
        ProgramRun{"stopped_members", {"stopped_members"}, 2, "", {"NORMA_CALL_TIMEOUT=8s"}},
        ProgramRun{"fault_handlers", {"fault_handlers_stay"}},
        ProgramRun{"shared_directories", {"directories_are_shared"}},
        ProgramRun{"shared_directories_tcp_3", {"directories_are_shared"}, 3, "tcp"},
        ProgramRun{"flags", {"flags_set_and_clear"}}, ProgramRun{"refused_directories", {"refused_directories"}},
        ProgramRun{"refused_directories_user", {"refused_directories"}, 2, "", {}, "", true},
        ProgramRun{"mask_order", {"masks_change_in_order"}, 3}, ProgramRun{"roots", {"roots_are_shared"}},
        ProgramRun{"directories_of_generations", {"directories_of_generations"}},
        ProgramRun{"moving_parent", {"moving_parent"}}, ProgramRun{"directories", {"directories_are_copied"}},
        ProgramRun{"files_of_the_library", {"what_the_library_has_open_is_not_copied"}},
        ProgramRun{"files", {"files_are_copied"}}, ProgramRun{"files_user", {"files_are_copied"}, 2, "", {}, "", true},
        ProgramRun{"many_files", {"many_files"}}, ProgramRun{"shared_files", {"files_are_shared"}},
        ProgramRun{"shared_files_3", {"files_are_shared"}, 3, "tcp"},
        ProgramRun{"shared_files_user", {"files_are_shared"}, 2, "", {}, "", true},
        ProgramRun{"shared_numbers", {"numbers_are_shared"}, 3}, ProgramRun{"shared_pipes", {"pipes_are_shared"}, 3},
        ProgramRun{"shared_opening", {"opening_at_once"}, 3},
        ProgramRun{
            "references", {"references_elsewhere"}, 3, "", {}, "said by a child\nsaid by a child\nsaid by a child\n"},
        ProgramRun{"handlers_read", {"handlers_read"}, 2, "", {"NORMA_WAIT=block"}},
        ProgramRun{"broken_off", {"reading_is_broken_off"}, 3}, ProgramRun{"file_parts", {"parts_of_files"}},
        ProgramRun{"file_parts_user", {"parts_of_files"}, 2, "", {}, "", true},
        ProgramRun{"file_space", {"space_of_files"}}, ProgramRun{"file_streams", {"streams_of_bytes"}},
        ProgramRun{"file_messages", {"messages_elsewhere"}},
        ProgramRun{"file_messages_user", {"messages_elsewhere"}, 2, "", {}, "", true},
        ProgramRun{"file_locks", {"locks_elsewhere"}}, ProgramRun{"file_polls", {"polling_elsewhere"}},
        ProgramRun{"file_polls_user_3", {"polling_elsewhere"}, 3, "tcp", {}, "", true},
        ProgramRun{"file_selects", {"selecting_elsewhere"}},
        ProgramRun{"file_polls_broken_off", {"polling_is_broken_off"}}, ProgramRun{"streams", {"streams_elsewhere"}},
        ProgramRun{"streams_user", {"streams_elsewhere"}, 2, "", {}, "", true},
        ProgramRun{"streams_cpp", {"streams_of_cpp"}}, ProgramRun{"file_mapped", {"mapped_elsewhere"}}),
    [](const auto &run) { return run.param.label; });

class LostNode : public ::testing::TestWithParam<const char *> {};

TEST_P(LostNode, IsOutlived) {
    const auto end = run_words({.nodes = 3}, {CLONE_APP, GetParam()});
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_THAT(end.left_behind, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(, LostNode,
                         ::testing::Values("lost_children", "lost_members", "lost_group", "lost_directories",
                                           "lost_files", "lost_polls", "streams_that_end"),
                         [](const auto &name) { return name.param; });

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
