// SPDX-License-Identifier: BSD-3-Clause
// Taking apart the packets of protocol.hpp: each is one of the heads there, and whatever else came is its blob.
#pragma once

#include "runtime/protocol.hpp"

#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

namespace norma::rt {

template <class Head> struct Packet {
    Head head;
    std::span<const std::byte> blob; // into the packet
};

// No value: too short for its head. A packet has any alignment, so the head is a copy.
template <class Head> std::optional<Packet<Head>> split_packet(std::span<const std::byte> bytes) {
    static_assert(std::is_trivially_copyable_v<Head> && std::has_unique_object_representations_v<Head>);
    if (bytes.size() < sizeof(Head)) {
        return std::nullopt;
    }
    Packet<Head> packet;
    std::memcpy(&packet.head, bytes.data(), sizeof(Head));
    packet.blob = bytes.subspan(sizeof(Head));
    return packet;
}

} // namespace norma::rt
