// SPDX-License-Identifier: BSD-3-Clause
// Two transports over the fake provider in one process: messages of every size, short queues, waiting.
#include "endpoint.hpp"

#include <poll.h>

#include <gtest/gtest.h>

namespace norma::rpc::verbs::fake {
namespace {

TEST(VerbsExchange, MessagesOfEverySizeArriveInOrderBothWays) {
    Pair pair;
    std::uint64_t sent = 0;
    for (std::size_t record : {std::size_t{1}, std::size_t{8}, std::size_t{100}, std::size_t{5000}, kMaxRecordBytes}) {
        for (std::size_t payload : {std::size_t{0}, std::size_t{1}, kPageBytes, 2 * kPageBytes, kMaxPayloadBytes}) {
            pair.a.send(1, record, payload, static_cast<unsigned char>(sent));
            pair.b.send(0, record, payload, static_cast<unsigned char>(sent + 1));
            ++sent;
        }
    }
    pair.run_until([&] { return pair.a.got.size() == sent && pair.b.got.size() == sent; });
    for (std::uint64_t n = 0; n < sent; ++n) {
        EXPECT_EQ(pair.b.got[n].fill, static_cast<unsigned char>(n));
        EXPECT_TRUE(pair.b.got[n].whole) << n;
        EXPECT_EQ(pair.a.got[n].fill, static_cast<unsigned char>(n + 1));
        EXPECT_TRUE(pair.a.got[n].whole) << n;
    }
    pair.a.send(1, 0, 0, 0);
    pair.run_until([&] { return pair.b.got.size() == sent + 1; });
    EXPECT_EQ(pair.b.got.back().record + pair.b.got.back().payload, 0u) << "nothing at all is a message too";
    EXPECT_EQ(pair.fabric.receiver_not_ready(), 0u);
}

// Everything queues up before the other side takes anything, so flow control alone keeps it from being lost.
TEST(VerbsExchange, AFloodNeverOverrunsTheReceiver) {
    Pair pair;
    constexpr unsigned kCount = 5000;
    for (unsigned n = 0; n < kCount; ++n) {
        pair.a.send(1, 16, n % 50 == 7 ? kMaxPayloadBytes : n % 3 == 0 ? kPageBytes : 0, static_cast<unsigned char>(n));
        pair.b.send(0, 16, n % 70 == 3 ? 3 * kPageBytes : 0, static_cast<unsigned char>(n));
    }
    pair.run_until([&] { return pair.a.got.size() == kCount && pair.b.got.size() == kCount; });
    for (unsigned n = 0; n < kCount; ++n) {
        ASSERT_EQ(pair.b.got[n].fill, static_cast<unsigned char>(n));
    }
    EXPECT_EQ(pair.fabric.receiver_not_ready(), 0u);
}

TEST(VerbsExchange, ShortQueuesAreEnough) {
    Pair pair({.max_qp_wr = 4, .max_srq_wr = 8, .max_cqe = 1024, .max_inline = 0, .max_reads = 1});
    constexpr unsigned kCount = 300;
    for (unsigned n = 0; n < kCount; ++n) {
        pair.a.send(1, 40, n % 10 == 0 ? kMaxPayloadBytes : kPageBytes, static_cast<unsigned char>(n));
        pair.b.send(0, n % 10 == 0 ? kMaxRecordBytes : 40, n % 5 == 0 ? kMaxPayloadBytes : 0,
                    static_cast<unsigned char>(n));
    }
    pair.run_until([&] { return pair.a.got.size() == kCount && pair.b.got.size() == kCount; });
    EXPECT_EQ(pair.fabric.receiver_not_ready(), 0u);
}

TEST(VerbsExchange, AMessageWakesASleeper) {
    Pair pair;
    for (int round = 0; round < 20; ++round) {
        while (pair.b.transport->progress() || !pair.b.transport->arm()) {
        }
        pollfd ready{pair.b.transport->event_fd(), POLLIN, 0};
        pair.a.send(1, 8, round % 2 == 0 ? 0 : kMaxPayloadBytes, 1);
        ASSERT_EQ(::poll(&ready, 1, 1000), 1);
        pair.run_until([&] { return pair.b.got.size() == static_cast<std::size_t>(round) + 1; });
    }
}

// The sender sleeps with messages that have no room; the receiver's slots must wake it.
TEST(VerbsExchange, RoomWakesTheSender) {
    Pair pair;
    for (unsigned n = 0; n < 500; ++n) {
        pair.a.send(1, 8, kPageBytes, 1);
    }
    const auto sleep_until_done = [&] {
        while (pair.b.got.size() < 500) {
            while (pair.a.transport->progress() || !pair.a.transport->arm()) {
            }
            while (pair.b.transport->progress()) {
            }
            pollfd ready{pair.a.transport->event_fd(), POLLIN, 0};
            if (pair.b.got.size() < 500 && ::poll(&ready, 1, 1000) != 1) {
                return false;
            }
        }
        return true;
    };
    EXPECT_TRUE(sleep_until_done());
}

TEST(VerbsExchange, WhatWasSentLastArrivesAlthoughTheSenderLeaves) {
    Pair pair;
    for (unsigned n = 0; n < 30; ++n) {
        pair.a.send(1, 8, kMaxPayloadBytes, 1);
    }
    std::thread leaving([&] { pair.a.transport.reset(); });
    pair.b.run_until([&] { return pair.b.got.size() == 30 && !pair.b.downs.empty(); });
    leaving.join();
    EXPECT_NE(pair.b.downs.front().find("closed"), std::string::npos) << pair.b.downs.front();
}

} // namespace
} // namespace norma::rpc::verbs::fake
