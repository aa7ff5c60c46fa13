// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/sharing.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace norma::rt {
namespace {

Right task_on(dsm::NodeId node, unsigned number = 1) {
    return {.kind = Right::Kind::task, .task = TaskId{node} << 48 | number};
}

struct GroupsTest : ::testing::Test {
    Groups groups{3};
    GroupId group = groups.make(Table::actions, task_on(3));
    std::vector<int> turns;

    void take_turn(int number) {
        groups.in_turn(group, [this, number] { turns.push_back(number); });
    }
};

TEST_F(GroupsTest, IdsSayTheirHome) {
    const auto other = groups.make(Table::actions, task_on(3));
    EXPECT_NE(group, other);
    EXPECT_EQ(home_of_group(group), 3);
    EXPECT_EQ(home_of_group(other), 3);
    EXPECT_EQ(groups.find(group)->table, Table::actions);
    EXPECT_EQ(groups.find(group + 100), nullptr);
}

TEST_F(GroupsTest, MembersComeAndGo) {
    EXPECT_TRUE(groups.has_member(group, task_on(3).task));
    EXPECT_FALSE(groups.has_member(group, task_on(4).task));
    groups.add(group, task_on(4));
    groups.add(group, task_on(4));
    EXPECT_EQ(groups.find(group)->members.size(), 2);
    groups.leave(group, task_on(5).task);
    groups.leave(group, task_on(3).task);
    EXPECT_FALSE(groups.has_member(group, task_on(3).task));
    EXPECT_TRUE(groups.has_member(group, task_on(4).task));
    groups.leave(group, task_on(4).task);
    EXPECT_EQ(groups.size(), 0);
    groups.add(group, task_on(4)); // too late
    groups.leave(group, task_on(4).task);
    EXPECT_EQ(groups.size(), 0);
}

TEST_F(GroupsTest, LoseTheMembersOfANode) {
    const auto other = groups.make(Table::actions, task_on(4));
    groups.add(group, task_on(4, 1));
    groups.add(group, task_on(4, 2));
    groups.add(group, task_on(5));
    groups.node_down(4);
    EXPECT_EQ(groups.find(group)->members.size(), 2);
    EXPECT_EQ(groups.find(other), nullptr);
}

TEST_F(GroupsTest, GiveEachItsTurn) {
    take_turn(1);
    take_turn(2);
    take_turn(3);
    EXPECT_EQ(turns, (std::vector{1}));
    groups.end_turn(group);
    EXPECT_EQ(turns, (std::vector{1, 2}));
    groups.end_turn(group);
    groups.end_turn(group);
    EXPECT_EQ(turns, (std::vector{1, 2, 3}));
    take_turn(4);
    EXPECT_EQ(turns.back(), 4);
}

TEST_F(GroupsTest, LastUntilTheLastTurnIsOver) {
    take_turn(1);
    take_turn(2);
    groups.leave(group, task_on(3).task);
    EXPECT_NE(groups.find(group), nullptr);
    groups.end_turn(group);
    EXPECT_EQ(turns, (std::vector{1, 2}));
    EXPECT_NE(groups.find(group), nullptr);
    groups.end_turn(group);
    EXPECT_EQ(groups.find(group), nullptr);
}

TEST_F(GroupsTest, MayEndATurnAtOnce) {
    take_turn(1);
    for (int i = 2; i < 5; ++i) {
        groups.in_turn(group, [this, i] {
            turns.push_back(i);
            groups.end_turn(group);
        });
    }
    groups.end_turn(group);
    EXPECT_EQ(turns, (std::vector{1, 2, 3, 4}));
    groups.leave(group, task_on(3).task);
    EXPECT_EQ(groups.size(), 0);
}

} // namespace
} // namespace norma::rt
