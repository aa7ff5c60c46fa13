// SPDX-License-Identifier: BSD-3-Clause
// What is not for this node is dropped, what dies is noticed, and nothing is left behind.
#include "rpc_harness.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace norma::rpc::test {
namespace {

const std::vector<std::byte> kRecord(24, std::byte{0x42});

class RpcFailure : public testing::TestWithParam<const char *> {
  protected:
    static Plan plan(unsigned nodes = 2) {
        Plan plan;
        plan.kind = GetParam();
        plan.wait = Wait::block;
        plan.nodes = nodes;
        return plan;
    }
};

// Node 1 is misguided in some way and sends ten messages; node 0 must see none and count all.
void expect_dropped(Plan plan, std::uint32_t incarnation_of_0, std::uint64_t Counters::*counter) {
    const auto ended = run_nodes(plan, [&](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect(1 - node.self(), node.self() == 1 ? incarnation_of_0 : 1);
        node.barrier(0);
        if (node.self() == 1) {
            for (unsigned n = 0; n < 10; ++n) {
                node.transport->send(0, kRecord, n % 2 == 0 ? nullptr : node.staged(kPageBytes, 1));
            }
        } else {
            const auto &counters = node.transport->counters();
            node.run_until([&] { return counters.*counter == 10 || got != 0; }, 10s);
            require(got == 0 && counters.received == 0, "a message got through");
            require(node.downs.empty(), "the peer was called down");
        }
        node.barrier(1);
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
}

TEST_P(RpcFailure, AnotherJobsMessagesAreDroppedAndCounted) {
    auto plan = RpcFailure::plan();
    plan.options = [](Options &options) { options.job_key += options.self; };
    expect_dropped(plan, 1, &Counters::dropped_key);
}

TEST_P(RpcFailure, MessagesFromAFormerLifeAreDroppedAndCounted) {
    auto plan = RpcFailure::plan();
    plan.options = [](Options &options) { options.incarnation = options.self == 1 ? 2 : 1; };
    expect_dropped(plan, 1, &Counters::dropped_incarnation);
}

TEST_P(RpcFailure, MessagesForAFormerLifeAreDroppedAndCounted) {
    expect_dropped(RpcFailure::plan(), 9, &Counters::dropped_incarnation);
}

TEST_P(RpcFailure, NothingComesFromADisconnectedPeer) {
    const auto ended = run_nodes(plan(), [](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect_all();
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
        require(got == 0, "a message after disconnect()");
        require(node.self() != 0 || node.downs.empty(), "down was called for a peer that was given up");
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
}

// Where UCX would write, had it something to say.
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
        CapturedOutput output;
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
            ::kill(::getpid(), SIGKILL);
        }
        if (traffic == Traffic::flood) {
            for (unsigned n = 0; n < 300; ++n) {
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
        const auto said = output.release();
        require(said.empty(), "UCX said: " + said);
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
    EXPECT_TRUE(ended[2].killed);
}

TEST_P(RpcFailure, AKilledPeerIsNoticed) {
    kill_a_node(plan(), Traffic::some);
}
TEST_P(RpcFailure, AKilledPeerIsNoticedWithoutAnyTrafficBefore) {
    kill_a_node(plan(), Traffic::none);
}
TEST_P(RpcFailure, AKilledPeerIsNoticedUnderLoad) {
    kill_a_node(plan(), Traffic::flood);
}

std::vector<std::string> shared_memory() {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator("/dev/shm")) {
        if (entry.path().filename().string().find("ucx") != std::string::npos) {
            names.push_back("/dev/shm/" + entry.path().filename().string());
        }
    }
    // Segments that are marked for removal go with their last user and do not count (mode has SHM_DEST, 01000).
    std::ifstream segments("/proc/sysvipc/shm");
    std::string line;
    std::getline(segments, line);
    while (std::getline(segments, line)) {
        long key = 0, id = 0;
        unsigned mode = 0;
        if (std::sscanf(line.c_str(), "%ld %ld %o", &key, &id, &mode) == 3 && (mode & 01000u) == 0) {
            names.push_back(fmt::format("sysv {}", id));
        }
    }
    std::ranges::sort(names);
    return names;
}

TEST_P(RpcFailure, KilledProcessesLeaveNoSharedMemory) {
    const auto before = shared_memory();
    const auto ended = run_nodes(plan(), [](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect_all();
        node.barrier(0);
        node.transport->send(static_cast<NodeId>(1 - node.self()), kRecord, node.staged(kMaxPayloadBytes, 1));
        node.run_until([&] { return got == 1; }, 10s);
        node.barrier(1);
        ::kill(::getpid(), SIGKILL);
    });
    EXPECT_TRUE(ended[0].killed && ended[1].killed);
    EXPECT_EQ(shared_memory(), before);
}

// A node that comes back has a new incarnation and a new address; its peers connect to it anew.
TEST_P(RpcFailure, APeerCanBeConnectedAgain) {
    const auto ended = run_nodes(plan(), [](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect_all();
        node.barrier(0);
        node.transport->send(static_cast<NodeId>(1 - node.self()), kRecord, nullptr);
        node.run_until([&] { return got == 1; }, 10s);
        node.barrier(1);
        if (node.self() == 1) {
            node.transport.reset();
            Handlers handlers;
            handlers.message = [&](NodeId, auto, auto) { ++got; };
            node.transport = make_transport(
                {.self = 1, .kind = node.plan().kind, .job_key = kTestKey, .incarnation = 2}, std::move(handlers));
            const auto address = node.transport->address();
            auto &slot = node.board().slots[1];
            std::memcpy(slot.address, address.data(), address.size());
            slot.address_bytes.store(static_cast<std::uint32_t>(address.size()));
        } else if (node.plan().kind == "tcp") {
            node.wait_until([&] { return !node.downs.empty(); }, 5s);
        } else {
            // The process lives on, so shared memory has no way to tell; the launcher would.
            node.transport->disconnect(1);
        }
        node.barrier(2);
        node.connect(1 - node.self(), node.self() == 0 ? 2 : 1);
        node.barrier(3);
        node.transport->send(static_cast<NodeId>(1 - node.self()), kRecord, node.staged(kPageBytes, 1));
        node.run_until([&] { return got == 2; }, 10s);
        node.barrier(4);
        require(node.downs.size() == (node.self() == 0 && node.plan().kind == "tcp" ? 1u : 0u),
                "down was called for the new connection");
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, RpcFailure, testing::Values("tcp", "shm", "ucx"),
                         [](const auto &instance) { return std::string(instance.param); });

} // namespace
} // namespace norma::rpc::test
