// SPDX-License-Identifier: BSD-3-Clause
// The header in front of every record, and the one place where bytes from another node are judged before anything else
// looks at them.
//
//    0        2        4        6        8                                16
//   +--------+--------+--------+--------+----------------------------------+
//   | magic  |version | source |  dest. | job key                          |
//   +--------+--------+--------+--------+----------------+-----------------+  32
//   | sequence number of the connection | incarnation of | incarnation of  |
//   | (from 0)                          | the source     | the destination |
//   +-----------------+-----------------+----------------+-----------------+
//   | record bytes    | payload bytes   |                                     40
//   +-----------------+-----------------+
//   then the record, then the payload; everything little-endian, nothing padded
#pragma once

#include "rpc/transport.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace norma::rpc {

inline constexpr std::uint16_t kMessageMagic = 0x6d4e;
inline constexpr std::uint16_t kWireVersion = 6;

struct MessageHeader {
    std::uint16_t magic = kMessageMagic;
    std::uint16_t version = kWireVersion;
    NodeId source = 0;
    NodeId destination = 0;
    std::uint64_t job_key = 0;
    std::uint64_t sequence = 0;
    std::uint32_t source_incarnation = 0;
    std::uint32_t destination_incarnation = 0;
    std::uint32_t record_bytes = 0;
    std::uint32_t payload_bytes = 0;
    bool operator==(const MessageHeader &) const = default;
};
inline constexpr std::size_t kHeaderBytes = 40;
static_assert(sizeof(MessageHeader) == kHeaderBytes);
static_assert(std::is_trivially_copyable_v<MessageHeader> && std::has_unique_object_representations_v<MessageHeader>);
static_assert(offsetof(MessageHeader, magic) == 0 && offsetof(MessageHeader, version) == 2);
static_assert(offsetof(MessageHeader, source) == 4 && offsetof(MessageHeader, destination) == 6);
static_assert(offsetof(MessageHeader, job_key) == 8 && offsetof(MessageHeader, sequence) == 16);
static_assert(offsetof(MessageHeader, source_incarnation) == 24);
static_assert(offsetof(MessageHeader, destination_incarnation) == 28);
static_assert(offsetof(MessageHeader, record_bytes) == 32 && offsetof(MessageHeader, payload_bytes) == 36);

// Why a message is not taken.
enum class Verdict : std::uint8_t {
    ok,
    garbage,
    version,
    key,
    incarnation, // from, or for, another life of a node
    gone,        // from a node that has been disconnected: it was on its way
};
const char *describe(Verdict verdict); // "it is for another job"

// Incarnations count from 1. In a table of peers, 0 stands for a node that has not been connected yet (any incarnation
// is taken, the caller waits for connect() to tell), and kNoIncarnation for one from which nothing is wanted any more.
inline constexpr std::uint32_t kNoIncarnation = 0xffffffff;

struct Expected {
    NodeId self = 0;
    std::uint32_t incarnation = 0;
    std::uint64_t job_key = 0;
    std::span<const std::uint32_t> peers; // incarnation of each node, by node id
};

struct Message {
    MessageHeader header;
    std::span<const std::byte> record;
    std::span<const std::byte> payload;
};

void encode_header(const MessageHeader &header, std::span<std::byte, kHeaderBytes> out);

// A message comes either as `front` (header and record) and `data` (payload), or, if the front did not fit the
// network's header, with an empty `front` and everything in `data`. `message` is set only if the verdict is ok, and
// points into the two spans.
Verdict decode_message(std::span<const std::byte> front, std::span<const std::byte> data, const Expected &expected,
                       Message &message);

} // namespace norma::rpc
