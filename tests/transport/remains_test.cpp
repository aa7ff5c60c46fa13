// SPDX-License-Identifier: BSD-3-Clause
// What killed processes leave in the machine's shared memory: nothing.
#include "harness.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace norma::rpc::test {
namespace {

const std::vector<std::byte> kRecord(24, std::byte{0x42});

class TransportRemains : public testing::TestWithParam<Kind> {};

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

TEST_P(TransportRemains, KilledProcessesLeaveNoSharedMemory) {
    Plan plan;
    plan.kind = GetParam();
    const auto before = shared_memory();
    const auto ended = run_nodes(plan, [](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId, auto, auto) { ++got; };
        node.connect_all();
        node.barrier(0);
        node.transport->send(static_cast<NodeId>(1 - node.self()), kRecord, node.staged(kMaxPayloadBytes, 1));
        node.run_until([&] { return got == 1; }, 10s);
        node.barrier(1);
        node.die();
    });
    EXPECT_TRUE(ended[0].killed && ended[1].killed);
    EXPECT_EQ(shared_memory(), before);
}

// Node 2 floods node 0, and is killed by node 1 somewhere in the middle; then node 1 must get through all the same.
void kill_a_writer(const Plan &plan, std::chrono::microseconds after) {
    const auto ended = run_nodes(plan, [&](Node &node) {
        unsigned got = 0;
        node.on_message = [&](NodeId from, auto, auto) { got += from < 2 ? 1 : 0; };
        node.connect_all();
        const unsigned others = node.self() == 2 ? 2 : 1;
        for (unsigned round = 1; round <= 2; ++round) { // all know each other well
            for (NodeId peer = 0; peer < 3; ++peer) {
                if (peer != node.self()) {
                    node.transport->send(peer, kRecord, nullptr);
                }
            }
            node.run_until([&] { return got == round * others; }, 10s);
            node.barrier(0, round - 1);
        }
        got = 0;
        auto &writer = node.board().flag;
        if (node.self() == 2) {
            writer.store(static_cast<std::uint32_t>(::getpid()));
            for (;;) {
                node.transport->send(0, kRecord, node.staged(kPageBytes, 1));
                node.transport->progress();
            }
        }
        if (node.self() == 1) {
            node.run_until([&] { return writer.load() != 0; }, 10s);
            std::this_thread::sleep_for(after);
            ::kill(static_cast<pid_t>(writer.load()), SIGKILL);
            node.transport->send(0, kRecord, nullptr);
        } else {
            node.run_until([&] { return got == 1; }, 10s);
        }
        node.board().arrived[1].fetch_add(1);
        node.run_until([&] { return node.board().arrived[1].load() == 2; }, 10s);
    });
    EXPECT_EQ(ended[0].code, 0);
    EXPECT_EQ(ended[1].code, 0);
    EXPECT_TRUE(ended[2].killed);
}

TEST_P(TransportRemains, AProcessKilledWhileItWritesBlocksNobodyElse) {
    Plan plan;
    plan.kind = GetParam();
    plan.nodes = 3;
    for (unsigned round = 0; round < 20 && !HasFailure(); ++round) {
        kill_a_writer(plan, std::chrono::microseconds(1000 + 137 * round));
    }
}

std::vector<Kind> kinds_of_processes() {
    auto all = kinds();
    std::erase_if(all, [](const Kind &kind) { return !kind.processes; });
    return all;
}

INSTANTIATE_TEST_SUITE_P(Kinds, TransportRemains, testing::ValuesIn(kinds_of_processes()),
                         [](const auto &instance) { return instance.param.name; });

} // namespace
} // namespace norma::rpc::test
