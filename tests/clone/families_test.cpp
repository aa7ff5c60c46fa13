// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/families.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace norma::rt {
namespace {

Right task_on(dsm::NodeId node) {
    return {.kind = Right::Kind::task, .task = TaskId{node} << 48 | 1};
}

Kin child_of(Pid parent, Pid identity, int signal = SIGCHLD) {
    return {.identity = identity, .pid = identity, .parent = parent, .exit_signal = signal};
}

struct FamiliesTest : ::testing::Test {
    Families families{3};
    Pid parent = families.make(task_on(3), 0);
    bool any = false;
};

TEST_F(FamiliesTest, IdsSayTheirHome) {
    const auto other = families.make(task_on(3), 0);
    EXPECT_NE(parent, other);
    EXPECT_GT(parent, kNobody);
    EXPECT_EQ(home_of(parent), 3);
    EXPECT_EQ(home_of(other), 3);
    EXPECT_EQ(families.find(other)->pid, other);
    EXPECT_EQ(families.find(families.make(task_on(3), parent))->pid, parent);
}

TEST_F(FamiliesTest, ThereAreOnlySoManyIds) {
    for (Pid i = 1; i < kLastSerial; ++i) {
        const auto pid = families.make(task_on(3), 0);
        ASSERT_GT(pid, 0);
        families.remove(pid);
    }
    EXPECT_EQ(families.make(task_on(3), 0), 0);
}

TEST_F(FamiliesTest, AChildIsTakenOnceItHasEnded) {
    ASSERT_TRUE(families.add_child(child_of(parent, 1 << 8), 0));
    EXPECT_FALSE(families.add_child(child_of(parent, 1 << 8), 0)); // known already
    EXPECT_FALSE(families.take_ended(parent, -1, Kinds::all, any));
    EXPECT_TRUE(any);
    const auto news = families.child_ended(parent, 1 << 8, 256);
    ASSERT_TRUE(news);
    EXPECT_EQ(news->parent, parent);
    EXPECT_EQ(news->signal, SIGCHLD);
    EXPECT_FALSE(families.child_ended(parent, 1 << 8, 9)); // nobody ends twice
    const auto ended = families.take_ended(parent, 1 << 8, Kinds::usual, any);
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->status, 256);
    EXPECT_FALSE(families.take_ended(parent, -1, Kinds::all, any));
    EXPECT_FALSE(any);
}

TEST_F(FamiliesTest, WaitsAreAboutKinds) {
    families.add_child(child_of(parent, 1 << 8, SIGCHLD), 0);
    families.add_child(child_of(parent, 2 << 8, 0), 0);
    families.child_ended(parent, 2 << 8, 0);
    EXPECT_FALSE(families.take_ended(parent, 2 << 8, Kinds::usual, any));
    EXPECT_FALSE(any);
    EXPECT_FALSE(families.take_ended(parent, -1, Kinds::usual, any));
    EXPECT_TRUE(any);
    EXPECT_FALSE(families.take_ended(parent, 1 << 8, Kinds::clones, any));
    EXPECT_FALSE(any);
    EXPECT_EQ(families.take_ended(parent, -1, Kinds::all, any)->pid, 2 << 8);
}

TEST_F(FamiliesTest, AChildDiesWithTheNodeItIsOn) {
    families.add_child(child_of(parent, 1 << 8), 1);
    families.add_child(child_of(parent, 1 << 8 | 1, 0), 1);
    families.add_child(child_of(parent, 2 << 8), 2);
    families.child_moved(parent, 1 << 8, 2); // just in time
    EXPECT_TRUE(families.child_ended(parent, 2 << 8, 0));
    const auto news = families.node_down(1);
    ASSERT_EQ(news.size(), 1U);
    EXPECT_EQ(news.front().signal, 0);
    EXPECT_EQ(families.take_ended(parent, 1 << 8 | 1, Kinds::all, any)->status, SIGKILL);
    EXPECT_EQ(families.node_down(2).size(), 1U); // the other has ended before
    EXPECT_EQ(families.take_ended(parent, 2 << 8, Kinds::all, any)->status, 0);
}

TEST_F(FamiliesTest, AProcessIsForgottenWithTheNodeItIsOn) {
    families.set_place(parent, task_on(5));
    EXPECT_EQ(node_of(families.find(parent)->where.task), 5);
    families.node_down(4);
    EXPECT_NE(families.find(parent), nullptr);
    families.node_down(5);
    EXPECT_EQ(families.find(parent), nullptr);
    EXPECT_FALSE(families.add_child(child_of(parent, 1 << 8), 0));
    EXPECT_FALSE(families.child_ended(parent, 1 << 8, 0));
    families.child_moved(parent, 1 << 8, 0);
    families.forget_child(parent, 1 << 8);
    EXPECT_FALSE(families.take_ended(parent, -1, Kinds::all, any));
}

TEST_F(FamiliesTest, AChildThatWasNotBornIsForgotten) {
    families.add_child(child_of(parent, 1 << 8), 1);
    families.forget_child(parent, 1 << 8);
    EXPECT_FALSE(families.child_ended(parent, 1 << 8, 0));
    EXPECT_TRUE(families.node_down(1).empty());
}

TEST(Signals, SomeAreNobodys) {
    EXPECT_TRUE(is_signal(0));
    EXPECT_TRUE(is_signal(64));
    EXPECT_FALSE(is_signal(65));
    EXPECT_FALSE(is_signal(32));
    EXPECT_FALSE(is_signal(static_cast<std::uint64_t>(SIGRTMAX - 2)));
}

} // namespace
} // namespace norma::rt
