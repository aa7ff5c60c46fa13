// SPDX-License-Identifier: BSD-3-Clause
// The ports of one node, one request at a time.
#include "runtime/ports.hpp"

#include <gtest/gtest.h>

namespace norma::rt {
namespace {

using Kind = PortEvent::Kind;

std::shared_ptr<const Message> numbered(int number) {
    Message message;
    message.id = number;
    return std::make_shared<const Message>(message);
}

class Ports : public ::testing::Test {
  protected:
    Ports() { EXPECT_EQ(home_.create({1, 2}, {3, 4}, 0, right_), KERN_SUCCESS); }
    Carried receive_right() const { return {.right = right_, .receive = {3, 4}}; }

    PortEvents send(std::uint64_t number, dsm::NodeId node = 1, bool forced = false) {
        PortEvents out;
        home_.send(right_, {node, number}, numbered(static_cast<int>(number)), forced, out);
        return out;
    }
    PortEvents receive(std::uint64_t number, dsm::NodeId node = 0, std::uint64_t room = 1000, bool keep = false) {
        PortEvents out;
        home_.receive(receive_right(), {node, number}, room, keep, out);
        return out;
    }
    PortEvents cancel(std::uint64_t number, dsm::NodeId node) {
        PortEvents out;
        home_.cancel({node, number}, out);
        return out;
    }

    PortHome home_{0, 1, {.ports = 2, .queue = 2}};
    Right right_;
};

// A reply port: whoever waits for the reply hears that nobody can give it.
TEST_F(Ports, CanEndWithoutSenders) {
    home_.end_without_senders(receive_right());
    EXPECT_TRUE(receive(1).empty()); // nobody has had a right yet
    EXPECT_TRUE(home_.attach(right_, 0, true));
    EXPECT_TRUE(home_.attach(right_, 2, false));
    PortEvents out;
    home_.release(right_, 0, out);
    EXPECT_TRUE(out.empty());
    home_.node_died(2, out);
    ASSERT_EQ(out.size(), 2u);
    EXPECT_EQ(out[0].status, MACH_RCV_PORT_DIED);
    EXPECT_EQ(out[1].kind, Kind::died);
    EXPECT_EQ(home_.ports(), 0u);

    EXPECT_EQ(home_.create({5, 6}, {7, 8}, 0, right_), KERN_SUCCESS);
    home_.end_without_senders({.right = right_, .receive = {7, 8}});
    EXPECT_TRUE(home_.attach(right_, 1, true));
    home_.release(right_, 1, out);
    EXPECT_EQ(home_.ports(), 0u);
}

TEST_F(Ports, QueueIsFirstInFirstOutAndHasALimit) {
    for (std::uint64_t i = 1; i <= 2; ++i) {
        const auto out = send(i);
        ASSERT_EQ(out.size(), 1u);
        EXPECT_EQ(out[0].status, MACH_MSG_SUCCESS);
    }
    EXPECT_TRUE(send(3).empty());
    EXPECT_TRUE(send(4).empty());
    const auto first = receive(100);
    ASSERT_EQ(first.size(), 2u); // the message, and the first sender's place
    EXPECT_EQ(first[0].message->id, 1);
    EXPECT_EQ(first[1].to, (Ticket{1, 3}));
    const auto late = cancel(4, 1);
    ASSERT_EQ(late.size(), 1u);
    EXPECT_EQ(late[0].status, MACH_SEND_TIMED_OUT);
    EXPECT_EQ(late[0].message->id, 4); // the sender's again
    EXPECT_EQ(send(5, 1, true)[0].status, MACH_MSG_SUCCESS);
    for (const int id : {2, 3, 5}) {
        EXPECT_EQ(receive(200 + static_cast<std::uint64_t>(id))[0].message->id, id);
    }
    EXPECT_TRUE(receive(300).empty());
    EXPECT_EQ(send(6)[1].to, (Ticket{0, 300}));
    EXPECT_EQ(home_.waiting(), 0u);
    EXPECT_EQ(home_.delivering(), 5u);
}

TEST_F(Ports, WhatIsNotTakenGoesToTheNext) {
    send(1);
    send(2);
    EXPECT_EQ(receive(99, 2)[0].status, MACH_RCV_PORT_CHANGED); // it has not the right
    EXPECT_TRUE(home_.share_receiver(receive_right(), 2));
    const auto got = receive(100, 2);
    PortEvents out;
    EXPECT_FALSE(home_.taken(1, got[0].delivery, false, out)); // another node's
    EXPECT_TRUE(home_.taken(2, got[0].delivery, false, out));
    EXPECT_FALSE(home_.taken(2, got[0].delivery, false, out));
    EXPECT_EQ(receive(101)[0].message->id, 1);
    EXPECT_EQ(receive(102)[0].message->id, 2);
}

TEST_F(Ports, MessagesThatAreTooLarge) {
    send(1);
    auto out = receive(100, 0, 31, true);
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].status, MACH_RCV_TOO_LARGE);
    EXPECT_EQ(out[0].number, 32u);
    out = receive(101, 0, 31, false);
    ASSERT_EQ(out.size(), 2u);
    EXPECT_EQ(out[1].kind, Kind::destroyed);
    EXPECT_TRUE(receive(102).empty());
}

TEST_F(Ports, AKeyThatIsNotTheirs) {
    auto forged = right_;
    forged.key.low ^= 1;
    PortEvents out;
    EXPECT_FALSE(home_.attach(forged, 1, false));
    home_.send(forged, {1, 1}, numbered(1), true, out);
    EXPECT_EQ(out.at(0).status, MACH_SEND_INVALID_DEST);
    auto receive = receive_right();
    receive.receive.high ^= 1;
    home_.receive(receive, {1, 2}, 1000, false, out);
    EXPECT_EQ(out.at(1).status, MACH_RCV_PORT_DIED);
    EXPECT_FALSE(home_.destroy(receive, out));
    EXPECT_FALSE(home_.move_receiver(receive, 1, out));
    Right previous;
    EXPECT_FALSE(home_.on_no_senders(receive, forged, 0, previous, out));
    auto elsewhere = right_; // right key, another life of the node
    elsewhere.task += TaskId{1} << 32;
    EXPECT_FALSE(home_.attach(elsewhere, 1, false));
    EXPECT_EQ(home_.refused(), 7u);
    EXPECT_EQ(home_.ports(), 1u);
}

TEST_F(Ports, LimitOfPorts) {
    Right right;
    EXPECT_EQ(home_.create({5, 5}, {6, 6}, 0, right), KERN_SUCCESS);
    EXPECT_EQ(home_.create({7, 7}, {8, 8}, 0, right), KERN_RESOURCE_SHORTAGE);
}

TEST_F(Ports, DiesWithTheNodeThatReceives) {
    EXPECT_TRUE(home_.attach(right_, 1, true));
    EXPECT_TRUE(home_.attach(right_, 2, false));
    send(1);
    send(2);
    EXPECT_TRUE(send(3, 1).empty());
    PortEvents out;
    EXPECT_TRUE(home_.move_receiver(receive_right(), 2, out));
    home_.node_died(2, out);
    ASSERT_EQ(out.size(), 4u);
    EXPECT_EQ(out[0].kind, Kind::destroyed);
    EXPECT_EQ(out[2].status, MACH_SEND_INVALID_DEST);
    EXPECT_EQ(out[3].kind, Kind::died);
    EXPECT_EQ(out[3].nodes.to_ulong(), 2u); // only those that live are told
    EXPECT_EQ(home_.ports(), 0u);
}

TEST_F(Ports, ToADeadNodeItsReceiverCannotGo) {
    PortEvents out;
    home_.node_died(3, out);
    EXPECT_FALSE(home_.move_receiver(receive_right(), 3, out));
    EXPECT_EQ(home_.ports(), 0u);
    EXPECT_FALSE(home_.attach(right_, 3, false));
}

TEST_F(Ports, WhoWaitsToReceiveHearsThatTheRightHasMoved) {
    receive(100);
    PortEvents out;
    EXPECT_TRUE(home_.move_receiver(receive_right(), 1, out));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].status, MACH_RCV_PORT_CHANGED);
}

// A task that moves: two nodes have the right, and one may die.
TEST_F(Ports, TwoNodesHaveTheRightWhileItsTaskMoves) {
    receive(100);
    PortEvents out;
    EXPECT_TRUE(home_.share_receiver(receive_right(), 1));
    EXPECT_TRUE(home_.share_receiver(receive_right(), 2));
    EXPECT_TRUE(home_.unshare_receiver(receive_right(), 0, out));
    home_.node_died(1, out);
    EXPECT_TRUE(out.empty());                               // who waits goes on waiting
    EXPECT_FALSE(home_.share_receiver(receive_right(), 1)); // it has died
    EXPECT_TRUE(home_.unshare_receiver(receive_right(), 1, out));
    EXPECT_EQ(home_.ports(), 1u);
    home_.node_died(2, out);
    EXPECT_EQ(home_.ports(), 0u);
}

TEST_F(Ports, NobodyHasTheRightThatAllHaveGivenUp) {
    PortEvents out;
    EXPECT_TRUE(home_.share_receiver(receive_right(), 1));
    EXPECT_TRUE(home_.unshare_receiver(receive_right(), 1, out));
    EXPECT_FALSE(home_.unshare_receiver(receive_right(), 0, out));
    EXPECT_EQ(home_.ports(), 0u);
    EXPECT_FALSE(home_.unshare_receiver(receive_right(), 0, out));
    EXPECT_FALSE(home_.share_receiver(receive_right(), 1));
    EXPECT_EQ(home_.refused(), 2u);
}

TEST_F(Ports, LastSender) {
    const Right place{.kind = Right::Kind::port, .task = 5, .thread = 0, .key = {9, 9}};
    Right previous;
    PortEvents out;
    EXPECT_TRUE(home_.attach(right_, 1, true));
    EXPECT_TRUE(home_.attach(right_, 2, true));
    EXPECT_TRUE(home_.on_no_senders(receive_right(), place, 3, previous, out));
    home_.release(right_, 1, out);
    home_.node_died(2, out);
    EXPECT_TRUE(out.empty()); // only two have been made
    EXPECT_TRUE(home_.attach(right_, 1, true));
    home_.release(right_, 1, out);
    home_.release(right_, 1, out);
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].kind, Kind::no_senders);
    EXPECT_EQ(out[0].number, 3u);
    EXPECT_EQ(out[0].right, place);
}

} // namespace
} // namespace norma::rt
