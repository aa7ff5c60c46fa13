// SPDX-License-Identifier: BSD-3-Clause
// What goes wrong with connections and devices: every case must end in one `down` with a reason, and none in a crash, a
// leak, or memory given up while the device may still use it.
#include "endpoint.hpp"

namespace norma::rpc::verbs::fake {
namespace {

bool says(const Endpoint &endpoint, const char *text) {
    return endpoint.downs.size() == 1 && endpoint.downs.front().find(text) != std::string::npos;
}

class VerbsStatus : public testing::TestWithParam<ibv_wc_status> {};

TEST_P(VerbsStatus, AFailedCompletionTakesThePeerDown) {
    Pair pair;
    pair.a.provider.fail_next_send(GetParam());
    for (int i = 0; i < 10; ++i) {
        pair.a.send(1, 8, i % 2 == 0 ? kPageBytes : kMaxPayloadBytes, 1);
    }
    pair.run_until([&] { return !pair.a.downs.empty() && !pair.b.downs.empty(); });
    EXPECT_TRUE(says(pair.a, ibv_wc_status_str(GetParam()))) << pair.a.downs.front();
    pair.a.send(1, 8, 0, 1); // to a dead peer: nothing
    // The connection can be made anew, and has all its room.
    pair.a.connect(pair.b);
    pair.b.connect(pair.a);
    for (int i = 0; i < 500; ++i) {
        pair.a.send(1, 8, kPageBytes, 1);
    }
    pair.run_until([&] { return pair.b.got.size() == 500; });
    EXPECT_EQ(pair.a.downs.size(), 1u);
}
INSTANTIATE_TEST_SUITE_P(All, VerbsStatus,
                         testing::Values(IBV_WC_RETRY_EXC_ERR, IBV_WC_RNR_RETRY_EXC_ERR, IBV_WC_LOC_PROT_ERR,
                                         IBV_WC_REM_ACCESS_ERR, IBV_WC_REM_OP_ERR, IBV_WC_FATAL_ERR,
                                         IBV_WC_WR_FLUSH_ERR));

TEST(VerbsTrouble, ALostDeviceTakesEveryPeerDown) {
    Fabric fabric;
    Endpoint a(fabric, 0), b(fabric, 1), c(fabric, 2);
    for (auto *other : {&b, &c}) {
        a.connect(*other);
        other->connect(a);
        other->send(0, 8, 0, 1);
    }
    const auto all = [&](auto done) {
        a.run_until([&] {
            b.transport->progress();
            c.transport->progress();
            return done();
        });
    };
    all([&] { return a.got.size() == 2; });
    a.provider.lose_device();
    all([&] { return a.downs.size() == 2; });
    EXPECT_FALSE(a.downs.front().empty());
    // The others' next message, or the device's look after them, finds out.
    b.send(0, 8, 0, 1);
    all([&] { return !b.downs.empty() && !c.downs.empty(); });
}

TEST(VerbsTrouble, APostThatTheDeviceRefusesTakesThePeerDown) {
    Pair pair;
    pair.a.provider.refuse_posts();
    pair.a.send(1, 8, kPageBytes, 1);
    pair.run_until([&] { return !pair.a.downs.empty(); });
    EXPECT_TRUE(says(pair.a, "no more requests"));
}

TEST(VerbsTrouble, ADeathIsNoticedAtOnce) {
    Pair pair;
    pair.b.provider.die();
    pair.a.run_until([&] { return !pair.a.downs.empty(); });
    EXPECT_TRUE(says(pair.a, "closed"));
}

// Nobody is told, and nothing is being sent: the idle connection must be looked after.
TEST(VerbsTrouble, AMachineThatGoesWithoutAWordIsMissed) {
    Pair pair;
    pair.b.provider.die(true);
    const auto start = std::chrono::steady_clock::now();
    pair.a.run_until([&] { return !pair.a.downs.empty(); });
    EXPECT_TRUE(says(pair.a, ibv_wc_status_str(IBV_WC_RETRY_EXC_ERR)));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
}

TEST(VerbsTrouble, ADeathDuringAReadGivesNothingToTheHandler) {
    Pair pair;
    pair.fabric.pause();
    for (unsigned i = 0; i < 20; ++i) {
        pair.b.send(0, 8, kMaxPayloadBytes, 1);
    }
    pair.b.provider.die();
    pair.fabric.resume();
    pair.a.run_until([&] { return !pair.a.downs.empty(); });
    EXPECT_TRUE(pair.a.got.empty());
    EXPECT_EQ(pair.a.downs.size(), 1u);
}

TEST(VerbsTrouble, AnAnnouncementThatLeadsNowhereTakesThePeerDown) {
    Pair pair;
    pair.fabric.pause();
    pair.b.send(0, 8, kMaxPayloadBytes, 1);
    pair.b.transport->disconnect(0); // revokes: its buffers may not be read any more
    pair.fabric.resume();
    pair.a.run_until([&] { return !pair.a.downs.empty(); });
    EXPECT_TRUE(pair.a.got.empty());
}

TEST(VerbsTrouble, AFrameThatNoNodeSendsTakesThePeerDown) {
    Pair pair;
    pair.b.provider.alter_send = [](auto bytes) { bytes[offsetof(Frame, zero)] = std::byte{1}; };
    pair.b.send(0, 8, 0, 1);
    pair.a.run_until([&] { return !pair.a.downs.empty(); });
    EXPECT_TRUE(says(pair.a, "no frame of a node server"));
    EXPECT_TRUE(pair.a.got.empty());
}

TEST(VerbsTrouble, MoreSlotsThanThereAreTakeThePeerDown) {
    Pair pair;
    pair.b.provider.alter_send = [](auto bytes) { bytes[offsetof(Frame, credits) + 1] = std::byte{1}; };
    pair.b.send(0, 8, 0, 1);
    pair.a.run_until([&] { return !pair.a.downs.empty(); });
    EXPECT_TRUE(pair.a.got.empty());
}

TEST(VerbsTrouble, AConfirmationOfWhatWasNotAnnouncedTakesThePeerDown) {
    Pair pair;
    pair.b.provider.alter_send = [](auto bytes) {
        if (bytes[offsetof(Frame, kind)] == static_cast<std::byte>(FrameKind::fetched)) {
            bytes[offsetof(Frame, token)] ^= std::byte{1};
        }
    };
    pair.a.send(1, 8, kMaxPayloadBytes, 1);
    pair.run_until([&] { return !pair.a.downs.empty(); });
    EXPECT_TRUE(says(pair.a, "was not announced"));
    EXPECT_EQ(pair.b.got.size(), 1u);
}

TEST(VerbsTrouble, NobodyListensAnyMore) {
    Fabric fabric;
    Endpoint low(fabric, 0), high(fabric, 2);
    const auto address = [&] {
        const Endpoint gone(fabric, 1);
        return gone.transport->address();
    }();
    low.transport->connect(1, 1, address);  // makes the request
    high.transport->connect(1, 1, address); // waits for one
    low.run_until([&] { return !low.downs.empty(); });
    high.run_until([&] { return !high.downs.empty(); });
    EXPECT_TRUE(says(low, "nobody listens"));
    EXPECT_TRUE(says(high, "nobody listens"));
}

TEST(VerbsTrouble, ARequesterThatDiesBeforeItIsAccepted) {
    Fabric fabric;
    Endpoint low(fabric, 0), high(fabric, 1);
    low.connect(high);
    for (int i = 0; i < 200; ++i) {
        low.transport->progress();
        high.transport->progress();
    }
    low.provider.die();
    high.connect(low);
    high.run_until([&] { return !high.downs.empty(); });
    EXPECT_EQ(high.downs.size(), 1u);
}

TEST(VerbsTrouble, AnAccepterThatDiesBeforeItAccepts) {
    Fabric fabric;
    Endpoint low(fabric, 0), high(fabric, 1);
    low.connect(high);
    for (int i = 0; i < 200; ++i) {
        low.transport->progress();
        high.transport->progress();
    }
    high.provider.die();
    low.run_until([&] { return !low.downs.empty(); });
    EXPECT_EQ(low.downs.size(), 1u);
}

TEST(VerbsTrouble, AFormerLifeIsRefusedAndALaterOneWaits) {
    Fabric fabric;
    Endpoint high(fabric, 1);
    Endpoint old_life(fabric, 0, {}, 1), new_life(fabric, 0, {}, 2);
    old_life.connect(high);
    new_life.connect(high);
    high.connect(new_life, 2);
    new_life.send(1, 8, 0, 7);
    new_life.run_until([&] {
        high.transport->progress();
        old_life.transport->progress();
        return high.got.size() == 1 && !old_life.downs.empty();
    });
    EXPECT_EQ(high.got.front().fill, 7);
    EXPECT_TRUE(new_life.downs.empty() && high.downs.empty());
}

TEST(VerbsTrouble, NoQueuePairIsLeft) {
    Fabric fabric;
    Endpoint low(fabric, 0, {.max_qps = 0}), high(fabric, 1);
    low.connect(high);
    low.run_until([&] { return !low.downs.empty(); });
    EXPECT_TRUE(says(low, "no queue pair"));
}

TEST(VerbsTrouble, NoReceiveSlotIsLeft) {
    Fabric fabric;
    Endpoint low(fabric, 0, {.max_srq_wr = 4}), high(fabric, 1), third(fabric, 2);
    low.connect(high);
    try {
        low.connect(third);
        FAIL();
    } catch (const std::runtime_error &error) {
        EXPECT_NE(std::string(error.what()).find("node 2"), std::string::npos) << error.what();
    }
}

// A frame that no transport of ours would send.
TEST(VerbsTrouble, AddressesAreJudged) {
    Fabric fabric;
    Endpoint low(fabric, 0);
    const auto refused = [&](std::vector<std::byte> address) {
        try {
            low.transport->connect(5, 1, address);
        } catch (const std::runtime_error &error) {
            return std::string(error.what()).find("node 5") != std::string::npos;
        }
        return false;
    };
    auto good = low.transport->address();
    EXPECT_TRUE(refused({}));
    EXPECT_TRUE(refused({good.begin(), good.begin() + 20}));
    good[30] ^= std::byte{1};
    EXPECT_TRUE(refused(good));
}

} // namespace
} // namespace norma::rpc::verbs::fake
