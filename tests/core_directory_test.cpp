// SPDX-License-Identifier: BSD-3-Clause
// The directory side, one event at a time, at node 0.
#include "tests/core_script.hpp"

#include <gtest/gtest.h>

namespace norma::dsm {
namespace {

const Lines kNothing;

// Pages [base, base + count) go to `to`, through to the end of the transaction. At most one remote holder is in the
// way.
void give(State &home, NodeId to, bool write, Window window = {}, bool have = false) {
    Outbox out;
    const Msg get = write ? get_write(90, window, have) : get_read(90, window);
    step(home, {.type = Event::Type::message, .from = to, .msg = get}, out);
    ASSERT_FALSE(out.empty());
    Effect last = out.back();
    while (last.msg.type == MsgType::inval) {
        const Msg ack = inval_ack(last.msg.txn, last.msg.base, last.msg.mask);
        step(home, {.type = Event::Type::message, .from = last.to, .msg = ack}, out);
        ASSERT_FALSE(out.empty());
        last = out.back();
    }
    if (last.msg.type == MsgType::forward) {
        const Msg over = done(last.msg.txn, last.msg.base, last.msg.mask);
        step(home, {.type = Event::Type::message, .from = to, .msg = over}, out);
    }
    ASSERT_EQ(home.open_transactions(), 0U);
}

// Page 0: the home owns it, nodes 1 and 2 read it too. The next transaction is 1002.
State shared() {
    State home = node(0);
    give(home, 1, false);
    give(home, 2, false);
    return home;
}

TEST(CoreGet, ReadOfAFreshPageMakesASharer) {
    State home = node(0);
    EXPECT_EQ(message(home, 1, get_read(5)),
              (Lines{"protect 0", "stage 0", "to 1: data base 0 mask 0x1 txn 1000 request 5"}));
    EXPECT_FALSE(home.busy(0)) << "what the home supplies needs no done";
    EXPECT_EQ(home.owner(0), 0);
    EXPECT_TRUE(home.sharers(0)[1]);
}

TEST(CoreGet, WriteOfAFreshPageMovesIt) {
    State home = node(0);
    EXPECT_EQ(message(home, 1, get_write(5)),
              (Lines{"protect 0", "stage 0", "drop 0", "to 1: data write base 0 mask 0x1 txn 1000 request 5"}));
    message(home, 1, done(1000));
    EXPECT_EQ(home.owner(0), 1);
    EXPECT_TRUE(home.sharers(0).none());
    EXPECT_EQ(home.access(0), Access::none);
}

TEST(CoreGet, OwnerElsewhereIsAskedToSupply) {
    State home = node(0);
    give(home, 1, true);
    EXPECT_EQ(message(home, 2, get_read(5)), Lines{"to 1: forward base 0 mask 0x1 txn 1001 request 5 for 2"});
    message(home, 2, done(1001));
    EXPECT_EQ(home.owner(0), 1);
    EXPECT_TRUE(home.sharers(0)[2]);
}

TEST(CoreGet, HomesCopyServesReadersOfAPageOwnedElsewhere) {
    State home = node(0);
    give(home, 1, true);
    fault(home, 0, false);
    message(home, 1, data(1001, 1, false));
    EXPECT_EQ(home.owner(0), 1);
    EXPECT_EQ(message(home, 2, get_read(5)), (Lines{"stage 0", "to 2: data base 0 mask 0x1 txn 1002 request 5"}));
}

TEST(CoreGet, WriteWaitsForEverySharerThenForwards) {
    State home = node(0);
    give(home, 1, true);
    give(home, 2, false);
    give(home, 3, false);
    EXPECT_EQ(message(home, 4, get_write(5)),
              (Lines{"to 2: inval base 0 mask 0x1 txn 1003", "to 3: inval base 0 mask 0x1 txn 1003"}));
    EXPECT_EQ(message(home, 3, inval_ack(1003)), kNothing);
    EXPECT_EQ(message(home, 2, inval_ack(1003)), Lines{"to 1: forward write base 0 mask 0x1 txn 1003 request 5 for 4"});
    message(home, 4, done(1003));
    EXPECT_EQ(home.owner(0), 4);
    EXPECT_TRUE(home.sharers(0).none());
}

TEST(CoreGet, UpgradeInvalidatesTheOthersAndMovesNoData) {
    State home = shared();
    EXPECT_EQ(message(home, 1, get_write(5, {}, true)), Lines{"to 2: inval base 0 mask 0x1 txn 1002"});
    EXPECT_EQ(home.access(0), Access::read) << "the home's own copy goes last";
    EXPECT_EQ(message(home, 2, inval_ack(1002)),
              (Lines{"drop 0", "to 1: grant write base 0 mask 0x1 txn 1002 request 5"}));
    message(home, 1, done(1002));
    EXPECT_EQ(home.owner(0), 1);
    EXPECT_TRUE(home.sharers(0).none());
}

TEST(CoreGet, UpgradeBySharerInvalidatesTheOwnerToo) {
    State home = node(0);
    give(home, 1, true);
    give(home, 2, false);
    EXPECT_EQ(message(home, 2, get_write(5, {}, true)), Lines{"to 1: inval base 0 mask 0x1 txn 1002"});
    EXPECT_EQ(message(home, 1, inval_ack(1002)), Lines{"to 2: grant write base 0 mask 0x1 txn 1002 request 5"});
}

TEST(CoreGet, UpgradeOvertakenByAnothersWriteGetsData) {
    State home = shared();
    give(home, 2, true, {}, true);
    EXPECT_EQ(message(home, 1, get_write(5, {}, true)),
              Lines{"to 2: forward write base 0 mask 0x1 txn 1003 request 5 for 1"});
}

TEST(CoreGet, HomeUpgradesItsOwnCopy) {
    State home = shared();
    EXPECT_EQ(fault(home, 0, true),
              (Lines{"to 1: inval base 0 mask 0x1 txn 1002", "to 2: inval base 0 mask 0x1 txn 1002"}));
    message(home, 1, inval_ack(1002));
    EXPECT_EQ(message(home, 2, inval_ack(1002)), Lines{"resolve 0 write"});
    EXPECT_EQ(home.open_transactions(), 0U);
    EXPECT_EQ(home.access(0), Access::write);
}

TEST(CoreGet, HomeFetchesAPageBack) {
    State home = node(0);
    give(home, 1, true);
    EXPECT_EQ(fault(home, 0, true), Lines{"to 1: forward write base 0 mask 0x1 txn 1001 request 1 for 0"});
    EXPECT_EQ(message(home, 1, data(1001, 1, true)), (Lines{"install 0 write", "resolve 0 write"}));
    EXPECT_EQ(home.owner(0), 0);
    EXPECT_EQ(home.open_transactions(), 0U);
}

TEST(CoreBatch, WindowIsServedInOneMessageWherePagesAreAlike) {
    State home = node(0);
    give(home, 1, true, {1, 1});
    EXPECT_EQ(message(home, 2, get_write(5, {0, 4})), (Lines{"protect 0 2 3", "stage 0 2 3", "drop 0 2 3",
                                                             "to 2: data write base 0 mask 0xd txn 1001 request 5"}));
    message(home, 2, done(1001, 0, 0b1101));
    EXPECT_EQ(home.owner(1), 1);
    EXPECT_EQ(home.owner(3), 2);
}

TEST(CoreBatch, PagesWithTheSameSharersAreInvalidatedTogether) {
    State home = node(0);
    give(home, 1, false, {0, 3});
    give(home, 2, false, {0, 2});
    EXPECT_EQ(message(home, 1, get_write(5, {0, 3}, true)), Lines{"to 2: inval base 0 mask 0x3 txn 1002"});
    EXPECT_EQ(message(home, 2, inval_ack(1002, 0, 3)),
              (Lines{"drop 0 1", "to 1: grant write base 0 mask 0x3 txn 1002 request 5"}));
}

TEST(CoreBatch, BusyPagesAreLeftOut) {
    State home = node(0);
    give(home, 1, true, {1, 1});
    message(home, 3, get_read(5, {1, 1}));
    EXPECT_EQ(message(home, 2, get_read(6, {0, 3})),
              (Lines{"protect 0 2", "stage 0 2", "to 2: data base 0 mask 0x5 txn 1002 request 6"}));
}

TEST(CoreQueue, FirstComeFirstServed) {
    State home = node(0);
    give(home, 4, true);
    message(home, 1, get_write(5));
    EXPECT_EQ(message(home, 2, get_write(6)), kNothing);
    EXPECT_EQ(message(home, 3, get_read(7)), kNothing);
    EXPECT_EQ(home.queued_gets(), 2U);
    EXPECT_EQ(message(home, 1, done(1001)), Lines{"to 1: forward write base 0 mask 0x1 txn 1002 request 6 for 2"});
    EXPECT_EQ(message(home, 2, done(1002)), Lines{"to 2: forward base 0 mask 0x1 txn 1003 request 7 for 3"});
    EXPECT_EQ(home.queued_gets(), 0U);
}

TEST(CoreQueue, FutureGetOfTheRequesterWaitsForItsOwnDone) {
    State home = node(0);
    give(home, 2, true);
    message(home, 1, get_read(5));
    EXPECT_EQ(message(home, 1, get_write(6, {}, true)), kNothing);
    EXPECT_EQ(message(home, 1, done(1001)), Lines{"to 2: inval base 0 mask 0x1 txn 1002"});
}

// Found by the model: a stream of windows could have kept a get for their second page waiting for ever.
TEST(CoreQueue, AWindowDoesNotOvertakeWhoWaitsForItsFurtherPages) {
    State home = node(0);
    give(home, 4, true, {0, 2});
    message(home, 1, get_write(5, {0, 2}));
    message(home, 2, get_write(6, {0, 2}));
    message(home, 3, get_write(7, {1, 1}));
    EXPECT_EQ(message(home, 1, done(1001, 0, 3)),
              (Lines{"to 1: forward write base 0 mask 0x1 txn 1002 request 6 for 2",
                     "to 1: forward write base 1 mask 0x1 txn 1003 request 7 for 3"}));
}

TEST(CoreQueue, AnswersOfTheHomeAreFollowedAtOnceByTheNext) {
    State home = shared();
    message(home, 3, get_write(5)); // waits for 1 and 2
    EXPECT_EQ(message(home, 1, get_write(6)), kNothing);
    message(home, 1, inval_ack(1002));
    EXPECT_EQ(message(home, 2, inval_ack(1002)),
              (Lines{"stage 0", "drop 0", "to 3: data write base 0 mask 0x1 txn 1002 request 5",
                     "to 3: forward write base 0 mask 0x1 txn 1003 request 6 for 1"}));
}

TEST(CoreRelease, OfASharerWhileTheHomeHasACopyIsAnInval) {
    State home = shared();
    EXPECT_EQ(message(home, 1, release()), Lines{"to 1: inval base 0 mask 0x1 txn 1002"});
    EXPECT_EQ(message(home, 1, inval_ack(1002)), kNothing);
    EXPECT_FALSE(home.sharers(0)[1]);
    EXPECT_TRUE(home.sharers(0)[2]);
    EXPECT_FALSE(home.busy(0));
}

TEST(CoreRelease, OfTheOnlyCopyBringsItHome) {
    State home = node(0);
    give(home, 1, true);
    EXPECT_EQ(message(home, 1, release()), Lines{"to 1: forward write base 0 mask 0x1 txn 1001 request 1 for 0"});
    EXPECT_EQ(message(home, 1, data(1001, 1, true)), (Lines{"install 0 write", "resolve 0 write"}));
    EXPECT_EQ(home.owner(0), 0);
    EXPECT_EQ(home.access(0), Access::write);
}

TEST(CoreRelease, WaitsItsTurnAndMayHaveBecomeUseless) {
    State home = shared();
    message(home, 3, get_write(5)); // waits for 1 and 2
    EXPECT_EQ(message(home, 1, release()), kNothing);
    EXPECT_EQ(message(home, 1, release()), kNothing);
    EXPECT_EQ(home.queued_gets(), 1U);
    message(home, 1, inval_ack(1002));
    message(home, 2, inval_ack(1002));
    EXPECT_FALSE(home.busy(0));
    EXPECT_EQ(home.owner(0), 3);
}

TEST(CoreRelease, OfWhatIsNotHeldIsIgnored) {
    State home = shared();
    EXPECT_EQ(message(home, 3, release()), kNothing);
    EXPECT_EQ(home.open_transactions(), 0U);
}

TEST(CoreRelease, DeathOfTheHolderEndsIt) {
    State home = shared();
    message(home, 1, release());
    node_down(home, 1);
    EXPECT_EQ(home.open_transactions(), 0U);
    EXPECT_EQ(home.owner(0), 0);
}

TEST(CoreDone, PagesLeftOutStayWhereTheyAreWhenTheyWereNeverPartOfIt) {
    State home = node(0);
    give(home, 1, true, {0, 2});
    message(home, 2, get_write(5, {0, 1}));
    message(home, 2, done(1001));
    EXPECT_EQ(home.owner(0), 2);
    EXPECT_EQ(home.owner(1), 1);
}

TEST(CoreDone, OwnerThatSaysItHasNothingIsBelieved) {
    State home = node(0);
    give(home, 1, true);
    message(home, 2, get_read(5));
    message(home, 2, done(1001, 0, 0));
    EXPECT_TRUE(home.lost(0)) << "rather a precise error than to ask for ever";
    EXPECT_EQ(message(home, 2, get_read(6)), Lines{"to 2: fail lost base 0 mask 0x1 request 6"});
}

TEST(CoreDone, PastOneIsIgnored) {
    State home = node(0);
    give(home, 1, true);
    EXPECT_EQ(message(home, 1, done(1000)), kNothing);
    message(home, 3, get_read(5));
    EXPECT_EQ(message(home, 1, done(1000)), kNothing);
    EXPECT_TRUE(home.busy(0));
    EXPECT_EQ(home.late(), 2U);
}

TEST(CoreInvalAck, PastAndRepeatedOnesAreIgnored) {
    State home = shared();
    message(home, 3, get_write(5)); // waits for 1 and 2
    EXPECT_EQ(message(home, 1, inval_ack(1001)), kNothing);
    EXPECT_EQ(message(home, 1, inval_ack(1002)), kNothing);
    EXPECT_EQ(message(home, 1, inval_ack(1002)), kNothing);
    EXPECT_EQ(home.late(), 2U);
    EXPECT_EQ(message(home, 2, inval_ack(1002)),
              (Lines{"stage 0", "drop 0", "to 3: data write base 0 mask 0x1 txn 1002 request 5"}));
}

// Node deaths. A dead sharer is forgotten, a dead owner's page goes to a sharer or is lost.

TEST(CoreNodeDown, PagesOfTheDead) {
    State home = node(0);
    give(home, 1, true, {0, 2}); // pages 0 and 1
    give(home, 2, false);        // page 0
    EXPECT_EQ(node_down(home, 1), kNothing);
    EXPECT_EQ(home.owner(0), 2);
    EXPECT_FALSE(home.lost(0));
    EXPECT_TRUE(home.lost(1));
    EXPECT_EQ(fault(home, 1, false), Lines{"resolve 1 lost"});
    EXPECT_EQ(home.access(1), Access::lost);
}

TEST(CoreNodeDown, DeadSharerIsForgottenAndNotInvalidated) {
    State home = shared();
    node_down(home, 1);
    EXPECT_FALSE(home.sharers(0)[1]);
    EXPECT_EQ(message(home, 3, get_write(5)), Lines{"to 2: inval base 0 mask 0x1 txn 1002"});
}

TEST(CoreNodeDown, DeathCountsAsAcknowledgement) {
    State home = shared();
    message(home, 1, get_write(5, {}, true));
    EXPECT_EQ(node_down(home, 2), (Lines{"drop 0", "to 1: grant write base 0 mask 0x1 txn 1002 request 5"}));
    // Past: what the dead one had sent.
    EXPECT_EQ(message(home, 2, inval_ack(1002)), kNothing);
}

TEST(CoreNodeDown, RequesterOfDataWhileOthersAreInvalidated) {
    State home = node(0);
    give(home, 1, true);
    give(home, 2, false);
    message(home, 3, get_write(5));
    EXPECT_EQ(node_down(home, 3), kNothing);
    EXPECT_TRUE(home.busy(0)) << "node 2 will drop its copy whatever happens: it has to be waited for";
    EXPECT_EQ(message(home, 2, inval_ack(1002)), kNothing);
    EXPECT_FALSE(home.busy(0));
    EXPECT_EQ(home.owner(0), 1);
    EXPECT_TRUE(home.sharers(0).none());
}

TEST(CoreNodeDown, RequesterOfAnUpgradeLeavesThePageToTheHomesCopy) {
    State home = shared();
    message(home, 1, get_write(5, {}, true));
    node_down(home, 1);
    message(home, 2, inval_ack(1002));
    EXPECT_EQ(home.owner(0), 0);
    EXPECT_FALSE(home.lost(0));
    EXPECT_EQ(fault(home, 0, true), Lines{"resolve 0 write"});
}

TEST(CoreNodeDown, RequesterOfAnUpgradeTakesThePageWithItWhereNobodyElseKeepsACopy) {
    State home = node(0);
    give(home, 1, true);
    give(home, 2, false);
    message(home, 2, get_write(5, {}, true));
    node_down(home, 2);
    message(home, 1, inval_ack(1002));
    EXPECT_TRUE(home.lost(0));
}

TEST(CoreNodeDown, RequesterAfterTheForward) {
    State home = node(0);
    give(home, 1, true, {0, 2});
    message(home, 2, get_read(5, {0, 1}));
    message(home, 3, get_write(6, {1, 1}));
    node_down(home, 2);
    EXPECT_EQ(home.owner(0), 1) << "a reader takes nothing with it";
    node_down(home, 3);
    EXPECT_TRUE(home.lost(1)) << "the owner has given the page up, or will when the forward arrives";
    EXPECT_EQ(home.open_transactions(), 0U);
}

TEST(CoreNodeDown, RequesterAfterTheGrant) {
    State home = shared();
    message(home, 1, get_write(5, {}, true));
    message(home, 2, inval_ack(1002));
    node_down(home, 1);
    EXPECT_TRUE(home.lost(0));
}

TEST(CoreNodeDown, SupplierAfterTheForward) {
    State home = node(0);
    give(home, 1, true, {0, 2});
    message(home, 2, get_read(5, {0, 2}));
    EXPECT_EQ(node_down(home, 1), Lines{"to 2: fail base 0 mask 0x3 txn 1001 request 5"});
    EXPECT_TRUE(home.busy(0)) << "only the requester knows what still arrived";
    message(home, 2, done(1001, 0, 0b01));
    EXPECT_EQ(home.owner(0), 2);
    EXPECT_TRUE(home.lost(1));
}

TEST(CoreNodeDown, SupplierBeforeTheForward) {
    State home = node(0);
    give(home, 1, true);
    fault(home, 0, false);
    message(home, 1, data(1001, 1, false)); // the home reads too
    give(home, 2, false);
    message(home, 3, get_write(5)); // waits for 2, then 1 supplies
    EXPECT_EQ(node_down(home, 1), kNothing);
    EXPECT_EQ(message(home, 2, inval_ack(1003)),
              (Lines{"stage 0", "drop 0", "to 3: data write base 0 mask 0x1 txn 1004 request 5"}));
}

TEST(CoreNodeDown, QueuedGetsOfTheDeadAreDroppedAndTheOthersServed) {
    State home = node(0);
    give(home, 4, true);
    message(home, 1, get_write(5));
    message(home, 2, get_write(6));
    message(home, 3, get_read(7));
    node_down(home, 2);
    EXPECT_EQ(home.queued_gets(), 1U);
    EXPECT_EQ(node_down(home, 1), Lines{"to 3: fail lost base 0 mask 0x1 request 7"});
    EXPECT_EQ(home.queued_gets(), 0U);
}

TEST(CoreNodeDown, PastGetOfTheDeadIsIgnored) {
    State home = node(0);
    node_down(home, 1);
    EXPECT_EQ(message(home, 1, get_read(5)), kNothing);
    EXPECT_EQ(home.late(), 1U);
}

} // namespace
} // namespace norma::dsm
