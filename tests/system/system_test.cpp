// SPDX-License-Identifier: BSD-3-Clause
// Whole jobs in which everything is well: each case of system_app over the transports, as root and as a user.
#include "tests/system/job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <ostream>
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

bool full() {
    const auto *wanted = std::getenv("SYSTEM_TEST_FULL");
    return wanted != nullptr && *wanted == '1';
}

// SYSTEM_TEST_FULL=1 has every task, of two threads, take the lock 100000 times, which needs a minute.
std::vector<std::string> counters(int locked) {
    return {"counters", full() ? "50000" : std::to_string(locked), "100000"};
}

// SYSTEM_TEST_FULL=1 runs ten times as many programs.
std::vector<std::string> programs(long first, long seeds) {
    return {"programs", "--first", std::to_string(first), "--seeds", std::to_string(full() ? 10 * seeds : seeds)};
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
    int limit = 60; // seconds
};

void PrintTo(const Run &run, std::ostream *out) {
    *out << run.label;
}

class System : public ::testing::TestWithParam<Run> {};

TEST_P(System, Case) {
    const auto &run = GetParam();
    const auto end = run_case({.nodes = run.nodes,
                               .transport = run.transport,
                               .env = run.env,
                               .as_user = run.as_user,
                               .limit = std::chrono::seconds(full() ? 10 * run.limit : run.limit)},
                              run.words);
    expect_clean(end, run.status);
    if (!run.out.empty()) {
        EXPECT_EQ(end.out, run.out);
    } else if (!end.out.empty()) {
        GTEST_LOG_(INFO) << end.out;
    }
}

// A program that includes no header of ours but <norma/mach.h>.
TEST(SystemPrograms, WithMachNamesOnly) {
    for (const auto *transport : {"", "tcp", "shm"}) {
        const auto end = run_words({.transport = transport}, {PLAIN_MACH});
        expect_clean(end, 0);
        EXPECT_EQ(end.out, "the worker on node 1 found 4014336\n");
    }
}

// What is in the memory of a file when the job ends is in the file then.
TEST(SystemFiles, LeftToTheEnd) {
    for (const auto *transport : {"", "tcp"}) {
        std::string path = ::testing::TempDir() + "norma-left-XXXXXX";
        const int fd = ::mkstemp(path.data());
        ASSERT_GE(fd, 0);
        EXPECT_EQ(::ftruncate(fd, 3 * 4096), 0);
        expect_clean(run_case({.transport = transport}, {"files_left_to_the_end", path}), 0);
        std::array<long, 3> words{};
        for (std::size_t page = 0; page < words.size(); ++page) {
            EXPECT_EQ(::pread(fd, &words.at(page), sizeof(long), static_cast<off_t>(page * 4096)), ssize_t{8});
        }
        EXPECT_EQ(words, (std::array<long, 3>{-1, 0, -3}));
        ::close(fd);
        ::unlink(path.c_str());
    }
}

// With kernel-mode faults, which take the privilege, nothing need be touched first.
TEST(SystemCalls, OnMemoryThatIsElsewhere) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "faults in system calls are served for root only";
    }
    for (const auto *transport : {"", "tcp", "shm"}) {
        expect_clean(run_case({.transport = transport}, {"syscalls"}), 0);
    }
}

// More node servers than cores: they do better without spinning.
const std::vector<std::string> kBlock{"NORMA_WAIT=block"};
const std::vector<std::string> kBlockInLittle{"NORMA_WAIT=block", "NORMA_MEMORY=128M"};
const std::string kMoved = "arrived with 2 arguments, last b\n";

INSTANTIATE_TEST_SUITE_P(
    , System,
    ::testing::ValuesIn(std::vector<Run>{
        {.label = "CountersTcp", .words = counters(500), .nodes = 3, .transport = "tcp", .env = kBlock},
        {.label = "CountersShm", .words = counters(500), .nodes = 3, .transport = "shm", .env = kBlock},
        {.label = "Counters", .words = counters(50), .nodes = 3},
        {.label = "CountersUser", .words = counters(100), .nodes = 2, .as_user = true, .env = kBlock},
        {.label = "CountersOneNode", .words = counters(2000), .nodes = 1},
        {.label = "LitmusOnePlace", .words = {"litmus_one_place"}, .nodes = 3},
        {.label = "StressTcp", .words = {"stress", "1500"}, .nodes = 4, .transport = "tcp", .env = kBlock},
        {.label = "StressShm", .words = {"stress", "1500"}, .nodes = 3, .transport = "shm", .env = kBlock},
        {.label = "Stress", .words = {"stress", "1000"}, .nodes = 2},
        {.label = "StressUser", .words = {"stress", "500"}, .nodes = 2, .as_user = true},
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
        {.label = "CreateCopy", .words = {"create_copy"}, .nodes = 3, .env = kBlock},
        {.label = "CreateCopyTcp", .words = {"create_copy"}, .nodes = 2, .transport = "tcp"},
        {.label = "CreateCopyShm", .words = {"create_copy"}, .nodes = 2, .transport = "shm"},
        {.label = "CreateCopyUser", .words = {"create_copy"}, .nodes = 2, .as_user = true},
        {.label = "CreateCopyOfOtherHomes", .words = {"create_copy_of_other_homes"}, .nodes = 3},
        {.label = "CreateCopyOfOtherHomesTcp",
         .words = {"create_copy_of_other_homes"},
         .nodes = 3,
         .transport = "tcp",
         .env = kBlock},
        {.label = "CreateShare", .words = {"create_share"}, .nodes = 3, .env = kBlock},
        {.label = "CreateNone", .words = {"create_none"}},
        {.label = "CreateUntouched", .words = {"create_untouched"}},
        {.label = "CreateAttributes", .words = {"create_attributes"}},
        {.label = "CreateWithoutMemory", .words = {"create_without_memory"}},
        {.label = "CreateErrors", .words = {"create_errors"}},
        {.label = "CreateAndRun", .words = {"create_and_run"}, .nodes = 3},
        {.label = "CreateOfOneMoment", .words = {"create_of_one_moment"}, .nodes = 3, .env = kBlock},
        {.label = "CreateOfOneMomentTcp", .words = {"create_of_one_moment"}, .nodes = 2, .transport = "tcp"},
        {.label = "CreateOfOneMomentShm",
         .words = {"create_of_one_moment"},
         .nodes = 3,
         .transport = "shm",
         .env = kBlock},
        {.label = "CreateOfOneMomentUser", .words = {"create_of_one_moment"}, .nodes = 2, .as_user = true},
        {.label = "CreateByAllAtOnce", .words = {"create_by_all_at_once"}, .nodes = 4, .env = kBlock},
        {.label = "CreateByAllAtOnceTcp",
         .words = {"create_by_all_at_once"},
         .nodes = 3,
         .transport = "tcp",
         .env = kBlock},
        {.label = "CreateGenerations", .words = {"create_generations"}, .nodes = 3},
        {.label = "CreateGenerationsTcp", .words = {"create_generations"}, .nodes = 2, .transport = "tcp"},
        {.label = "CreateThenTeleport", .words = {"create_then_teleport"}, .nodes = 3},
        {.label = "CreateAndExit", .words = {"create_and_exit"}, .nodes = 3, .env = kBlock},
        {.label = "CreateAndExitTcp", .words = {"create_and_exit"}, .nodes = 2, .transport = "tcp"},
        {.label = "CowCombinations", .words = {"cow_combinations"}, .nodes = 3},
        {.label = "CowCombinationsTcp", .words = {"cow_combinations"}, .nodes = 2, .transport = "tcp"},
        {.label = "CowCombinationsShm", .words = {"cow_combinations"}, .nodes = 2, .transport = "shm"},
        {.label = "CreateOften", .words = {"create_often"}, .nodes = 2, .env = {"NORMA_MEMORY=64M"}},
        {.label = "CreateOftenTcp", .words = {"create_often"}, .nodes = 3, .transport = "tcp", .env = kBlock},
        {.label = "CreateLimit", .words = {"create_limit"}, .env = {"NORMA_MEMORY=64M"}},
        {.label = "MatrixOneNode", .words = {"matrix"}, .nodes = 1},
        {.label = "MatrixTwoNodes", .words = {"matrix", "1"}, .nodes = 2, .env = kBlock},
        {.label = "MatrixTwoNodesUser", .words = {"matrix", "0"}, .nodes = 2, .as_user = true, .env = kBlock},
        {.label = "Matrix", .words = {"matrix", "0"}, .nodes = 3, .env = kBlock},
        {.label = "MatrixTcp", .words = {"matrix", "1"}, .nodes = 3, .transport = "tcp", .env = kBlock},
        {.label = "MatrixShm", .words = {"matrix", "2"}, .nodes = 3, .transport = "shm", .env = kBlock},
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
        {.label = "ThreadsCreate", .words = {"threads_create"}},
        {.label = "ThreadsSuspend", .words = {"threads_suspend"}},
        {.label = "ThreadsSuspendUser", .words = {"threads_suspend"}, .as_user = true},
        {.label = "ThreadsOfTask", .words = {"threads_of_task"}},
        {.label = "ThreadStates", .words = {"thread_states"}},
        {.label = "ThreadStatesUser", .words = {"thread_states"}, .as_user = true},
        {.label = "ThreadAborts", .words = {"thread_aborts"}, .nodes = 3},
        {.label = "TasksInfo", .words = {"tasks_info"}},
        {.label = "ThreadsInfo", .words = {"threads_info"}},
        {.label = "NodeOfHost", .words = {"node_of_host"}},
        {.label = "TaskChildNode", .words = {"task_child_node"}},
        {.label = "TasksSuspend", .words = {"tasks_suspend"}},
        {.label = "TasksSuspendUser", .words = {"tasks_suspend"}, .as_user = true},
        {.label = "TasksEnd", .words = {"tasks_end"}},
        {.label = "PortsNames", .words = {"ports_names"}},
        {.label = "PortsMessages", .words = {"ports_messages"}, .nodes = 3, .env = kBlock},
        {.label = "PortsMessagesTcp", .words = {"ports_messages"}, .nodes = 2, .transport = "tcp"},
        {.label = "PortsMessagesOneNode", .words = {"ports_messages"}, .nodes = 1},
        {.label = "PortsMessagesUser", .words = {"ports_messages"}, .as_user = true},
        {.label = "PortsRefusals", .words = {"ports_refusals"}, .nodes = 1},
        {.label = "PortsRights", .words = {"ports_rights"}, .nodes = 3, .env = kBlock},
        {.label = "PortsRightsTcp", .words = {"ports_rights"}, .nodes = 2, .transport = "tcp"},
        {.label = "PortsNoSenders", .words = {"ports_no_senders"}},
        {.label = "PortsDeaths", .words = {"ports_deaths"}},
        {.label = "PortsSenders", .words = {"ports_senders"}, .nodes = 3, .env = kBlock},
        {.label = "PortsSendersTcp", .words = {"ports_senders"}, .transport = "tcp"},
        {.label = "PortsInherited", .words = {"ports_inherited"}, .nodes = 3, .env = kBlock},
        {.label = "PortsInheritedOneNode", .words = {"ports_inherited"}, .nodes = 1},
        {.label = "PortsMemory", .words = {"ports_memory"}, .nodes = 3, .env = kBlock},
        {.label = "PortsMemoryTcp", .words = {"ports_memory"}, .nodes = 2, .transport = "tcp"},
        {.label = "PortsMemoryOneNode", .words = {"ports_memory"}, .nodes = 1},
        {.label = "PortsMemoryOfTheDead", .words = {"ports_memory_of_the_dead"}},
        {.label = "PortsMemoryAndRights", .words = {"ports_memory_and_rights"}, .nodes = 3, .env = kBlock},
        {.label = "PortsMemoryAndRightsTcp", .words = {"ports_memory_and_rights"}, .nodes = 2, .transport = "tcp"},
        {.label = "PortsMemoryRefused", .words = {"ports_memory_refused"}, .nodes = 1},
        {.label = "PortsMemoryGivenBack", .words = {"ports_memory_given_back"}},
        {.label = "PortsMemoryQuota", .words = {"ports_memory_quota"}},
        {.label = "PortsMemoryLazy", .words = {"ports_memory_lazy"}},
        {.label = "PortsMemoryLazyTcp", .words = {"ports_memory_lazy"}, .transport = "tcp"},
        {.label = "PortsServices", .words = {"ports_services"}, .nodes = 3, .env = kBlock},
        {.label = "PortsServicesTcp", .words = {"ports_services"}, .nodes = 2, .transport = "tcp"},
        {.label = "PortsServicesOneNode", .words = {"ports_services"}, .nodes = 1},
        {.label = "ExceptionsKinds", .words = {"exceptions_kinds"}},
        {.label = "ExceptionsKindsTcp", .words = {"exceptions_kinds"}, .transport = "tcp", .env = kBlock},
        {.label = "ExceptionsKindsShm", .words = {"exceptions_kinds"}, .transport = "shm", .env = kBlock},
        {.label = "ExceptionsKindsUser", .words = {"exceptions_kinds"}, .as_user = true},
        {.label = "ExceptionsState", .words = {"exceptions_state"}},
        {.label = "ExceptionsRefused", .words = {"exceptions_refused"}},
        {.label = "ExceptionsHandlerEnds", .words = {"exceptions_handler_ends"}},
        {.label = "ExceptionsOrder", .words = {"exceptions_order"}},
        {.label = "ExceptionsInherited", .words = {"exceptions_inherited"}},
        {.label = "ExceptionsInheritedTcp", .words = {"exceptions_inherited"}, .transport = "tcp", .env = kBlock},
        {.label = "ExceptionsPorts", .words = {"exceptions_ports"}},
        {.label = "ExceptionsBrokenOff", .words = {"exceptions_broken_off"}},
        {.label = "ExceptionsInCalls", .words = {"exceptions_in_calls"}},
        {.label = "ExceptionsAndSignals", .words = {"exceptions_and_signals"}},
        {.label = "SamplesOfThreads", .words = {"samples_of_threads"}, .env = kBlock},
        {.label = "SamplesOfThreadsTcp", .words = {"samples_of_threads"}, .transport = "tcp", .env = kBlock},
        {.label = "SamplesOfThreadsUser", .words = {"samples_of_threads"}, .as_user = true, .env = kBlock},
        {.label = "SamplesDisturbNobody", .words = {"samples_disturb_nobody"}, .env = kBlock},
        {.label = "SamplesAreCounted", .words = {"samples_are_counted"}, .env = kBlock, .limit = 110},
        {.label = "SamplesOfChildren", .words = {"samples_of_children"}, .nodes = 3, .env = kBlock},
        {.label = "SamplesOfChildrenTcp", .words = {"samples_of_children"}, .transport = "tcp", .env = kBlock},
        {.label = "SamplesRules", .words = {"samples_rules"}, .env = kBlock},
        {.label = "MemoryAllocate", .words = {"memory_allocate"}},
        {.label = "AllocationGrid", .words = {"allocation_grid"}},
        {.label = "AllocationGridTcp", .words = {"allocation_grid"}, .nodes = 3, .transport = "tcp"},
        {.label = "MemoryDeallocate", .words = {"memory_deallocate"}},
        {.label = "MemoryAllocateAndDeallocateAtOnce", .words = {"memory_allocate_and_deallocate_at_once"}},
        {.label = "MemoryProtect", .words = {"memory_protect"}},
        {.label = "MemoryProtectMiddle", .words = {"memory_protect_middle"}, .nodes = 3},
        {.label = "MemoryProtectMiddleTcp", .words = {"memory_protect_middle"}, .nodes = 2, .transport = "tcp"},
        {.label = "MemoryShared", .words = {"memory_shared"}, .nodes = 3, .env = kBlock},
        {.label = "MemorySharedTcp", .words = {"memory_shared"}, .transport = "tcp"},
        {.label = "MemoryInheritAndRegion", .words = {"memory_inherit_and_region"}},
        {.label = "MemoryBehavior", .words = {"memory_behavior"}, .nodes = 3},
        {.label = "MemoryBehaviorTcp", .words = {"memory_behavior"}, .nodes = 2, .transport = "tcp"},
        {.label = "Programs", .words = programs(1, 300), .nodes = 3, .env = kBlock, .limit = 110},
        {.label = "ProgramsMore", .words = programs(10'001, 300), .nodes = 3, .env = kBlockInLittle, .limit = 110},
        {.label = "ProgramsTcp",
         .words = programs(20'001, 300),
         .nodes = 3,
         .transport = "tcp",
         .env = kBlock,
         .limit = 110},
        {.label = "ProgramsTcpMore",
         .words = programs(30'001, 300),
         .nodes = 3,
         .transport = "tcp",
         .env = kBlock,
         .limit = 110},
        {.label = "ProgramsShm",
         .words = programs(40'001, 300),
         .nodes = 3,
         .transport = "shm",
         .env = kBlock,
         .limit = 110},
        {.label = "ProgramsShmMore",
         .words = programs(50'001, 300),
         .nodes = 3,
         .transport = "shm",
         .env = kBlock,
         .limit = 110},
        {.label = "ProgramsUser",
         .words = programs(60'001, 200),
         .nodes = 2,
         .as_user = true,
         .env = kBlock,
         .limit = 110},
        {.label = "ProgramsOneNode", .words = programs(70'001, 200), .nodes = 1, .limit = 110},
        {.label = "Streams", .words = {"streams"}, .nodes = 3},
        {.label = "StreamsTcp", .words = {"streams"}, .nodes = 2, .transport = "tcp"},
        {.label = "Scattered", .words = {"scattered"}, .nodes = 3},
        {.label = "ScatteredUser", .words = {"scattered"}, .as_user = true},
        {.label = "MapReadWrite", .words = {"map_read_write"}, .nodes = 3},
        {.label = "MapReadWriteTcp", .words = {"map_read_write"}, .nodes = 2, .transport = "tcp"},
        {.label = "MapReadWriteUser", .words = {"map_read_write"}, .nodes = 2, .as_user = true},
        {.label = "MapWrittenForOthers", .words = {"map_written_for_others"}, .nodes = 2},
        {.label = "MapWriteStress", .words = {"map_write_stress"}, .nodes = 3, .env = kBlock},
        {.label = "MapGrid", .words = {"map_grid"}, .nodes = 2},
        {.label = "MapOfOthers", .words = {"map_of_others"}, .nodes = 3},
        {.label = "RemapWithinATask", .words = {"remap_within_a_task"}, .nodes = 2},
        {.label = "RemapWithinATaskUser", .words = {"remap_within_a_task"}, .nodes = 2, .as_user = true},
        {.label = "RemapAndCopy", .words = {"remap_and_copy"}, .nodes = 2},
        {.label = "RemapAcrossTasks", .words = {"remap_across_tasks"}, .nodes = 3},
        {.label = "RemapAcrossTasksTcp", .words = {"remap_across_tasks"}, .nodes = 2, .transport = "tcp"},
        {.label = "RemapRules", .words = {"remap_rules"}, .nodes = 2},
        {.label = "RemapGivesBack", .words = {"remap_gives_back"}, .nodes = 2, .env = {"NORMA_MEMORY=64M"}},
        {.label = "ObjectsMeet", .words = {"objects_meet"}, .nodes = 3, .env = kBlock},
        {.label = "ObjectsRules", .words = {"objects_rules"}, .nodes = 3},
        {.label = "FilesShared", .words = {"files_shared"}, .nodes = 3, .env = kBlock},
        {.label = "FilesSharedTcp", .words = {"files_shared"}, .nodes = 2, .transport = "tcp"},
        {.label = "FilesSharedShm", .words = {"files_shared"}, .nodes = 2, .transport = "shm"},
        {.label = "FilesSharedUser", .words = {"files_shared"}, .nodes = 2, .as_user = true},
        {.label = "FilesRules", .words = {"files_rules"}},
        {.label = "FilesRulesUser", .words = {"files_rules"}, .as_user = true},
        {.label = "FilesSavedAtTheEnd", .words = {"files_saved_at_the_end"}, .nodes = 3, .env = kBlock},
        {.label = "FilesCopied", .words = {"files_copied"}, .nodes = 3, .env = kBlock},
        {.label = "FilesCopiedTcp", .words = {"files_copied"}, .transport = "tcp"},
        {.label = "FilesStress", .words = {"files_stress"}, .nodes = 3, .env = kBlock},
        {.label = "FilesStressTcp", .words = {"files_stress"}, .nodes = 3, .transport = "tcp", .env = kBlock},
        {.label = "FilesUnreadable", .words = {"files_unreadable"}, .nodes = 3, .env = kBlock},
        {.label = "CopiesByRemap", .words = {"copies_by_remap"}, .nodes = 3},
        {.label = "CopiesByRemapTcp", .words = {"copies_by_remap"}, .nodes = 2, .transport = "tcp"},
        {.label = "CopiesOfOneMoment", .words = {"copies_of_one_moment"}, .nodes = 2},
        {.label = "CopiesByMap", .words = {"copies_by_map"}, .nodes = 3},
        {.label = "CopiesOfAliases", .words = {"copies_of_aliases"}, .nodes = 2},
        {.label = "CopiesLimit", .words = {"copies_limit"}, .env = {"NORMA_MEMORY=64M"}},
        {.label = "MapRandom", .words = {"map_random", "1", "400"}, .nodes = 2},
        {.label = "MapRandomTcp", .words = {"map_random", "2", "400"}, .nodes = 3, .transport = "tcp"},
        {.label = "MapRandomShm", .words = {"map_random", "3", "400"}, .nodes = 2, .transport = "shm"},
        {.label = "MemoryLimit", .words = {"memory_limit"}, .env = {"NORMA_MEMORY=64M"}},
        {.label = "LedgerMemory", .words = {"ledger_memory"}, .nodes = 3, .env = kBlock},
        {.label = "LedgerMemoryTcp", .words = {"ledger_memory"}, .nodes = 3, .transport = "tcp", .env = kBlock},
        {.label = "LedgerMemoryShm", .words = {"ledger_memory"}, .nodes = 3, .transport = "shm", .env = kBlock},
        {.label = "LedgerCopies", .words = {"ledger_copies"}, .nodes = 3, .env = kBlock},
        {.label = "LedgerCopiesTcp", .words = {"ledger_copies"}, .nodes = 3, .transport = "tcp", .env = kBlock},
        {.label = "LedgerCopiesShm", .words = {"ledger_copies"}, .nodes = 3, .transport = "shm", .env = kBlock},
        {.label = "LedgerTeleport", .words = {"ledger_teleport"}},
        {.label = "LedgerTeleportTcp", .words = {"ledger_teleport"}, .transport = "tcp"},
        {.label = "LedgerTeleportShm", .words = {"ledger_teleport"}, .transport = "shm"},
        {.label = "LedgerSubdivided", .words = {"ledger_subdivided"}},
        {.label = "LedgerWired", .words = {"ledger_wired"}},
        {.label = "LedgerNetwork", .words = {"ledger_network"}},
        {.label = "LedgerNetworkTcp", .words = {"ledger_network"}, .transport = "tcp"},
        {.label = "LedgerNetworkShm", .words = {"ledger_network"}, .transport = "shm"},
        {.label = "LedgerPages", .words = {"ledger_pages"}},
        {.label = "LedgerPagesTcp", .words = {"ledger_pages"}, .transport = "tcp"},
        {.label = "LedgerPagesShm", .words = {"ledger_pages"}, .transport = "shm"},
        {.label = "LedgerMessages", .words = {"ledger_messages"}},
        {.label = "LedgerMessagesTcp", .words = {"ledger_messages"}, .transport = "tcp"},
        {.label = "LedgerMessagesShm", .words = {"ledger_messages"}, .transport = "shm"},
        {.label = "LedgerEveryWay", .words = {"ledger_every_way"}},
        {.label = "LedgerEveryWayTcp", .words = {"ledger_every_way"}, .transport = "tcp"},
        {.label = "LedgerEveryWayShm", .words = {"ledger_every_way"}, .transport = "shm"},
        {.label = "LedgerErrors", .words = {"ledger_errors"}},
        {.label = "SecurityTokens", .words = {"security_tokens"}, .nodes = 3, .env = kBlock},
        {.label = "SecurityTokensTcp", .words = {"security_tokens"}, .nodes = 3, .transport = "tcp", .env = kBlock},
        {.label = "SecurityTokensShm", .words = {"security_tokens"}, .nodes = 3, .transport = "shm", .env = kBlock},
        {.label = "MemoryUser", .words = {"memory_protect"}, .as_user = true},
        {.label = "WordsRules", .words = {"words_rules"}},
        {.label = "WordsQueue", .words = {"words_queue"}, .nodes = 3, .env = kBlock},
        {.label = "WordsQueueTcp", .words = {"words_queue"}, .transport = "tcp"},
        {.label = "WordsQueueShm", .words = {"words_queue"}, .transport = "shm"},
        {.label = "WordsTurns", .words = {"words_turns"}, .nodes = 3, .env = kBlock},
        {.label = "WordsTurnsTcp", .words = {"words_turns"}, .transport = "tcp", .env = kBlock},
        {.label = "WordsTurnsShm", .words = {"words_turns"}, .transport = "shm", .env = kBlock},
        {.label = "WordsLock", .words = {"words_lock"}, .nodes = 3, .env = kBlock},
        {.label = "WordsLockTcp", .words = {"words_lock"}, .transport = "tcp"},
        {.label = "WordsLockShm", .words = {"words_lock"}, .transport = "shm"},
        {.label = "WordsLockUser", .words = {"words_lock"}, .as_user = true},
        {.label = "WordsDeaths", .words = {"words_deaths"}, .nodes = 3, .env = kBlock},
        {.label = "SyncBarrier", .words = {"sync_barrier"}, .nodes = 4, .env = kBlock},
        {.label = "SyncMutexOrder", .words = {"sync_mutex_order"}, .nodes = 4},
        {.label = "SyncCondition", .words = {"sync_condition"}, .nodes = 3},
        {.label = "SyncConditionTcp", .words = {"sync_condition"}, .nodes = 3, .transport = "tcp"},
        {.label = "SyncSemaphore", .words = {"sync_semaphore"}, .nodes = 3},
        {.label = "SyncDeaths", .words = {"sync_deaths"}, .nodes = 3},
        {.label = "SyncDeathsUser", .words = {"sync_deaths"}, .nodes = 2, .as_user = true},
        {.label = "SyscallsTouchedFirst", .words = {"syscalls", "touched"}, .env = {"NORMA_UFFD=user"}},
        {.label = "SyscallsUser", .words = {"syscalls", "touched"}, .as_user = true},
        {.label = "SyscallsWrongMemory", .words = {"syscalls_wrong_memory"}},
    }),
    [](const auto &param) { return std::string(param.param.label); });

} // namespace
} // namespace systest
