// SPDX-License-Identifier: BSD-3-Clause
// Open files of nodes that leave a running job: they go to the successor, or keep the node.
#include "tests/drain/draining.hpp"

#include <fstream>
#include <string>
#include <vector>

namespace systest {
namespace {

using ::testing::HasSubstr;

// For what a job has on disk; gone with this.
struct Folder {
    explicit Folder(const std::string &label) : path(file_for(label)) { std::filesystem::create_directory(path); }
    ~Folder() { std::filesystem::remove_all(path); }
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;
    void say_enough() const { std::ofstream(path + "/enough") << "enough"; }
    std::string path;
};

struct Gone {
    const char *label;
    std::vector<std::string> nodes; // that leave, by what is said to `norma drain`
    const char *transport;
};

void PrintTo(const Gone &run, std::ostream *out) {
    *out << run.label;
}

class Files : public ::testing::TestWithParam<Gone> {};

TEST_P(Files, GoOnWithoutTheirNode) {
    const auto &[label, nodes, transport] = GetParam();
    const Folder folder(std::string("files") + label);
    Job job({.nodes = 3, .transport = transport}, {DRAIN_APP, "files_go_on", folder.path});
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    for (const auto &words : nodes) {
        EXPECT_THAT(drain(job, words), HasSubstr("node " + words.substr(0, 1) + " has left the job; "));
    }
    folder.say_enough();
    check_good_end(job);
}

INSTANTIATE_TEST_SUITE_P(, Files,
                         ::testing::Values(Gone{"one", {"1"}, "shm"}, Gone{"one_tcp", {"1"}, "tcp"},
                                           Gone{"to_the_first", {"1 --to 0"}, "tcp"}, Gone{"two", {"1", "2"}, "shm"},
                                           Gone{"two_tcp", {"1", "2"}, "tcp"},
                                           Gone{"two_and_the_first", {"1", "0"}, "tcp"}),
                         [](const auto &run) { return run.param.label; });

class OneFile : public ::testing::TestWithParam<const char *> {};

TEST_P(OneFile, GoesOnWithoutItsNode) {
    const Folder folder(GetParam());
    Job job({.nodes = 3}, {DRAIN_APP, GetParam(), folder.path});
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    EXPECT_THAT(drain(job, "1"), HasSubstr("node 1 has left the job; "));
    folder.say_enough();
    check_good_end(job);
}

INSTANTIATE_TEST_SUITE_P(, OneFile,
                         ::testing::Values("directory_goes_on", "file_comes_to_its_user", "waits_at_files_go_on"),
                         [](const auto &run) { return std::string(run.param); });

struct Kept {
    const char *by, *reason;
};

void PrintTo(const Kept &kept, std::ostream *out) {
    *out << kept.by;
}

class File : public ::testing::TestWithParam<Kept> {};

TEST_P(File, KeepsItsNode) {
    const Folder folder(std::string("keeps") + GetParam().by);
    Job job({.nodes = 3}, {DRAIN_APP, "file_keeps_its_node", folder.path, GetParam().by});
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    const auto said = drain(job, "1");
    EXPECT_THAT(said, HasSubstr("failed: norma drain: node 1 of job "));
    EXPECT_THAT(said, HasSubstr("a file that was opened here is used from other nodes, and does not go: "));
    EXPECT_THAT(said, HasSubstr(GetParam().reason));
    folder.say_enough();
    const auto end = job.finish();
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_THAT(end.left_behind, ::testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(, File,
                         ::testing::Values(Kept{"pipe", "a pipe (pipe:["}, Kept{"deleted", "/deleted (deleted) has no"},
                                           Kept{"replaced", "/replaced (deleted) has no"},
                                           Kept{"locked", "/locked is locked"}),
                         [](const auto &kept) { return std::string(kept.param.by); });

} // namespace
} // namespace systest
