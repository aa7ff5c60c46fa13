// SPDX-License-Identifier: BSD-3-Clause
// Requests between nodes when one of them leaves the job: they wait, and then go to whoever has what was made there.
#include "runtime/server/router.hpp"

#include "norma/mach.h"
#include "runtime/protocol.hpp"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace norma::rt {
namespace {

constexpr dsm::NodeId kSelf = 0, kLeaves = 1, kSuccessor = 2;

struct RouterTest : ::testing::Test {
    Loop loop{WaitMode::block, std::chrono::nanoseconds(0)};
    std::vector<std::pair<dsm::NodeId, Request>> sent;
    std::vector<Op> executed;
    std::vector<Done> open;
    std::vector<std::int32_t> answers;
    bool at_once = false; // what this node is asked is answered
    Router router{kSelf, loop, std::chrono::seconds(60),
                  [this](dsm::NodeId to, const std::vector<std::byte> &record) {
                      if (auto request = decode_request(record)) {
                          sent.emplace_back(to, std::move(*request));
                      }
                  },
                  [this](const Request &request, Done done) {
                      executed.push_back(request.op);
                      if (at_once) {
                          done({});
                      } else {
                          open.push_back(std::move(done));
                      }
                  }};

    void ask(dsm::NodeId node, Op op, bool deadline = true) {
        Request request;
        request.op = op;
        router.call(
            node, request, [this](const Reply &reply) { answers.push_back(reply.status); }, deadline);
    }
    void answer_last(std::int32_t status) {
        router.on_reply(sent.back().first, sent.back().second.caller.call, status_reply(status));
    }
};

TEST_F(RouterTest, WhatIsAskedOfTheServicesWaits) {
    router.hold(kLeaves, Hold::everything);
    ask(kLeaves, Op::sync_request);
    ask(kLeaves, Op::attach); // of the place
    ask(kSuccessor, Op::sync_request);
    ASSERT_EQ(sent.size(), 2U);
    EXPECT_EQ(sent[0].second.op, Op::attach);
    EXPECT_EQ(sent[1].first, kSuccessor);
    router.let_go(kLeaves); // it stays
    ASSERT_EQ(sent.size(), 3U);
    EXPECT_EQ(sent[2].first, kLeaves);
    answer_last(KERN_SUCCESS);
    EXPECT_EQ(answers, std::vector<std::int32_t>{KERN_SUCCESS});
}

// What a delivery of a message needs that is under way there.
TEST_F(RouterTest, WhatEndsSomethingWaitsOnlyInTheEnd) {
    router.hold(kLeaves, Hold::beginnings);
    ask(kLeaves, Op::port_receive);
    ask(kLeaves, Op::port_attach);
    ask(kLeaves, Op::port_taken);
    ask(kLeaves, Op::port_dead); // of the place
    EXPECT_EQ(sent.size(), 3U);
    router.hold(kLeaves, Hold::everything);
    ask(kLeaves, Op::port_release);
    EXPECT_EQ(sent.size(), 3U);
    router.left(kLeaves, kSuccessor);
    ASSERT_EQ(sent.size(), 5U);
    EXPECT_EQ(sent[3].second.op, Op::port_receive);
    EXPECT_EQ(sent[4].second.op, Op::port_release);
    EXPECT_EQ(sent[4].first, kSuccessor);
}

TEST_F(RouterTest, ThenItGoesToTheSuccessor) {
    router.hold(kLeaves, Hold::everything);
    ask(kLeaves, Op::sync_request);
    router.left(kLeaves, kSuccessor);
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].first, kSuccessor);
    answer_last(KERN_SUCCESS);
    ask(kLeaves, Op::process_wait);
    EXPECT_EQ(sent[1].first, kSuccessor);
    ask(kLeaves, Op::spawn); // nobody else can do that
    EXPECT_EQ(sent.size(), 2U);
    EXPECT_EQ(answers, (std::vector<std::int32_t>{KERN_SUCCESS, KERN_NODE_DOWN}));
    EXPECT_TRUE(router.is_down(kLeaves));
}

// The successor may serve before this node has heard that the other has left.
TEST_F(RouterTest, WhoSpeaksForANode) {
    EXPECT_TRUE(router.may_speak_for(kLeaves, kLeaves));
    EXPECT_FALSE(router.may_speak_for(kSuccessor, kLeaves));
    router.hold(kLeaves, Hold::everything);
    EXPECT_TRUE(router.may_speak_for(kSuccessor, kLeaves));
    router.left(kLeaves, kSuccessor);
    EXPECT_TRUE(router.may_speak_for(kSuccessor, kLeaves));
    EXPECT_FALSE(router.may_speak_for(kLeaves, kLeaves));
}

TEST_F(RouterTest, WhatComesOfItDoesNotOvertakeTheRest) {
    at_once = true;
    router.hold(kLeaves, Hold::everything);
    Request request;
    request.op = Op::port_notify;
    router.call(kLeaves, request, [this](const Reply &) { ask(kLeaves, Op::port_release); });
    ask(kLeaves, Op::port_attach);
    router.left(kLeaves, kSelf);
    EXPECT_EQ(executed, (std::vector<Op>{Op::port_notify, Op::port_attach, Op::port_release}));
}

TEST_F(RouterTest, AndOnToThatOnesSuccessor) {
    router.left(kLeaves, kSuccessor);
    EXPECT_FALSE(router.serves(kLeaves));
    router.left(kSuccessor, kSelf);
    EXPECT_TRUE(router.serves(kLeaves));
    EXPECT_TRUE(router.serves(kSuccessor));
    ask(kLeaves, Op::sync_request);
    EXPECT_EQ(executed, std::vector<Op>{Op::sync_request});
}

TEST_F(RouterTest, ItDiesWithTheSuccessor) {
    router.left(kLeaves, kSuccessor);
    ask(kLeaves, Op::sync_request);
    router.node_down(kSuccessor);
    ask(kLeaves, Op::sync_request);
    EXPECT_EQ(answers, (std::vector<std::int32_t>{KERN_NODE_DOWN, KERN_NODE_DOWN}));
}

TEST_F(RouterTest, ItDiesBeforeItHasLeft) {
    router.hold(kLeaves, Hold::everything);
    ask(kLeaves, Op::sync_request);
    router.node_down(kLeaves);
    EXPECT_EQ(answers, std::vector<std::int32_t>{KERN_NODE_DOWN});
}

// A wait that this node has passed on for another one is to begin again, where it goes then.
TEST_F(RouterTest, WaitsThatWerePassedOnAreWithdrawn) {
    Request request;
    request.op = Op::task_wait;
    request.caller.call = 5;
    router.on_request(kSuccessor, request);
    EXPECT_EQ(router.open_requests(), 1U);
    router.pass_on(3, request, open.front(), false);
    ask(3, Op::port_send, false); // its own
    ask(3, Op::task_info);
    router.withdraw();
    EXPECT_EQ(router.open_requests(), 0U);
    EXPECT_EQ(router.open_calls(), 2U); // those end by themselves
}

} // namespace
} // namespace norma::rt
