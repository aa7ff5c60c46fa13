// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_leases.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace norma::rt {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const auto kStart = Leases::Clock::time_point(100s);

TEST(Leases, WhoAnswersIsAskedAgainAQuarterLater) {
    Leases leases(2, 8s, kStart);
    EXPECT_EQ(leases.deadline(), kStart);
    EXPECT_THAT(leases.to_ask(kStart), ElementsAre(0, 1));
    EXPECT_THAT(leases.to_ask(kStart), IsEmpty());
    EXPECT_EQ(leases.deadline(), kStart + 8s);
    leases.answered(0, kStart + 1s);
    EXPECT_EQ(leases.deadline(), kStart + 3s);
    EXPECT_THAT(leases.to_ask(kStart + 2999ms), IsEmpty());
    EXPECT_THAT(leases.to_ask(kStart + 3s), ElementsAre(0));
    EXPECT_THAT(leases.run_out(kStart + 7s), IsEmpty());
}

TEST(Leases, WithALongLeaseOneIsAskedAsOften) {
    Leases leases(1, 60s, kStart);
    leases.to_ask(kStart);
    leases.answered(0, kStart);
    EXPECT_EQ(leases.deadline(), kStart + 2s);
}

TEST(Leases, WhoDoesNotAnswerIsGivenUpOnce) {
    Leases leases(3, 8s, kStart);
    leases.to_ask(kStart);
    leases.answered(0, kStart);
    leases.end(2);
    EXPECT_THAT(leases.run_out(kStart + 7999ms), IsEmpty());
    EXPECT_THAT(leases.run_out(kStart + 8s), ElementsAre(1));
    EXPECT_THAT(leases.run_out(kStart + 9s), IsEmpty());
    EXPECT_THAT(leases.to_ask(kStart + 9s), ElementsAre(0));
    leases.end(0);
    EXPECT_EQ(leases.deadline(), std::nullopt);
}

// The launcher was stopped for a minute: first it reads what has come, then it looks at the time.
TEST(Leases, WhoHasAnsweredMeanwhileIsKept) {
    Leases leases(1, 8s, kStart);
    leases.to_ask(kStart);
    leases.answered(0, kStart + 60s);
    EXPECT_THAT(leases.run_out(kStart + 60s), IsEmpty());
    EXPECT_THAT(leases.to_ask(kStart + 61s), IsEmpty());
    EXPECT_THAT(leases.to_ask(kStart + 62s), ElementsAre(0));
}

TEST(Leases, ANodeThatComesLaterHasOneFromThenOn) {
    Leases leases(1, 8s, kStart);
    leases.answered(2, kStart); // neither is there yet
    leases.end(2);
    leases.begin(2, kStart + 20s);
    EXPECT_THAT(leases.to_ask(kStart + 20s), ElementsAre(0, 2));
    leases.answered(0, kStart + 21s);
    EXPECT_THAT(leases.run_out(kStart + 28s), ElementsAre(2));
    leases.end(2);
    EXPECT_EQ(leases.deadline(), kStart + 23s);
}

TEST(Leases, AnAnswerToNothingChangesNothing) {
    Leases leases(1, 8s, kStart);
    leases.to_ask(kStart);
    leases.answered(0, kStart);
    leases.answered(0, kStart + 1s);
    EXPECT_THAT(leases.to_ask(kStart + 2s), ElementsAre(0));
}

} // namespace
} // namespace norma::rt
