// SPDX-License-Identifier: BSD-3-Clause
// The parts of rpc/ that need no network: inbox, staging pool, address envelope.
#include "rpc/address.hpp"
#include "rpc/inbox.hpp"
#include "rpc/staging.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace norma::rpc {
namespace {

struct Numbered {
    std::vector<std::byte> record;
    std::vector<std::byte> payload;
    Message message;
    explicit Numbered(std::uint64_t sequence, std::uint32_t incarnation = 1, std::size_t payload_bytes = 0)
        : record(1, static_cast<std::byte>(sequence)), payload(payload_bytes) {
        message.header.sequence = sequence;
        message.header.source_incarnation = incarnation;
        message.record = record;
        message.payload = payload;
    }
};

Inbox::Offer offer(Inbox &inbox, std::uint64_t sequence, std::uint32_t incarnation = 1) {
    const Numbered numbered(sequence, incarnation);
    return inbox.offer(numbered.message);
}

TEST(RpcInbox, DeliversInOrderWithoutHolding) {
    Inbox inbox;
    EXPECT_EQ(inbox.open(1), 0u);
    for (unsigned i = 0; i < 100; ++i) {
        EXPECT_EQ(offer(inbox, i), Inbox::Offer::deliver);
        EXPECT_FALSE(inbox.ready());
    }
}

TEST(RpcInbox, RestoresTheOrderOfAnyPermutation) {
    std::mt19937 random(2);
    for (int round = 0; round < 200; ++round) {
        std::vector<unsigned> order(20);
        for (unsigned i = 0; i < order.size(); ++i) {
            order[i] = i;
        }
        std::shuffle(order.begin(), order.end(), random);
        Inbox inbox;
        inbox.open(1);
        std::vector<unsigned> seen;
        for (const auto sequence : order) {
            const auto outcome = offer(inbox, sequence);
            ASSERT_NE(outcome, Inbox::Offer::repeat);
            if (outcome == Inbox::Offer::deliver) {
                seen.push_back(sequence);
                Inbox::Held held;
                while (inbox.take(held)) {
                    ASSERT_EQ(held.record_bytes, 1u);
                    seen.push_back(std::to_integer<unsigned>(held.bytes[0]));
                }
            }
        }
        ASSERT_EQ(seen.size(), order.size());
        ASSERT_TRUE(std::is_sorted(seen.begin(), seen.end()));
    }
}

TEST(RpcInbox, DropsRepeats) {
    Inbox inbox;
    inbox.open(1);
    EXPECT_EQ(offer(inbox, 0), Inbox::Offer::deliver);
    EXPECT_EQ(offer(inbox, 0), Inbox::Offer::repeat);
    EXPECT_EQ(offer(inbox, 5), Inbox::Offer::held);
    EXPECT_EQ(offer(inbox, 5), Inbox::Offer::repeat);
}

TEST(RpcInbox, HoldsUntilOpenedAndThenOnlyTheRightLife) {
    Inbox inbox;
    EXPECT_EQ(offer(inbox, 0, 1), Inbox::Offer::held);
    EXPECT_EQ(offer(inbox, 0, 2), Inbox::Offer::held);
    EXPECT_EQ(offer(inbox, 1, 2), Inbox::Offer::held);
    EXPECT_FALSE(inbox.ready());
    EXPECT_EQ(inbox.open(2), 1u);
    Inbox::Held held;
    EXPECT_TRUE(inbox.take(held));
    EXPECT_TRUE(inbox.take(held));
    EXPECT_EQ(held.bytes[0], std::byte{1});
    EXPECT_FALSE(inbox.take(held));
    EXPECT_EQ(offer(inbox, 2, 2), Inbox::Offer::deliver);
}

TEST(RpcInbox, RefusesToHoldWithoutBound) {
    Inbox inbox;
    inbox.open(1);
    const auto most = Inbox::kMaxHeldBytes / kMaxPayloadBytes + 2;
    unsigned refused = 0;
    for (unsigned i = 1; i <= most; ++i) {
        const Numbered numbered(i, 1, kMaxPayloadBytes);
        refused += inbox.offer(numbered.message) == Inbox::Offer::refused ? 1 : 0;
    }
    EXPECT_GT(refused, 0u);
    inbox.close();
    inbox.open(1);
    EXPECT_EQ(offer(inbox, 7), Inbox::Offer::held) << "closing gives the room back";
}

TEST(RpcStaging, BuffersAreAlignedDistinctAndReused) {
    auto pool = StagingPool::make({});
    std::set<std::byte *> seen;
    std::vector<StagingPtr> held;
    for (unsigned i = 0; i < StagingPool::kBuffersPerSlab * 2 + 1; ++i) {
        held.push_back(pool->take());
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(held.back()->data) % kPageBytes, 0u);
        held.back()->data[0] = held.back()->data[kMaxPayloadBytes - 1] = std::byte{1};
        EXPECT_TRUE(seen.insert(held.back()->data).second);
    }
    EXPECT_EQ(pool->slabs(), 3u);
    EXPECT_EQ(pool->lent(), held.size());
    auto *last = held.back()->data;
    held.back()->size = 17;
    held.pop_back();
    const auto again = pool->take();
    EXPECT_EQ(again->data, last);
    EXPECT_EQ(again->size, 0u);
}

TEST(RpcStaging, RegistrationsEndWithThePoolAndMemoryWithTheLastBuffer) {
    int live = 0;
    StagingPtr survivor;
    {
        auto pool = StagingPool::make({.add = [&](std::byte *, std::size_t) -> void * { return ++live, &live; },
                                       .remove = [&](void *) { --live; }});
        survivor = pool->take();
        EXPECT_EQ(static_cast<StagingBuffer *>(survivor.get())->registration, &live);
        EXPECT_EQ(live, 1);
    }
    EXPECT_EQ(live, 0);
    survivor->data[0] = std::byte{1};
}

TEST(RpcAddress, OpensWhatItSealed) {
    const std::vector<std::byte> inner(100, std::byte{0x5a});
    const auto sealed = seal_address("tcp", inner);
    std::string why;
    EXPECT_TRUE(std::ranges::equal(open_address("tcp", sealed, why), inner));
    EXPECT_TRUE(open_address("shm", sealed, why).empty());
    EXPECT_NE(why.find("'tcp'"), std::string::npos);
}

TEST(RpcAddress, RefusesEveryBitFlipAndTruncation) {
    const std::vector<std::byte> inner(40, std::byte{0x5a});
    const auto sealed = seal_address("tcp", inner);
    std::string why;
    for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
        auto changed = sealed;
        changed[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
        EXPECT_TRUE(open_address("tcp", changed, why).empty()) << bit;
    }
    for (std::size_t size = 0; size < sealed.size(); ++size) {
        EXPECT_TRUE(open_address("tcp", std::span(sealed).first(size), why).empty()) << size;
    }
}

} // namespace
} // namespace norma::rpc
