// SPDX-License-Identifier: BSD-3-Clause
// The records node servers send each other, behind rpc's own header. The first byte says which.
#pragma once

#include "dsm/core/core.hpp"
#include "runtime/address_map.hpp"
#include "runtime/protocol.hpp"
#include "runtime/right.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace norma::rt {

enum class PeerMsg : std::uint8_t { coherence = 1, request, reply, bulk };

// An object's right: task is home node 16 | its incarnation 16 | stretch 32, thread its serial number. It has no key,
// as any node of the job may attach to any object, but for this one: who has it may not write in the object.
inline constexpr Key kReadOnly{.low = 1};
constexpr Right right_of(const Stretch &stretch, Right::Kind kind) {
    const auto &[home, incarnation, serial] = stretch.object;
    return {.kind = kind,
            .task = TaskId{home} << 48 | TaskId{incarnation & 0xffff} << 32 | (stretch.number & 0xffffffff),
            .thread = serial};
}

// Where the object with this name is, or would be made. The same on every node, whoever has built it.
constexpr dsm::NodeId home_of_name(std::span<const std::byte> name, unsigned nodes) {
    std::uint64_t hash = 0xcbf29ce484222325; // FNV-1a
    for (const auto byte : name) {
        hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
    }
    return static_cast<dsm::NodeId>(hash % nodes);
}

// Who makes a request: vouched for by the caller's node server.
struct Caller {
    dsm::NodeId node = 0;
    TaskId task = 0;
    std::uint64_t thread = 0; // unique in the job while the thread lives
    std::uint64_t call = 0;   // unique among the calls of the node
    std::uint64_t token = 0;  // the task's security token
    int channel = -1;         // of the thread, on its own node; does not travel
};

struct Request {
    Op op{};
    Caller caller;
    Right target;
    std::array<std::uint64_t, kOpArgs> args{};
    std::vector<std::byte> blob;
};

struct Reply {
    std::int32_t status = 0;
    std::array<std::uint64_t, kOpVals> vals{};
    std::vector<Right> rights;
    std::vector<std::byte> blob;
};

// Coherence messages are the hot path, so they are one flat structure rather than a list of fields. A message between
// nodes holds one or more of them.
//
//   0        1       2      3      4            8          12           16              24
//   | kind=1 | type  | write| have | requester  | home     | incarnation| serial        |
//   24           32         40        48        56        64        68     69      72
//   | txn        | request  | base    | mask    | zero    | count  | lost | 0 0 0  |
struct CoherenceRecord {
    std::uint8_t kind, type, write, have;
    std::uint32_t requester, home, incarnation;
    std::uint64_t serial, txn, request, base, mask, zero;
    std::uint32_t count;
    std::uint8_t lost;
    std::uint8_t reserved[3];
};
static_assert(sizeof(CoherenceRecord) == 72 && offsetof(CoherenceRecord, serial) == 16 &&
              offsetof(CoherenceRecord, count) == 64);

CoherenceRecord encode(const dsm::ObjectId &object, const dsm::Msg &msg);
// No value: not a valid record.
struct Coherence {
    dsm::ObjectId object;
    dsm::Msg msg;
};
std::optional<Coherence> decode_coherence(std::span<const std::byte> record);

// A second right of a request, beside its target: to a task or an object. Args 0: task; 1: a task's key or an object's
// serial number; 5: the rest of the key.
void put_argument(Request &request, const Right &right);
Right task_argument(const Request &request);
dsm::ObjectId object_argument(const Request &request); // serial 0: it was the null name
bool argument_is_read_only(const Request &request);    // of an object

// Further rights of a request, as its blob; kind none stands for the null name.
std::vector<std::byte> encode(std::span<const Right> rights);
// No value: not so many rights.
std::optional<std::vector<Right>> decode_rights(std::span<const std::byte> bytes, std::size_t count);

std::vector<std::byte> encode(const Request &request);
std::optional<Request> decode_request(std::span<const std::byte> record);
std::vector<std::byte> encode(std::uint64_t call, const Reply &reply);
std::optional<Reply> decode_reply(std::span<const std::byte> record, std::uint64_t &call);

} // namespace norma::rt
