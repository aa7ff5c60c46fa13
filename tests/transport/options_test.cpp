// SPDX-License-Identifier: BSD-3-Clause
// What make_transport() and connect() refuse.
#include "harness.hpp"

#include <gtest/gtest.h>

namespace norma::rpc::test {
namespace {

std::string failure_of(const std::function<void()> &action) {
    try {
        action();
    } catch (const std::runtime_error &error) {
        return error.what();
    }
    return "";
}

TEST(TransportOptions, MistakesAreNamed) {
    const auto failure = [](Options options) { return failure_of([&] { make_transport(options, {}); }); };
    EXPECT_NE(failure({.kind = "carrier-pigeon"}).find("carrier-pigeon"), std::string::npos);
    EXPECT_NE(failure({.self = 300, .kind = "tcp"}).find("300"), std::string::npos);
    EXPECT_NE(failure({.kind = "tcp", .incarnation = 0}).find("incarnation 0"), std::string::npos);
}

// In a process of its own: UCX is not made to live across a fork.
TEST(TransportOptions, BadAddressesAreRefusedWithThePeersName) {
    Plan plan;
    plan.kind = {.name = "tcp"};
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
