// SPDX-License-Identifier: BSD-3-Clause
// Many runs; the same run twice; runs that once failed; and that the observer would notice.
#include "tests/simulation/simulate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace norma::sim {
namespace {

std::uint64_t seeds_to_run() {
    const char *text = std::getenv("SIM_SEEDS");
    return text != nullptr ? std::strtoull(text, nullptr, 0) : 2000;
}

TEST(Simulation, EveryRunIsRightAndEverythingRareIsReached) {
    Coverage coverage;
    const auto seeds = seeds_to_run();
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const auto report = simulate(seed);
        coverage.add(report);
        ASSERT_EQ(report.error, "") << "tests/sim --seed " << seed << " --verbose";
    }
    std::printf("%s\n", coverage.describe().c_str());
    if (seeds >= 2000) {
        EXPECT_GE(coverage.reads + coverage.writes, 1'000'000U);
        EXPECT_THAT(coverage.missed(), testing::IsEmpty());
    }
}

TEST(Simulation, TheSameSeedEndsInTheSameState) {
    std::set<std::uint64_t> traces;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        const auto first = simulate(seed);
        const auto second = simulate(seed);
        EXPECT_EQ(first.trace, second.trace) << "seed " << seed;
        EXPECT_EQ(first.state, second.state) << "seed " << seed;
        EXPECT_EQ(first.events, second.events) << "seed " << seed;
        traces.insert(first.trace);
    }
    EXPECT_EQ(traces.size(), 60U) << "different seeds must be different runs";
}

TEST(Simulation, SeedsThatOnceFailed) {
    std::ifstream file(SIMULATION_SEEDS);
    ASSERT_TRUE(file) << SIMULATION_SEEDS;
    unsigned count = 0;
    for (std::string line; std::getline(file, line);) {
        std::uint64_t seed = 0;
        if (std::istringstream(line) >> seed) {
            ++count;
            EXPECT_EQ(simulate(seed).error, "") << line;
        }
    }
    EXPECT_GT(count, 0U);
}

class OracleTest : public testing::Test {
  protected:
    std::vector<std::string> wrong;
    Oracle oracle{[this](const std::string &what) { wrong.push_back(what); }};
    Content content;

    OracleTest() {
        oracle.fresh(0, 100, 2, 0);
        oracle.holds(0, 100, 0);
        oracle.holds(0, 100, 1);
        content = oracle.write(0, 100, 0, {});
    }
};

TEST_F(OracleTest, TakesTheLastWriteAndNothingElse) {
    oracle.read(0, 100, 1, content);
    oracle.read(0, 101, 1, {});
    EXPECT_THAT(wrong, testing::IsEmpty());
    oracle.read(0, 100, 1, {});
    EXPECT_THAT(wrong,
                testing::ElementsAre(testing::HasSubstr("sees write 0 of page 0x64 in memory 0, but the last is 1")));
}

TEST_F(OracleTest, NoticesAStoreIntoOldBytes) {
    oracle.write(0, 100, 1, content);
    EXPECT_THAT(wrong, testing::IsEmpty());
    oracle.write(0, 100, 0, content);
    EXPECT_THAT(wrong, testing::SizeIs(1));
}

TEST_F(OracleTest, NoticesTheBytesOfAnotherPage) {
    oracle.write(0, 101, 0, {});
    oracle.read(0, 101, 0, content);
    EXPECT_THAT(wrong, testing::ElementsAre(testing::HasSubstr("the bytes of page 0x64 in page 0x65")));
}

TEST_F(OracleTest, AllowsALostPageOnlyWhereANodeDiedThatHadIt) {
    oracle.node_died(2);
    oracle.poisoned(0, 100, 0);
    EXPECT_THAT(wrong, testing::SizeIs(1));
    wrong.clear();
    oracle.node_died(1);
    oracle.poisoned(0, 100, 0);
    EXPECT_THAT(wrong, testing::IsEmpty());
}

TEST_F(OracleTest, NoticesMemoryThatNobodyAllocated) {
    oracle.read(0, 5, 0, {});
    EXPECT_THAT(wrong, testing::SizeIs(1));
}

TEST_F(OracleTest, TakesACopyForWhatThePageWasAtTheMoment) {
    const auto child = oracle.copying(0, {{.first = 100, .pages = 2, .how = Inheritance::copy}});
    const auto meanwhile = oracle.write(0, 101, 0, {});
    oracle.copied(child);
    const auto later = oracle.write(0, 100, 1, content);
    oracle.read(child, 100, 0, content);
    oracle.read(child, 101, 0, meanwhile);
    const auto own = oracle.write(child, 100, 0, content);
    oracle.read(child, 100, 1, own);
    oracle.read(0, 100, 1, later);
    EXPECT_THAT(wrong, testing::IsEmpty());
    oracle.read(0, 100, 1, own);
    oracle.read(child, 100, 1, later);
    EXPECT_THAT(wrong, testing::SizeIs(2));
}

TEST_F(OracleTest, NoticesACopyOfALaterWrite) {
    const auto child = oracle.copying(0, {{.first = 100, .pages = 1, .how = Inheritance::copy}});
    oracle.copied(child);
    const auto later = oracle.write(0, 100, 1, content);
    oracle.read(child, 100, 0, later);
    EXPECT_THAT(wrong, testing::ElementsAre(testing::HasSubstr("a copy of one moment")));
}

TEST_F(OracleTest, NoticesACopyOfTwoMoments) {
    const auto child = oracle.copying(0, {{.first = 100, .pages = 2, .how = Inheritance::copy}});
    oracle.write(0, 100, 0, content);
    const auto second = oracle.write(0, 101, 0, {});
    oracle.copied(child);
    oracle.read(child, 101, 0, second);
    EXPECT_THAT(wrong, testing::IsEmpty());
    oracle.read(child, 100, 0, content); // was overwritten before
    EXPECT_THAT(wrong, testing::SizeIs(1));
}

TEST_F(OracleTest, LooksThroughACopyOfACopy) {
    const auto child = oracle.copying(0, {{.first = 100, .pages = 2, .how = Inheritance::copy}});
    oracle.copied(child);
    const auto grandchild = oracle.copying(child, {{.first = 100, .pages = 2, .how = Inheritance::copy}});
    oracle.copied(grandchild);
    const auto mine = oracle.write(child, 100, 0, content);
    oracle.write(0, 100, 0, content);
    oracle.read(grandchild, 100, 0, content);
    oracle.read(grandchild, 101, 0, {});
    EXPECT_THAT(wrong, testing::IsEmpty());
    oracle.read(grandchild, 100, 0, mine);
    EXPECT_THAT(wrong, testing::SizeIs(1));
}

TEST_F(OracleTest, SharesAndLeavesOutWhatIsNotCopied) {
    const auto child = oracle.copying(0, {{.first = 100, .pages = 1, .how = Inheritance::share},
                                          {.first = 101, .pages = 1, .how = Inheritance::none}});
    oracle.copied(child);
    oracle.read(0, 100, 1, oracle.write(child, 100, 0, content));
    EXPECT_THAT(wrong, testing::IsEmpty());
    oracle.read(child, 101, 0, {});
    EXPECT_THAT(wrong, testing::ElementsAre(testing::HasSubstr("never allocated or inherited")));
}

TEST_F(OracleTest, NoticesALockGivenTwiceAndABarrierThatOpensEarly) {
    oracle.locked(7, 1);
    oracle.unlocks(7, 1);
    oracle.locked(7, 2);
    oracle.arrives(0);
    oracle.arrives(0);
    oracle.passes(0, 2);
    EXPECT_THAT(wrong, testing::IsEmpty());
    oracle.locked(7, 3);
    oracle.passes(0, 3);
    EXPECT_THAT(wrong, testing::SizeIs(2));
}

} // namespace
} // namespace norma::sim
