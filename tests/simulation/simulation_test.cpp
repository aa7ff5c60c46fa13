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
    return text != nullptr ? std::strtoull(text, nullptr, 0) : 2500;
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
        oracle.fresh(100, 2, 0);
        oracle.holds(100, 0);
        oracle.holds(100, 1);
        content = oracle.write(100, 0, {});
    }
};

TEST_F(OracleTest, TakesTheLastWriteAndNothingElse) {
    oracle.read(100, 1, content);
    oracle.read(101, 1, {});
    EXPECT_THAT(wrong, testing::IsEmpty());
    oracle.read(100, 1, {});
    EXPECT_THAT(wrong, testing::ElementsAre(testing::HasSubstr("sees write 0 of page 0x64, but the last is 1")));
}

TEST_F(OracleTest, NoticesAStoreIntoOldBytes) {
    oracle.write(100, 1, content);
    EXPECT_THAT(wrong, testing::IsEmpty());
    oracle.write(100, 0, content);
    EXPECT_THAT(wrong, testing::SizeIs(1));
}

TEST_F(OracleTest, NoticesTheBytesOfAnotherPage) {
    oracle.write(101, 0, {});
    oracle.read(101, 0, content);
    EXPECT_THAT(wrong, testing::ElementsAre(testing::HasSubstr("the bytes of page 0x64 in page 0x65")));
}

TEST_F(OracleTest, AllowsALostPageOnlyWhereANodeDiedThatHadIt) {
    oracle.node_died(2);
    oracle.poisoned(100, 0);
    EXPECT_THAT(wrong, testing::SizeIs(1));
    wrong.clear();
    oracle.node_died(1);
    oracle.poisoned(100, 0);
    EXPECT_THAT(wrong, testing::IsEmpty());
}

TEST_F(OracleTest, NoticesMemoryThatNobodyAllocated) {
    oracle.read(5, 0, {});
    EXPECT_THAT(wrong, testing::SizeIs(1));
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
