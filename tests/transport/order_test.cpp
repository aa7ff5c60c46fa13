// SPDX-License-Identifier: BSD-3-Clause
// Every network: order, contents, floods, waiting.
#include "harness.hpp"

#include <algorithm>
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

class TransportOrder : public testing::TestWithParam<std::tuple<Kind, Wait>> {
  protected:
    static Plan plan(unsigned nodes = 2) {
        Plan plan;
        plan.kind = std::get<0>(GetParam());
        plan.wait = std::get<1>(GetParam());
        plan.nodes = nodes;
        return plan;
    }
    static unsigned some(unsigned count) { return std::max(4u, count / std::get<0>(GetParam()).divide); }
    static void expect_all_well(const std::vector<Ended> &ended) {
        for (std::size_t i = 0; i < ended.size(); ++i) {
            EXPECT_EQ(ended[i].code, 0) << "node " << i;
        }
    }
};

TEST_P(TransportOrder, KeepsTheOrderOfMixedSizesBothWays) {
    const std::uint64_t count = some(3000);
    expect_all_well(run_nodes(plan(3), [count](Node &node) {
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
        for (std::uint64_t n = 0; n < count; ++n) {
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
                if (peer != node.self() && next[peer] != count) {
                    return false;
                }
            }
            return true;
        });
        node.barrier(1);
        require(node.transport->counters().received == 2 * count, "wrong number of messages counted");
    }));
}

TEST_P(TransportOrder, FloodOfSmallMessagesThenLargeOnes) {
    const std::uint64_t small = some(100000);
    const std::uint64_t large = some(3000);
    expect_all_well(run_nodes(plan(), [small, large](Node &node) {
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
            require(payload.size() == (number < small ? 0 : 4 * kPageBytes), "wrong payload size");
            ++next;
        };
        node.connect_all();
        node.barrier(0);
        if (node.self() == 0) {
            // Nothing of this is taken off the sender's hands before it is all queued.
            for (std::uint64_t n = 0; n < small + large; ++n) {
                node.transport->send(1, numbered_record(n, 40),
                                     n < small ? nullptr : node.staged(4 * kPageBytes, static_cast<unsigned char>(n)));
            }
            node.wait_until([&] { return answered; });
        } else {
            node.wait_until([&] { return next == small + large; });
            node.transport->send(0, numbered_record(0, 8), nullptr);
        }
        node.barrier(1);
    }));
}

// Rounds of request and answer: each side sleeps (in blocking mode) until the other's message wakes it.
TEST_P(TransportOrder, EveryMessageWakesTheOtherSide) {
    // Two spinning processes that share a core with others hand it over once in a time slice.
    const unsigned rounds = some(std::get<1>(GetParam()) == Wait::block ? 20000 : 500);
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
TEST_P(TransportOrder, RoomInTheNetworkWakesTheSender) {
    const unsigned count = some(200);
    expect_all_well(run_nodes(plan(), [count](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect_all();
        node.barrier(0);
        for (unsigned round = 0; round < 5; ++round) {
            got = 0;
            if (node.self() == 0) {
                for (unsigned n = 0; n < count; ++n) {
                    node.transport->send(1, numbered_record(n, 16), node.staged(kMaxPayloadBytes, 3));
                }
                node.wait_until([&] { return got == 1; }, 30s);
            } else {
                std::this_thread::sleep_for(50ms);
                node.wait_until([&] { return got == count; }, 30s);
                node.transport->send(0, numbered_record(0, 16), nullptr);
            }
        }
        node.barrier(1);
    }));
}

// A node may hear from a peer before it has the peer's address itself.
TEST_P(TransportOrder, MessagesBeforeConnectAreDeliveredAfterIt) {
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

TEST_P(TransportOrder, SendingLastAndLeavingStillDelivers) {
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

// Blocking only where there is something to block on.
std::vector<std::tuple<Kind, Wait>> ways() {
    std::vector<std::tuple<Kind, Wait>> all;
    for (const auto &kind : kinds()) {
        all.emplace_back(kind, Wait::spin);
        if (kind.blocks) {
            all.emplace_back(kind, Wait::block);
        }
    }
    return all;
}

INSTANTIATE_TEST_SUITE_P(Kinds, TransportOrder, testing::ValuesIn(ways()), [](const auto &instance) {
    return std::get<0>(instance.param).name + (std::get<1>(instance.param) == Wait::spin ? "_spin" : "_block");
});

} // namespace
} // namespace norma::rpc::test
