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

std::vector<Kind> kinds_of_processes() {
    auto all = kinds();
    std::erase_if(all, [](const Kind &kind) { return !kind.processes; });
    return all;
}

INSTANTIATE_TEST_SUITE_P(Kinds, TransportRemains, testing::ValuesIn(kinds_of_processes()),
                         [](const auto &instance) { return instance.param.name; });

} // namespace
} // namespace norma::rpc::test
