// SPDX-License-Identifier: BSD-3-Clause
// What a node that follows the protocol cannot have sent is counted and changes nothing, whatever it is.
#include "tests/core_script.hpp"

#include <gtest/gtest.h>

namespace norma::dsm {
namespace {

void expect_rejected(const State &state, NodeId from, const Msg &msg) {
    State copy = state;
    EXPECT_EQ(message(copy, from, msg), Lines{}) << "from " << from << ": " << describe(msg);
    EXPECT_EQ(copy.rejected(), state.rejected() + 1) << "from " << from << ": " << describe(msg);
    EXPECT_EQ(copy, state) << "from " << from << ": " << describe(msg);
}

TEST(CoreValidation, PagesOutsideTheObject) {
    const State home = node(0);
    const State other = node(1);
    expect_rejected(home, 1, get_read(1, {100, 1}));
    expect_rejected(home, 1, get_read(1, {99, 2}));
    expect_rejected(home, 1, get_read(1, {UINT64_MAX, 1}));
    expect_rejected(home, 1, done(5, 99, 2));
    expect_rejected(other, 0, inval(5, 99, 2));
    expect_rejected(other, 0, inval(5, UINT64_MAX, 1));
    expect_rejected(other, 0, forward(5, 2, true, 40, std::uint64_t{1} << 63));
    expect_rejected(other, 2, data(5, 1, true, 99, 3));
}

TEST(CoreValidation, SizeOfTheWindow) {
    const State home = node(0);
    expect_rejected(home, 1, get_read(1, {0, 0}));
    expect_rejected(home, 1, get_read(1, {0, kBatch + 1}));
}

TEST(CoreValidation, ReaderHasNoReasonToAskForWhatItHas) {
    Msg msg = get_read(1);
    msg.have = true;
    expect_rejected(node(0), 1, msg);
}

TEST(CoreValidation, OnlyTheHomeIsAsked) {
    expect_rejected(node(1), 2, get_read(1));
    expect_rejected(node(1), 2, inval_ack(5));
    expect_rejected(node(1), 2, done(5));
}

TEST(CoreValidation, OnlyTheHomeCommands) {
    State other = node(1);
    fault(other, 0, true);
    expect_rejected(other, 2, forward(5, 3, true));
    expect_rejected(other, 2, inval(5));
    expect_rejected(other, 2, grant(5, 1));
    expect_rejected(other, 2, fail(5, 1, true));
}

TEST(CoreValidation, NobodySpeaksInOnesOwnName) {
    expect_rejected(node(0), 0, get_read(1));
    expect_rejected(node(0), 0, inval(5));
    expect_rejected(node(1), 1, data(5, 1, true));
    expect_rejected(node(1), 0, forward(5, 1, true));
}

TEST(CoreValidation, NodesThatCannotExist) {
    expect_rejected(node(0), kMaxNodes, get_read(1));
    expect_rejected(node(0), UINT16_MAX, get_read(1));
    expect_rejected(node(1), 0, forward(5, kMaxNodes, true));
}

TEST(CoreValidation, TypesThatDoNotExist) {
    Msg msg = get_read(1);
    msg.type = static_cast<MsgType>(0);
    expect_rejected(node(0), 1, msg);
    msg.type = static_cast<MsgType>(10);
    expect_rejected(node(0), 1, msg);
}

TEST(CoreValidation, TransactionZeroAndEmptyMasks) {
    State other = node(1);
    fault(other, 0, true);
    expect_rejected(other, 0, inval(0));
    expect_rejected(other, 0, inval(5, 0, 0));
    expect_rejected(other, 0, grant(0, 1));
    expect_rejected(other, 0, forward(5, 2, true, 0, 0));
    expect_rejected(other, 2, data(0, 1, true));
    expect_rejected(other, 0, fail(5, 1, true, 0, 0));
}

TEST(CoreValidation, DataThatWasNotAskedFor) {
    State other = node(1);
    fault(other, 0, false, 2);
    expect_rejected(other, 2, data(5, 1, true));            // for writing
    expect_rejected(other, 2, data(5, 1, false, 0, 0b111)); // more pages
    expect_rejected(other, 0, grant(5, 1));
}

TEST(CoreValidation, DoneOfSomebodyElseOrOfOtherPages) {
    State home = node(0);
    message(home, 3, get_write(4));
    message(home, 1, get_read(5)); // node 3 supplies
    expect_rejected(home, 2, done(1001));
    expect_rejected(home, 1, done(1001, 0, 3));
}

TEST(CoreValidation, DataThatNobodyWasToldToSendTheHome) {
    State home = node(0);
    message(home, 3, get_write(4));
    fault(home, 0, false); // node 3 supplies, in transaction 1001
    State copy = home;
    EXPECT_EQ(message(copy, 2, data(1001, 1, false, 0, 0)), Lines{});
    EXPECT_EQ(message(copy, 3, data(1000, 1, false, 0, 0)), Lines{});
    EXPECT_EQ(copy, home);
    EXPECT_EQ(message(copy, 3, data(1001, 1, false)), (Lines{"install 0 read", "resolve 0 read"}));
    EXPECT_FALSE(copy.busy(0));
}

TEST(CoreValidation, DoneBeforeAnythingWasGiven) {
    State home = node(0);
    message(home, 1, get_read(5));
    message(home, 1, done(1000));
    message(home, 2, get_write(6));
    expect_rejected(home, 2, done(1001));
}

TEST(CoreValidation, AcknowledgementOfOtherPages) {
    State home = node(0);
    message(home, 1, get_read(5));
    message(home, 1, done(1000));
    message(home, 2, get_write(6));
    expect_rejected(home, 1, inval_ack(1001, 0, 3));
}

TEST(CoreValidation, SecondRequestOfOneNodeForAQueuedPage) {
    State home = node(0);
    message(home, 3, get_write(4));
    message(home, 1, get_write(5)); // node 3 supplies
    message(home, 2, get_write(6));
    expect_rejected(home, 2, get_write(7));
}

// Any bytes that decode to a message: nothing crashes, no invariant breaks, and faults go on being answered or asked.
TEST(CoreValidation, RandomMessagesNeverStopTheCore) {
    std::uint64_t seed = 42;
    const auto below = [&seed](std::uint64_t limit) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        return (seed >> 33) % limit;
    };
    for (unsigned round = 0; round < 200; ++round) {
        State state = node(static_cast<NodeId>(below(2)), 1 + below(70));
        Outbox out;
        for (unsigned i = 0; i < 500; ++i) {
            Event event{.type = Event::Type::message, .from = static_cast<NodeId>(below(4)), .msg = {}};
            event.msg = {.type = static_cast<MsgType>(below(10)),
                         .write = below(2) != 0,
                         .have = below(2) != 0,
                         .requester = static_cast<NodeId>(below(5)),
                         .count = static_cast<std::uint32_t>(below(4)),
                         .txn = below(2) != 0 ? 1000 + below(50) : below(50),
                         .request = below(30),
                         .base = below(4),
                         .mask = below(8),
                         .zero = 0,
                         .lost = below(8) == 0};
            if (below(4) == 0) {
                event = {.type = Event::Type::fault,
                         .page = below(std::min<std::uint64_t>(state.pages(), 4)),
                         .write = below(2) != 0,
                         .window = static_cast<std::uint32_t>(below(5)),
                         .msg = {}};
            } else if (below(300) == 0) {
                event = {.type = Event::Type::node_down, .from = static_cast<NodeId>(2 + below(3)), .msg = {}};
            }
            step(state, event, out);
        }
        EXPECT_GT(state.rejected(), 0U);
    }
}

} // namespace
} // namespace norma::dsm
