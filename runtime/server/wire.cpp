// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/wire.hpp"

#include "rpc/wire.hpp"

#include <cstring>

namespace norma::rt {

CoherenceRecord encode(const dsm::ObjectId &object, const dsm::Msg &msg) {
    return {.kind = static_cast<std::uint8_t>(PeerMsg::coherence),
            .type = static_cast<std::uint8_t>(msg.type),
            .write = msg.write,
            .have = msg.have,
            .requester = msg.requester,
            .home = object.home,
            .incarnation = object.incarnation,
            .serial = object.serial,
            .txn = msg.txn,
            .request = msg.request,
            .base = msg.base,
            .mask = msg.mask,
            .zero = msg.zero,
            .count = msg.count,
            .lost = msg.lost,
            .reserved = {}};
}

std::optional<Coherence> decode_coherence(std::span<const std::byte> record) {
    CoherenceRecord raw;
    if (record.size() != sizeof raw) {
        return std::nullopt;
    }
    std::memcpy(&raw, record.data(), sizeof raw);
    if (raw.type < static_cast<std::uint8_t>(dsm::MsgType::get) ||
        raw.type > static_cast<std::uint8_t>(dsm::MsgType::homeless) || raw.write > 1 || raw.have > 1 || raw.lost > 1 ||
        raw.requester >= dsm::kMaxNodes || raw.home >= dsm::kMaxNodes) {
        return std::nullopt;
    }
    return Coherence{.object = {.home = raw.home, .incarnation = raw.incarnation, .serial = raw.serial},
                     .msg = {.type = static_cast<dsm::MsgType>(raw.type),
                             .write = raw.write != 0,
                             .have = raw.have != 0,
                             .requester = static_cast<dsm::NodeId>(raw.requester),
                             .count = raw.count,
                             .txn = raw.txn,
                             .request = raw.request,
                             .base = raw.base,
                             .mask = raw.mask,
                             .zero = raw.zero,
                             .lost = raw.lost != 0}};
}

void put_argument(Request &request, const Right &right) {
    request.args[0] = right.task;
    request.args[1] = right.kind == Right::Kind::task ? right.key.high : right.thread;
    request.args[5] = right.key.low;
}

Right task_argument(const Request &request) {
    return {.kind = Right::Kind::task,
            .task = request.args[0],
            .thread = 0,
            .key = {.high = request.args[1], .low = request.args[5]}};
}

dsm::ObjectId object_argument(const Request &request) {
    const auto place = request.args[0];
    return {.home = node_of(place), .incarnation = static_cast<std::uint16_t>(place >> 32), .serial = request.args[1]};
}

bool argument_is_read_only(const Request &request) {
    return request.args[5] == kReadOnly.low;
}

std::vector<std::byte> encode(std::span<const Right> rights) {
    rpc::Writer writer;
    for (const auto &right : rights) {
        put_right(writer, right);
    }
    return writer.bytes();
}

std::optional<std::vector<Right>> decode_rights(std::span<const std::byte> bytes, std::size_t count) {
    rpc::Reader reader(bytes);
    std::vector<Right> rights(count);
    bool known = true;
    for (auto &right : rights) {
        known = get_right(reader, right) && known;
    }
    return known && reader.done() ? std::optional(rights) : std::nullopt;
}

std::vector<std::byte> encode(const Request &request) {
    rpc::Writer writer;
    writer.put(PeerMsg::request).put(request.op).put(request.caller.node).put(request.caller.task);
    writer.put(request.caller.thread).put(request.caller.call).put(request.caller.token);
    put_right(writer, request.target);
    for (const auto arg : request.args) {
        writer.put(arg);
    }
    writer.put_bytes(request.blob);
    return writer.bytes();
}

std::optional<Request> decode_request(std::span<const std::byte> record) {
    rpc::Reader reader(record);
    Request request;
    reader.get<PeerMsg>();
    request.op = reader.get<Op>();
    request.caller.node = reader.get<dsm::NodeId>();
    request.caller.task = reader.get<TaskId>();
    request.caller.thread = reader.get<std::uint64_t>();
    request.caller.call = reader.get<std::uint64_t>();
    request.caller.token = reader.get<std::uint64_t>();
    const bool known = get_right(reader, request.target);
    for (auto &arg : request.args) {
        arg = reader.get<std::uint64_t>();
    }
    const auto blob = reader.get_bytes();
    request.blob.assign(blob.begin(), blob.end());
    if (!reader.done() || !known) {
        return std::nullopt;
    }
    return request;
}

std::vector<std::byte> encode(std::uint64_t call, const Reply &reply) {
    rpc::Writer writer;
    writer.put(PeerMsg::reply).put(call).put(reply.status);
    for (const auto val : reply.vals) {
        writer.put(val);
    }
    writer.put(static_cast<std::uint32_t>(reply.rights.size()));
    for (const auto &right : reply.rights) {
        put_right(writer, right);
    }
    writer.put_bytes(reply.blob);
    return writer.bytes();
}

std::optional<Reply> decode_reply(std::span<const std::byte> record, std::uint64_t &call) {
    rpc::Reader reader(record);
    Reply reply;
    reader.get<PeerMsg>();
    call = reader.get<std::uint64_t>();
    reply.status = reader.get<std::int32_t>();
    for (auto &val : reply.vals) {
        val = reader.get<std::uint64_t>();
    }
    const auto rights = reader.get_count(kRightBytes);
    for (std::uint32_t i = 0; i < rights; ++i) {
        Right right;
        if (!get_right(reader, right)) {
            return std::nullopt;
        }
        reply.rights.push_back(right);
    }
    const auto blob = reader.get_bytes();
    reply.blob.assign(blob.begin(), blob.end());
    if (!reader.done()) {
        return std::nullopt;
    }
    return reply;
}

} // namespace norma::rt
