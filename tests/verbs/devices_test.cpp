// SPDX-License-Identifier: BSD-3-Clause
// Which device, port and GID are chosen.
#include "endpoint.hpp"

#include "rpc/verbs/devices.hpp"

namespace norma::rpc::verbs::fake {
namespace {

std::string refusal(const std::vector<Candidate> &candidates, const VerbsSettings &settings) {
    try {
        choose(candidates, settings);
    } catch (const std::runtime_error &error) {
        return error.what();
    }
    return "";
}

TEST(VerbsDevices, AnIpv4AddressIsPreferred) {
    Fabric fabric;
    FakeProvider provider(fabric);
    const auto candidates = find_candidates(provider);
    ASSERT_EQ(candidates.size(), 2u);
    const auto &best = choose(candidates, {});
    EXPECT_EQ(best.text(), "fake0 port 1 GID 1 (10.0.0.1, RoCE v2, MTU 1024, active)");
    const auto address = best.address(99);
    const auto &v4 = reinterpret_cast<const sockaddr_in &>(address);
    EXPECT_EQ(v4.sin_family, AF_INET);
    EXPECT_EQ(ntohs(v4.sin_port), 99);
    EXPECT_EQ(ntohl(v4.sin_addr.s_addr), 0x0a000001u);
}

TEST(VerbsDevices, SettingsDecide) {
    Fabric fabric;
    FakeProvider provider(fabric);
    provider.add_device("fake1").gids = provider.device().gids;
    const auto candidates = find_candidates(provider);
    EXPECT_EQ(choose(candidates, {.device = "fake1"}).device, "fake1");
    const auto &local = choose(candidates, {.gid_index = 0});
    EXPECT_EQ(local.ip(), "fe80::1");
    const auto address = local.address(99);
    const auto &v6 = reinterpret_cast<const sockaddr_in6 &>(address);
    EXPECT_EQ(v6.sin6_family, AF_INET6);
    EXPECT_EQ(v6.sin6_scope_id, 2u) << "a link-local address is of no use without its network";
    EXPECT_NE(refusal(candidates, {.device = "mlx5_9"}).find("'mlx5_9'"), std::string::npos);
    EXPECT_NE(refusal(candidates, {.port = 2}).find("port 2"), std::string::npos);
    EXPECT_NE(refusal(candidates, {.gid_index = 7}).find("GID index 7"), std::string::npos);
}

TEST(VerbsDevices, WhatIsNotActiveOrNotRoceIsNotUsed) {
    Fabric fabric;
    FakeProvider provider(fabric);
    provider.device().port.state = IBV_PORT_DOWN;
    EXPECT_NE(refusal(find_candidates(provider), {}).find("not active"), std::string::npos);
    provider.device().port.state = IBV_PORT_ACTIVE;
    for (auto &gid : provider.device().gids) {
        gid.gid_type = IBV_GID_TYPE_ROCE_V1;
    }
    EXPECT_NE(refusal(find_candidates(provider), {}).find("not RoCE v2"), std::string::npos);
    EXPECT_NE(refusal({}, {}).find("nothing"), std::string::npos);
}

TEST(VerbsDevices, AnAddressOfAnotherDeviceIsRefused) {
    Fabric fabric;
    Endpoint endpoint(fabric, 0);
    endpoint.provider.add_device("fake1").gids = endpoint.provider.device().gids;
    endpoint.transport.reset();
    // librdmacm, pretended, always binds to the first device.
    EXPECT_THROW(endpoint.start({.device = "fake1"}), std::runtime_error);
    endpoint.start({.device = "fake0"});
    EXPECT_NE(endpoint.transport->describe().find("10.0.0.1"), std::string::npos);
}

TEST(VerbsDevices, ALimitOnLockedMemoryIsNamedAtTheStart) {
    Fabric fabric;
    try {
        const Endpoint endpoint(fabric, 0, {.lockable = 1 << 20});
        FAIL();
    } catch (const std::runtime_error &error) {
        EXPECT_NE(std::string(error.what()).find("ulimit -l"), std::string::npos) << error.what();
    }
}

} // namespace
} // namespace norma::rpc::verbs::fake
