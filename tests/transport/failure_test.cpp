// SPDX-License-Identifier: BSD-3-Clause
// Every network: what is not for this node is dropped, what dies is noticed, and what comes back is taken.
#include "harness.hpp"

#include <algorithm>
#include <optional>

#include <gtest/gtest.h>

namespace norma::rpc::test {
namespace {

const std::vector<std::byte> kRecord(24, std::byte{0x42});

class TransportFailure : public testing::TestWithParam<Kind> {
  protected:
    static Plan plan(unsigned nodes = 2) {
        Plan plan;
        plan.kind = GetParam();
        plan.wait = plan.kind.blocks ? Wait::block : Wait::spin;
        plan.nodes = nodes;
        return plan;
    }
};

// Node 1 is misguided in some way and sends ten messages; node 0 must see none and count all. A network that refuses
// the whole connection counts that, and calls the peer down, on either side.
void expect_dropped(const Plan &plan, std::uint32_t incarnation_of_0, std::uint64_t Counters::*counter) {
    const auto ended = run_nodes(plan, [&](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect(1 - node.self(), node.self() == 1 ? incarnation_of_0 : 1);
        node.barrier(0);
        if (node.self() == 1) {
            for (unsigned n = 0; n < 10; ++n) {
                node.transport->send(0, kRecord, n % 2 == 0 ? nullptr : node.staged(kPageBytes, 1));
            }
        }
        const auto &counters = node.transport->counters();
        if (node.plan().kind.refuses_early) {
            node.run_until(
                [&] {
                    node.board().flag.fetch_or((counters.*counter != 0 ? 1u : 0u) | (node.downs.empty() ? 0u : 2u));
                    return node.board().flag.load() == 3;
                },
                10s);
        } else if (node.self() == 0) {
            node.run_until([&] { return counters.*counter == 10 || got != 0; }, 10s);
            require(node.downs.empty(), "the peer was called down");
        }
        require(got == 0 && counters.received == 0, "a message got through");
        node.barrier(1);
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
}

TEST_P(TransportFailure, AnotherJobsMessagesAreDroppedAndCounted) {
    auto plan = TransportFailure::plan();
    plan.options = [](Options &options) { options.job_key += options.self; };
    expect_dropped(plan, 1, &Counters::dropped_key);
}

TEST_P(TransportFailure, MessagesFromAFormerLifeAreDroppedAndCounted) {
    auto plan = TransportFailure::plan();
    plan.options = [](Options &options) { options.incarnation = options.self == 1 ? 2 : 1; };
    expect_dropped(plan, 1, &Counters::dropped_incarnation);
}

TEST_P(TransportFailure, MessagesForAFormerLifeAreDroppedAndCounted) {
    expect_dropped(TransportFailure::plan(), 9, &Counters::dropped_incarnation);
}

TEST_P(TransportFailure, NothingComesFromADisconnectedPeer) {
    const auto ended = run_nodes(plan(), [](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect_all();
        // UCX 1.13 aborts if a peer that it is still connecting goes while messages wait for that.
        node.transport->send(static_cast<NodeId>(1 - node.self()), kRecord, nullptr);
        node.run_until([&] { return got == 1; }, 10s);
        node.barrier(0);
        if (node.self() == 0) {
            node.transport->disconnect(1);
            node.transport->disconnect(1);
            node.transport->send(1, kRecord, node.staged(kPageBytes, 1));
        }
        node.barrier(1);
        if (node.self() == 1) {
            node.transport->send(0, kRecord, nullptr);
        }
        node.barrier(2);
        require(got == 1, "a message after disconnect()");
        require(node.self() != 0 || node.downs.empty(), "down was called for a peer that was given up");
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
}

void run_for(Node &node, Clock::duration time) {
    const auto until = Clock::now() + time;
    node.run_until([until] { return Clock::now() > until; }, time + 1s);
}

// Node 1 is late, and what node 0 has announced to it is given up before node 1 reads it. The buffers may have other
// messages in them by then, so node 1 must get nothing, or what was meant for it.
TEST_P(TransportFailure, NothingIsReadThatItsSenderHasGivenUp) {
    const auto ended = run_nodes(plan(), [](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto payload) {
            ++got;
            require(std::ranges::all_of(payload, [](std::byte byte) { return byte == std::byte{1}; }),
                    "a message changed after it had been sent");
        };
        node.connect_all();
        node.transport->send(static_cast<NodeId>(1 - node.self()), kRecord, nullptr);
        node.run_until([&] { return got == 1; }, 10s);
        node.barrier(0);
        auto &flag = node.board().flag;
        if (node.self() == 1) {
            for (unsigned turns = 0; flag.load() == 0 && turns < 10000; ++turns) {
                std::this_thread::sleep_for(1ms);
            }
            run_for(node, 500ms);
        } else {
            node.transport->send(1, kRecord, node.staged(kMaxPayloadBytes, 1));
            run_for(node, 100ms);
            node.transport->disconnect(1);
            std::vector<StagingPtr> others;
            for (unsigned n = 0; n < 8; ++n) {
                others.push_back(node.staged(kMaxPayloadBytes, 2));
            }
            flag.store(1);
            run_for(node, 500ms);
        }
        node.barrier(1);
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
}

// Where a network's library would write, had it something to say.
class CapturedOutput {
  public:
    CapturedOutput() : file_(std::tmpfile()), stdout_(::dup(1)), stderr_(::dup(2)) {
        std::fflush(nullptr);
        ::dup2(::fileno(file_), 1);
        ::dup2(::fileno(file_), 2);
    }
    ~CapturedOutput() { release(); }
    std::string release() {
        if (file_ == nullptr) {
            return {};
        }
        std::fflush(nullptr);
        ::dup2(stdout_, 1);
        ::dup2(stderr_, 2);
        ::close(stdout_);
        ::close(stderr_);
        std::rewind(file_);
        std::string text(4096, '\0');
        text.resize(std::fread(text.data(), 1, text.size(), file_));
        std::fclose(std::exchange(file_, nullptr));
        return text;
    }

  private:
    std::FILE *file_;
    int stdout_, stderr_;
};

enum class Traffic { none, some, flood };

// Node 2 dies by SIGKILL. The others, asleep, hear of it within two seconds, once, and go on talking to each other.
void kill_a_node(Plan plan, Traffic traffic) {
    plan.nodes = 3;
    const auto ended = run_nodes(plan, [&](Node &node) {
        std::optional<CapturedOutput> output;
        if (plan.kind.processes) {
            output.emplace();
        }
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect_all();
        node.barrier(0);
        if (traffic != Traffic::none) {
            for (NodeId peer = 0; peer < 3; ++peer) {
                if (peer != node.self()) {
                    node.transport->send(peer, kRecord, node.staged(kPageBytes, 1));
                }
            }
            node.run_until([&] { return got == 2; }, 10s);
            node.barrier(1);
        }
        if (node.self() == 2) {
            node.die();
        }
        if (traffic == Traffic::flood) {
            for (unsigned n = 0; n < std::max(20u, 300 / plan.kind.divide); ++n) {
                node.transport->send(2, kRecord, node.staged(kMaxPayloadBytes, 2));
            }
        }
        const auto start = Clock::now();
        node.wait_until([&] { return !node.downs.empty(); }, 5s);
        require(Clock::now() - start < 2s, "it took too long to notice");
        require(node.downs[0].first == 2 && !node.downs[0].second.empty(), "the wrong node was called down");
        node.transport->send(2, kRecord, node.staged(kMaxPayloadBytes, 2));
        const NodeId other = 1 - static_cast<NodeId>(node.self());
        const unsigned before = traffic == Traffic::none ? 0 : 2;
        node.transport->send(other, kRecord, node.staged(kMaxPayloadBytes, 2));
        node.wait_until([&] { return got == before + 1; }, 5s);
        require(std::ranges::count(node.downs, NodeId{2}, [](const auto &down) { return down.first; }) == 1,
                "down was called twice");
        node.board().flag.fetch_add(1);
        node.run_until([&] { return node.board().flag.load() == 2; }, 5s);
        const auto leaving = Clock::now();
        node.transport.reset();
        require(Clock::now() - leaving < 3s, "the destructor hung");
        const auto said = output ? output->release() : "";
        require(said.empty(), "the network's library said: " + said);
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
    EXPECT_TRUE(ended[2].killed);
}

TEST_P(TransportFailure, AKilledPeerIsNoticed) {
    kill_a_node(plan(), Traffic::some);
}
TEST_P(TransportFailure, AKilledPeerIsNoticedWithoutAnyTrafficBefore) {
    kill_a_node(plan(), Traffic::none);
}
TEST_P(TransportFailure, AKilledPeerIsNoticedUnderLoad) {
    kill_a_node(plan(), Traffic::flood);
}

// A node that comes back has a new incarnation and a new address; its peers connect to it anew.
TEST_P(TransportFailure, APeerCanBeConnectedAgain) {
    const auto ended = run_nodes(plan(), [](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect_all();
        node.barrier(0);
        node.transport->send(static_cast<NodeId>(1 - node.self()), kRecord, nullptr);
        node.run_until([&] { return got == 1; }, 10s);
        node.barrier(1);
        if (node.self() == 1) {
            node.start({.self = 1, .kind = node.plan().kind.name, .job_key = kTestKey, .incarnation = 2});
        } else if (!node.plan().kind.misses_ends) {
            node.wait_until([&] { return !node.downs.empty(); }, 5s);
        } else {
            // The process lives on, so this network has no way to tell; the launcher would.
            node.transport->disconnect(1);
        }
        node.barrier(2);
        node.connect(1 - node.self(), node.self() == 0 ? 2 : 1);
        node.barrier(3);
        node.transport->send(static_cast<NodeId>(1 - node.self()), kRecord, node.staged(kPageBytes, 1));
        node.run_until([&] { return got == 2; }, 10s);
        const auto downs = node.downs.size(); // behind the barrier the other node may end
        node.barrier(4);
        require(downs == (node.self() == 0 && !node.plan().kind.misses_ends ? 1u : 0u),
                "down was called for the new connection");
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
}

// Nodes on both sides of it in number, as that may decide who has to reach out.
TEST_P(TransportFailure, APeerThatDiedBeforeTheConnectionIsNoticed) {
    if (GetParam().misses_strangers) {
        GTEST_SKIP() << "this network cannot tell";
    }
    const auto ended = run_nodes(plan(3), [](Node &node) {
        node.run_until([&] { return node.board().slots[1].address_bytes.load() != 0; }, 10s);
        if (node.self() == 1) {
            node.board().flag.store(1);
            node.die();
        }
        node.run_until([&] { return node.board().flag.load() == 1; }, 10s);
        std::this_thread::sleep_for(200ms);
        bool refused = false;
        try {
            node.connect(1);
        } catch (const std::runtime_error &) {
            refused = true;
        }
        node.transport->send(1, kRecord, nullptr);
        node.wait_until([&] { return refused || !node.downs.empty(); }, 10s);
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[2].code, 0);
}

// Node 1 begins one life after the other. Whatever a connection takes must be given back in time for the next.
TEST_P(TransportFailure, ThousandsOfConnects) {
    const unsigned lives = std::max(4u, (GetParam().processes ? 40 : 2000) / GetParam().divide);
    const auto ended = run_nodes(plan(), [lives](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto payload) { got += payload.size() == kPageBytes ? 1 : 0; };
        const auto other = static_cast<NodeId>(1 - node.self());
        for (unsigned life = 1; life <= lives; ++life) {
            if (node.self() == 1 && life > 1) {
                node.start({.self = 1, .kind = node.plan().kind.name, .job_key = kTestKey, .incarnation = life});
            }
            node.barrier(0, life - 1);
            node.connect(other, node.self() == 0 ? life : 1);
            node.barrier(3, life - 1); // what a new life sends before connect() counts as the old one's
            node.transport->send(other, kRecord, node.staged(kPageBytes, 1));
            node.run_until([&] { return got == life; }, 20s);
            node.barrier(1, life - 1);
            node.transport->disconnect(other);
            node.barrier(2, life - 1);
        }
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, TransportFailure, testing::ValuesIn(kinds()),
                         [](const auto &instance) { return instance.param.name; });

} // namespace
} // namespace norma::rpc::test
