// SPDX-License-Identifier: BSD-3-Clause
// Messages between real processes over real UCX: order, contents, floods, waiting.
#include "rpc_harness.hpp"

#include <algorithm>
#include <optional>
#include <random>
#include <tuple>

#include <gtest/gtest.h>

namespace norma::rpc::test {
namespace {

struct Size {
    std::size_t record = 0, payload = 0;
};

// The n-th message of a stream, the same in every process: mostly small, some of several pages, a few of the largest.
Size size_of_message(std::uint64_t n) {
    std::mt19937_64 random(n);
    Size size{8 + random() % 200, 0};
    const auto dice = random() % 100;
    if (dice < 2) {
        size.record = random() % 2 == 0 ? kMaxRecordBytes : 8 + random() % (kMaxRecordBytes - 8);
    }
    if (dice % 10 == 1) {
        size.payload = kPageBytes * (1 + random() % kMaxBatchPages);
    } else if (dice % 10 < 5) {
        size.payload = kPageBytes;
    } else if (dice % 10 == 9) {
        size.payload = 1 + random() % kMaxPayloadBytes;
    }
    return size;
}

std::vector<std::byte> numbered_record(std::uint64_t n, std::size_t bytes) {
    std::vector<std::byte> record(bytes, static_cast<std::byte>(n * 7));
    std::memcpy(record.data(), &n, sizeof n);
    return record;
}

bool all_are(std::span<const std::byte> bytes, std::byte value) {
    return std::ranges::all_of(bytes, [&](std::byte byte) { return byte == value; });
}

class RpcTransport : public testing::TestWithParam<std::tuple<const char *, Wait>> {
  protected:
    static Plan plan(unsigned nodes = 2) {
        Plan plan;
        plan.kind = std::get<0>(GetParam());
        plan.wait = std::get<1>(GetParam());
        plan.nodes = nodes;
        return plan;
    }
    static void expect_all_well(const std::vector<Ended> &ended) {
        for (std::size_t i = 0; i < ended.size(); ++i) {
            EXPECT_EQ(ended[i].code, 0) << "node " << i;
        }
    }
};

TEST_P(RpcTransport, KeepsTheOrderOfMixedSizesBothWays) {
    constexpr std::uint64_t kCount = 3000;
    expect_all_well(run_nodes(plan(3), [](Node &node) {
        std::vector<std::uint64_t> next(3, 0);
        node.on_message = [&](NodeId from, auto record, auto payload) {
            const auto n = next[from]++;
            const auto size = size_of_message(n);
            require(record.size() == size.record && payload.size() == size.payload,
                    fmt::format("message {} from {}: {} + {} bytes", n, from, record.size(), payload.size()));
            std::uint64_t number = 0;
            std::memcpy(&number, record.data(), sizeof number);
            require(number == n && all_are(record.subspan(8), static_cast<std::byte>(n * 7)) &&
                        all_are(payload, static_cast<std::byte>(n * 11)),
                    fmt::format("message {} from {} says it is {}", n, from, number));
        };
        node.connect_all();
        node.barrier(0);
        for (std::uint64_t n = 0; n < kCount; ++n) {
            const auto size = size_of_message(n);
            for (NodeId peer = 0; peer < 3; ++peer) {
                if (peer != node.self()) {
                    StagingPtr payload;
                    if (size.payload != 0) {
                        payload = node.staged(size.payload, static_cast<unsigned char>(n * 11));
                    }
                    node.transport->send(peer, numbered_record(n, size.record), std::move(payload));
                }
            }
            // Bursts: sometimes a good deal is queued before anything can leave.
            if (n % 16 == 0) {
                node.transport->progress();
            }
        }
        node.wait_until([&] {
            for (NodeId peer = 0; peer < 3; ++peer) {
                if (peer != node.self() && next[peer] != kCount) {
                    return false;
                }
            }
            return true;
        });
        node.barrier(1);
        require(node.transport->counters().received == 2 * kCount, "wrong number of messages counted");
    }));
}

TEST_P(RpcTransport, FloodOfSmallMessagesThenLargeOnes) {
    constexpr std::uint64_t kSmall = 100000;
    constexpr std::uint64_t kLarge = 3000;
    expect_all_well(run_nodes(plan(), [](Node &node) {
        std::uint64_t next = 0;
        bool answered = false;
        node.on_message = [&](NodeId, auto record, auto payload) {
            if (node.self() == 0) {
                answered = true;
                return;
            }
            std::uint64_t number = 0;
            std::memcpy(&number, record.data(), sizeof number);
            require(number == next, fmt::format("{} where {} was due", number, next));
            require(payload.size() == (number < kSmall ? 0 : 4 * kPageBytes), "wrong payload size");
            ++next;
        };
        node.connect_all();
        node.barrier(0);
        if (node.self() == 0) {
            // Nothing of this is taken off the sender's hands before it is all queued.
            for (std::uint64_t n = 0; n < kSmall + kLarge; ++n) {
                node.transport->send(1, numbered_record(n, 40),
                                     n < kSmall ? nullptr : node.staged(4 * kPageBytes, static_cast<unsigned char>(n)));
            }
            node.wait_until([&] { return answered; });
        } else {
            node.wait_until([&] { return next == kSmall + kLarge; });
            node.transport->send(0, numbered_record(0, 8), nullptr);
        }
        node.barrier(1);
    }));
}

// Rounds of request and answer: each side sleeps (in blocking mode) until the other's message wakes it.
TEST_P(RpcTransport, EveryMessageWakesTheOtherSide) {
    // Two spinning processes that share a core with others hand it over once in a time slice.
    const unsigned rounds = std::get<1>(GetParam()) == Wait::block ? 20000 : 500;
    expect_all_well(run_nodes(plan(), [rounds](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId from, auto, auto) {
            ++got;
            if (node.self() == 1) {
                node.transport->send(from, numbered_record(got, 48), node.staged(kPageBytes, 1));
            }
        };
        node.connect_all();
        node.barrier(0);
        for (unsigned round = 1; round <= rounds; ++round) {
            if (node.self() == 0) {
                node.transport->send(1, numbered_record(round, 64), nullptr);
            }
            node.wait_until([&] { return got >= round; }, 5s);
        }
        node.barrier(1);
    }));
}

// The receiver is late, so the network is full when the sender goes to sleep: the sender must be woken to send the rest
// before anybody sends it a message.
TEST_P(RpcTransport, RoomInTheNetworkWakesTheSender) {
    constexpr unsigned kCount = 200;
    expect_all_well(run_nodes(plan(), [](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect_all();
        node.barrier(0);
        for (unsigned round = 0; round < 5; ++round) {
            got = 0;
            if (node.self() == 0) {
                for (unsigned n = 0; n < kCount; ++n) {
                    node.transport->send(1, numbered_record(n, 16), node.staged(kMaxPayloadBytes, 3));
                }
                node.wait_until([&] { return got == 1; }, 30s);
            } else {
                std::this_thread::sleep_for(50ms);
                node.wait_until([&] { return got == kCount; }, 30s);
                node.transport->send(0, numbered_record(0, 16), nullptr);
            }
        }
        node.barrier(1);
    }));
}

// A node may hear from a peer before it has the peer's address itself.
TEST_P(RpcTransport, MessagesBeforeConnectAreDeliveredAfterIt) {
    expect_all_well(run_nodes(plan(), [](Node &node) {
        std::vector<std::byte> seen;
        node.on_message = [&](NodeId, auto record, auto payload) {
            require(payload.size() == kPageBytes && all_are(payload, record[0]), "changed while it waited");
            seen.push_back(record[0]);
        };
        if (node.self() == 0) {
            node.connect(1);
            for (unsigned char n = 0; n < 3; ++n) {
                const std::byte record[]{std::byte{n}};
                node.transport->send(1, record, node.staged(kPageBytes, n));
            }
            node.barrier(0);
        } else {
            node.barrier(0);
            // Long enough for the messages to be here.
            const auto until = Clock::now() + 100ms;
            while (Clock::now() < until) {
                node.transport->progress();
            }
            require(seen.empty(), "delivered before connect()");
            node.connect(0);
            node.wait_until([&] { return seen.size() == 3; });
            require(std::ranges::is_sorted(seen), "out of order");
        }
        node.barrier(1);
    }));
}

TEST_P(RpcTransport, SendingLastAndLeavingStillDelivers) {
    expect_all_well(run_nodes(plan(), [](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto payload) { got += payload.size() == kMaxPayloadBytes ? 1 : 0; };
        node.connect_all();
        node.barrier(0);
        if (node.self() == 0) {
            for (unsigned n = 0; n < 50; ++n) {
                node.transport->send(1, numbered_record(n, 16), node.staged(kMaxPayloadBytes, 3));
            }
        } else {
            node.wait_until([&] { return got == 50; }, 10s);
        }
    }));
}

INSTANTIATE_TEST_SUITE_P(Kinds, RpcTransport,
                         testing::Combine(testing::Values("tcp", "shm", "ucx"),
                                          testing::Values(Wait::spin, Wait::block)),
                         [](const auto &instance) {
                             return std::string(std::get<0>(instance.param)) +
                                    (std::get<1>(instance.param) == Wait::spin ? "_spin" : "_block");
                         });

std::string failure_of(const std::function<void()> &action) {
    try {
        action();
    } catch (const std::runtime_error &error) {
        return error.what();
    }
    return "";
}

TEST(RpcOptions, MistakesAreNamed) {
    const auto failure = [](Options options) { return failure_of([&] { make_transport(options, {}); }); };
    EXPECT_NE(failure({.kind = "carrier-pigeon"}).find("carrier-pigeon"), std::string::npos);
    EXPECT_NE(failure({.self = 300, .kind = "tcp"}).find("300"), std::string::npos);
    EXPECT_NE(failure({.kind = "tcp", .incarnation = 0}).find("incarnation 0"), std::string::npos);
}

// In a process of its own: UCX is not made to live across a fork.
TEST(RpcOptions, BadAddressesAreRefusedWithThePeersName) {
    Plan plan;
    plan.nodes = 1;
    const auto ended = run_nodes(plan, [](Node &node) {
        auto good = node.transport->address();
        const auto refused = [&](NodeId peer, std::span<const std::byte> address, std::uint32_t incarnation = 1) {
            const auto why = failure_of([&] { node.transport->connect(peer, incarnation, address); });
            return why.find(fmt::format("node {}", peer)) != std::string::npos;
        };
        require(refused(7, {}), "an empty address");
        require(refused(7, std::vector<std::byte>(200, std::byte{0x11})), "garbage");
        require(refused(7, std::span(good).first(good.size() / 2)), "half an address");
        require(refused(0, good), "itself");
        require(refused(300, good), "a node out of range");
        require(refused(7, good, 0), "incarnation 0");
        good[good.size() / 2] ^= std::byte{0x40};
        require(refused(7, good), "a flipped bit");
    });
    EXPECT_EQ(ended[0].code, 0);
}

} // namespace
} // namespace norma::rpc::test
