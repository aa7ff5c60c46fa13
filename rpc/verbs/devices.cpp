// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/verbs/devices.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <stdexcept>
#include <tuple>

#include <fmt/format.h>

namespace norma::rpc::verbs {

namespace {

const in6_addr &as_ip(const ibv_gid &gid) {
    static_assert(sizeof(in6_addr) == sizeof(ibv_gid));
    return reinterpret_cast<const in6_addr &>(gid);
}

bool link_local(const Candidate &candidate) {
    return IN6_IS_ADDR_LINKLOCAL(&as_ip(candidate.gid));
}

bool empty(const ibv_gid &gid) {
    return gid.global.subnet_prefix == 0 && gid.global.interface_id == 0;
}

void add_port(Provider &provider, ibv_context *context, const std::string &device, std::uint8_t port,
              std::vector<Candidate> &found) {
    ibv_port_attr attr{};
    if (provider.query_port(context, port, &attr) != 0) {
        return;
    }
    for (int index = 0; index < attr.gid_tbl_len; ++index) {
        ibv_gid_entry entry{};
        if (provider.query_gid_ex(context, port, static_cast<std::uint32_t>(index), &entry) != 0 || empty(entry.gid)) {
            continue;
        }
        found.push_back({.device = device,
                         .port = port,
                         .gid_index = static_cast<unsigned>(index),
                         .gid = entry.gid,
                         .active = attr.state == IBV_PORT_ACTIVE,
                         .roce_v2 = entry.gid_type == IBV_GID_TYPE_ROCE_V2,
                         .mtu = 128u << attr.active_mtu,
                         .interface = entry.ndev_ifindex});
    }
}

bool allowed(const Candidate &candidate, const VerbsSettings &settings) {
    return (settings.device.empty() || candidate.device == settings.device) &&
           (settings.port == 0 || candidate.port == settings.port) &&
           (settings.gid_index < 0 || candidate.gid_index == static_cast<unsigned>(settings.gid_index));
}

// Larger is better; 0: of no use.
int rank(const Candidate &candidate) {
    if (!candidate.active || !candidate.roce_v2) {
        return 0;
    }
    return candidate.ipv4() ? 3 : link_local(candidate) ? 1 : 2;
}

std::string wanted(const VerbsSettings &settings) {
    std::string text;
    if (!settings.device.empty()) {
        text += fmt::format(" on device '{}'", settings.device);
    }
    if (settings.port != 0) {
        text += fmt::format(" on port {}", settings.port);
    }
    if (settings.gid_index >= 0) {
        text += fmt::format(" with GID index {}", settings.gid_index);
    }
    return text;
}

} // namespace

bool Candidate::ipv4() const {
    return IN6_IS_ADDR_V4MAPPED(&as_ip(gid));
}

std::string Candidate::ip() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (ipv4()) {
        ::inet_ntop(AF_INET, gid.raw + 12, text.data(), text.size());
    } else {
        ::inet_ntop(AF_INET6, gid.raw, text.data(), text.size());
    }
    return text.data();
}

std::string Candidate::text() const {
    return fmt::format("{} port {} GID {} ({}, {}, MTU {}, {})", device, port, gid_index, ip(),
                       roce_v2 ? "RoCE v2" : "not RoCE v2", mtu, active ? "active" : "not active");
}

sockaddr_storage Candidate::address(std::uint16_t cm_port) const {
    sockaddr_storage storage{};
    if (ipv4()) {
        auto &v4 = reinterpret_cast<sockaddr_in &>(storage);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(cm_port);
        std::memcpy(&v4.sin_addr, gid.raw + 12, sizeof v4.sin_addr);
    } else {
        auto &v6 = reinterpret_cast<sockaddr_in6 &>(storage);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(cm_port);
        std::memcpy(&v6.sin6_addr, gid.raw, sizeof v6.sin6_addr);
        v6.sin6_scope_id = link_local(*this) ? interface : 0;
    }
    return storage;
}

std::vector<Candidate> find_candidates(Provider &provider) {
    std::vector<Candidate> found;
    int count = 0;
    const Owned<ibv_device *, &Provider::free_device_list> devices(provider.get_device_list(&count), {&provider});
    for (int i = 0; devices && i < count; ++i) {
        auto *device = devices.get()[i];
        const Owned<ibv_context, &Provider::close_device> context(provider.open_device(device), {&provider});
        ibv_device_attr attr{};
        if (!context || provider.query_device(context.get(), &attr) != 0) {
            continue;
        }
        for (unsigned port = 1; port <= attr.phys_port_cnt; ++port) {
            add_port(provider, context.get(), provider.get_device_name(device), static_cast<std::uint8_t>(port), found);
        }
    }
    return found;
}

const Candidate &choose(const std::vector<Candidate> &candidates, const VerbsSettings &settings) {
    const Candidate *best = nullptr;
    for (const auto &candidate : candidates) {
        if (allowed(candidate, settings) && rank(candidate) > (best != nullptr ? rank(*best) : 0)) {
            best = &candidate;
        }
    }
    if (best != nullptr) {
        return *best;
    }
    std::vector<std::string> there;
    for (const auto &candidate : candidates) {
        there.push_back(candidate.text());
    }
    throw std::runtime_error(fmt::format("transport 'verbs': no RDMA port that is active and has a RoCE v2 address{}; "
                                         "there is: {}",
                                         wanted(settings),
                                         there.empty() ? "nothing" : fmt::format("{}", fmt::join(there, "; "))));
}

} // namespace norma::rpc::verbs
