// SPDX-License-Identifier: BSD-3-Clause
// The quick jobs, compared with the model, and the explorer itself: that it folds what is alike and nothing else, that
// it counts the same however many threads it has, and that it finds what is wrong.
#include "tests/exploration/catalogue.hpp"
#include "tests/exploration/digest.hpp"
#include "tests/exploration/explorer.hpp"
#include "tests/exploration/progress.hpp"
#include "tests/exploration/refinement.hpp"
#include "tests/exploration/trace.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cctype>
#include <stdexcept>

namespace norma::exploration {
namespace {

Job job(dsm::NodeId nodes, std::uint64_t pages, const std::string &program, unsigned deaths = 0,
        unsigned suspicions = 0) {
    Job result;
    result.nodes = nodes;
    result.pages = pages;
    result.program = program;
    result.deaths = deaths;
    result.suspicions = suspicions;
    return read_job(result);
}

class Quick : public testing::TestWithParam<Job> {};

TEST_P(Quick, NothingIsWrong) {
    Options options;
    options.observer = refinement_of(GetParam());
    EXPECT_EQ(static_cast<bool>(options.observer),
              GetParam().suspicions == 0 && GetParam().stretches == 1 && !GetParam().moves)
        << "the model knows neither suspicions nor snapshots nor moves";
    const Result result = explore(GetParam(), options);
    EXPECT_TRUE(result.complete);
    EXPECT_FALSE(result.violation) << result.violation->what << "\n" << trace_of(GetParam(), result.violation->way);
    // Guards against an explorer that explores nothing.
    EXPECT_GT(result.states, 500U);
    EXPECT_GT(result.quiet, 3U);
    EXPECT_GT(result.depth, 10U);
    EXPECT_GT(result.arrivals, 3U);
}

std::vector<Job> quick_jobs() {
    std::vector<Job> jobs;
    for (const Entry &entry : entries_of(Depth::quick)) {
        jobs.push_back(entry.job);
    }
    return jobs;
}

std::string name_of(const testing::TestParamInfo<Job> &info) {
    std::string name;
    for (const char letter : info.param.name) {
        name += std::isalnum(static_cast<unsigned char>(letter)) != 0 ? std::string(1, letter) : "";
    }
    return name;
}

INSTANTIATE_TEST_SUITE_P(Exploration, Quick, testing::ValuesIn(quick_jobs()), name_of);

// Which way a state is reached first depends on the threads; what follows from it must not.
TEST(Exploration, CountsTheSameWithAnyNumberOfThreads) {
    for (const Job &each :
         {job(3, 1, "any rw", 1), job(2, 2, "any rw", 1), job(2, 1, "0: f0 s0 t0 x0; 1: w0; 1: r1; 0: w1", 1)}) {
        const Result one = explore(each, {.threads = 1});
        const Result four = explore(each, {.threads = 4});
        EXPECT_EQ(one.states, four.states) << each.program;
        EXPECT_EQ(one.transitions, four.transitions) << each.program;
        EXPECT_EQ(one.quiet, four.quiet) << each.program;
        EXPECT_EQ(one.depth, four.depth) << each.program;
        EXPECT_EQ(one.arrivals, four.arrivals) << each.program;
    }
}

// Two nodes that are alike make almost two states of each; one whose program differs is not alike.
TEST(Exploration, FoldsNodesThatAreAlike) {
    const Job alike = job(3, 1, "any rw");
    const Result folded = explore(alike, {});
    const Result all = explore(alike, {.fold_nodes = false});
    EXPECT_GT(folded.states * 2, all.states);
    EXPECT_LT(folded.states * 18, all.states * 10);
    EXPECT_EQ(folded.depth, all.depth);

    const Job different = job(3, 1, "1: w0 r0; 2: w0");
    EXPECT_EQ(explore(different, {}).states, explore(different, {.fold_nodes = false}).states);
    EXPECT_EQ(renumberings(job(4, 1, "1: w0; 2: r0; 3: w0"), true).size(), 2U);
    EXPECT_EQ(renumberings(job(4, 1, "any"), true).size(), 6U);
}

// Numbers that grow for ever do not make new states: after a write has come back to where it was, nothing is new.
TEST(Exploration, FoldsNumbers) {
    const Job write_by_turns = job(2, 1, "0: w0 w0 w0; 1: w0 w0 w0");
    Position position = start_of(write_by_turns);
    const std::vector<Renumbering> ways = renumberings(write_by_turns, true);
    const auto write = [&](dsm::NodeId node) {
        position.world.access(node, 0, true, 1);
        while (!position.world.quiet()) {
            position.world.deliver(0);
        }
    };
    write(1);
    write(0);
    const Digest once = digest_of(write_by_turns, position, ways);
    write(1);
    EXPECT_NE(digest_of(write_by_turns, position, ways), once);
    write(0);
    EXPECT_EQ(digest_of(write_by_turns, position, ways), once);
    ++position.next[0];
    EXPECT_NE(digest_of(write_by_turns, position, ways), once) << "how far a thread has come does matter";
}

TEST(Exploration, ALostMessageIsNoticedByTheShortestWay) {
    Job lossy = job(2, 1, "1: w0");
    lossy.lossy = true;
    const Result result = explore(lossy, {});
    ASSERT_TRUE(result.violation);
    EXPECT_FALSE(result.complete);
    EXPECT_EQ(result.violation->what, "node 1 waits for ever");
    EXPECT_EQ(result.violation->way.size(), 2U);
    const std::string trace = trace_of(lossy, result.violation->way);
    EXPECT_NE(trace.find("access"), std::string::npos) << trace;
    EXPECT_NE(trace.find("loss"), std::string::npos) << trace;
    EXPECT_NE(trace.find("0 {}"), std::string::npos) << trace;
}

TEST(Exploration, AnObserverSeesEveryStepAndCanObject) {
    const Job small = job(2, 1, "1: w0");
    std::atomic<unsigned> seen = 0;
    Options options;
    options.observer = [&seen](const Position &, const Choice &, const Position &) {
        ++seen;
        return std::string();
    };
    const Result watched = explore(small, options);
    EXPECT_EQ(watched.transitions, seen.load());
    options.observer = [](const Position &, const Choice &choice, const Position &) {
        return std::string(is_arrival(choice.kind) ? "I object" : "");
    };
    const Result result = explore(small, options);
    ASSERT_TRUE(result.violation);
    EXPECT_EQ(result.violation->what, "I object");
    EXPECT_EQ(result.violation->way.size(), 2U);
}

TEST(Exploration, TooManyStatesAreNotASuccess) {
    const Result result = explore(job(2, 1, "any"), {.most_states = 100});
    EXPECT_FALSE(result.complete);
    EXPECT_FALSE(result.violation);
}

TEST(Exploration, ArrivalsThatGoInACircleAreFound) {
    EXPECT_EQ(judge_progress(4, {{0, 1}, {1, 2}, {0, 2}, {2, 3}}).longest, 3U);
    EXPECT_FALSE(judge_progress(4, {{0, 1}, {1, 2}, {0, 2}, {2, 3}}).endless);
    const Progress circle = judge_progress(5, {{0, 1}, {1, 2}, {2, 3}, {3, 1}, {3, 4}});
    ASSERT_TRUE(circle.endless);
    EXPECT_GE(*circle.endless, 1U);
    EXPECT_LE(*circle.endless, 3U);
    EXPECT_TRUE(judge_progress(1, {{0, 0}}).endless);
}

TEST(Exploration, ProgramsAreChecked) {
    EXPECT_EQ(job(3, 2, "1: r0 w0/2; 2: e1").threads.size(), 2U);
    EXPECT_EQ(job(3, 2, "any w").anything.size(), 3U);
    EXPECT_EQ(job(2, 2, "0: f0 s0 t0; 1: r3").stretches, 2U);
    for (const char *wrong : {"", "1 r0", "3: r0", "x: r0", "1: y0", "1: r2", "1: r", "1: r0/3", "1: r0/", "any y",
                              "any f", "1: f0", "0: f1", "0: s0 x2"}) {
        EXPECT_THROW(job(3, 2, wrong), std::invalid_argument) << wrong;
    }
    EXPECT_THROW(job(5, 1, "any"), std::invalid_argument);
    EXPECT_THROW(job(2, 5, "any"), std::invalid_argument);
    EXPECT_THROW(job(2, 1, "any", 2, 1), std::invalid_argument);
}

} // namespace
} // namespace norma::exploration
