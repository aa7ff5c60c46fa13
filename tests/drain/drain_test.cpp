// SPDX-License-Identifier: BSD-3-Clause
// Nodes that leave a running job, as `norma drain` has them leave.
#include "tests/drain/draining.hpp"

#include <fstream>
#include <string>
#include <vector>

namespace systest {
namespace {

using ::testing::HasSubstr;

struct Drained {
    const char *label;
    int maker;
    std::vector<std::string> words, nodes; // for `norma drain`, which leave then
    const char *transport = "shm";
};

void PrintTo(const Drained &run, std::ostream *out) {
    *out << run.label;
}

class Nodes : public ::testing::TestWithParam<Drained> {};

TEST_P(Nodes, Leave) {
    const auto &[label, maker, words, nodes, transport] = GetParam();
    const auto file = file_for(label);
    std::vector<std::string> program{DRAIN_APP, "everything_goes_on", std::to_string(maker), file};
    program.insert(program.end(), nodes.begin(), nodes.end());
    Job job({.nodes = 3, .transport = transport}, program);
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    for (std::size_t i = 0; i < words.size(); ++i) {
        EXPECT_THAT(drain(job, words[i]), HasSubstr("node " + nodes[i] + " has left the job; "));
        EXPECT_EQ(job.node_server(std::stoi(nodes[i])), -1);
    }
    std::ofstream(file) << "they have left";
    check_good_end(job);
    std::filesystem::remove(file);
}

// Until the job runs on none of those it began with.
TEST(Founders, AreReplacedOneByOne) {
    const auto file = file_for("replaced");
    Job job({.nodes = 3, .transport = "tcp"}, {DRAIN_APP, "everything_goes_on", "1", file, "0", "1", "2"});
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    EXPECT_THAT(drain(job, "1"), HasSubstr("node 1 has left the job; "));
    EXPECT_EQ(norma(job, "join"), "3\n");
    EXPECT_THAT(drain(job, "0 --to 3"), HasSubstr("node 0 has left the job; "));
    EXPECT_EQ(norma(job, "join"), "4\n");
    EXPECT_THAT(drain(job, "2 --to 4"), HasSubstr("node 2 has left the job; "));
    EXPECT_THAT(norma(job, "checkpoint " + file + ".checkpoint"), HasSubstr("node 0 has left it"));
    EXPECT_THAT(drain(job, "1"),
                HasSubstr("node 1 of job " + std::to_string(job.launcher()) + " has not left: it has left already"));
    std::ofstream(file) << "they have left";
    check_good_end(job);
    std::filesystem::remove(file);
}

TEST(Directories, AreSharedWithoutTheNodeWhereThatBegan) {
    const auto file = file_for("directories");
    Job job({.nodes = 3}, {DRAIN_APP, "directories_go_on", file});
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    EXPECT_THAT(drain(job, "1"), HasSubstr("node 1 has left the job; "));
    std::ofstream(file) << "it has left";
    check_good_end(job);
    std::filesystem::remove(file);
}

INSTANTIATE_TEST_SUITE_P(, Nodes,
                         ::testing::Values(Drained{"one", 1, {"1"}, {"1"}}, Drained{"one_tcp", 1, {"1"}, {"1"}, "tcp"},
                                           Drained{"the_first", 0, {"0"}, {"0"}, "tcp"},
                                           Drained{"to_one", 1, {"1 --to 0"}, {"1"}},
                                           Drained{"two", 1, {"1", "2"}, {"1", "2"}},
                                           Drained{"two_and_the_first", 1, {"1", "0"}, {"1", "0"}, "tcp"}),
                         [](const auto &run) { return run.param.label; });

class Ports : public ::testing::TestWithParam<Drained> {};

TEST_P(Ports, GoOn) {
    const auto &[label, maker, words, nodes, transport] = GetParam();
    const auto file = file_for(std::string("ports_") + label);
    Job job({.nodes = 3, .transport = transport}, {DRAIN_APP, "ports_go_on", file});
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    for (std::size_t i = 0; i < words.size(); ++i) {
        EXPECT_THAT(drain(job, words[i]), HasSubstr("node " + nodes[i] + " has left the job; "));
    }
    std::ofstream(file) << "they have left";
    check_good_end(job);
    std::filesystem::remove(file);
}

INSTANTIATE_TEST_SUITE_P(, Ports,
                         ::testing::Values(Drained{"one", 1, {"1"}, {"1"}}, Drained{"one_tcp", 1, {"1"}, {"1"}, "tcp"},
                                           Drained{"to_one", 1, {"1 --to 0"}, {"1"}},
                                           Drained{"and_the_successor", 1, {"1 --to 2", "2"}, {"1", "2"}, "tcp"}),
                         [](const auto &run) { return run.param.label; });

TEST(Node, StaysWithCopiesOfItsMemory) {
    const auto file = file_for("copies");
    Job job({.nodes = 2}, {DRAIN_APP, "something_stays", file});
    ASSERT_TRUE(job.wait_for_output("begun\n"));
    const auto said = drain(job, "1");
    EXPECT_THAT(said, HasSubstr("failed: norma drain: node 1 of job "));
    EXPECT_THAT(said, HasSubstr("is wired, or has copies"));
    std::ofstream(file) << "it has been tried";
    const auto end = job.finish();
    std::filesystem::remove(file);
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_THAT(end.left_behind, ::testing::IsEmpty());
}

} // namespace
} // namespace systest
