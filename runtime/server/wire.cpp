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
        raw.type > static_cast<std::uint8_t>(dsm::MsgType::forget) || raw.write > 1 || raw.have > 1 || raw.lost > 1 ||
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

std::vector<std::byte> encode(const Request &request) {
    rpc::Writer writer;
    writer.put(PeerMsg::request).put(request.op).put(request.caller.node).put(request.caller.task);
    writer.put(request.caller.thread).put(request.caller.call);
    writer.put(request.target.kind).put(request.target.task).put(request.target.thread);
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
    request.target.kind = reader.get<Right::Kind>();
    request.target.task = reader.get<TaskId>();
    request.target.thread = reader.get<std::uint64_t>();
    for (auto &arg : request.args) {
        arg = reader.get<std::uint64_t>();
    }
    const auto blob = reader.get_bytes();
    request.blob.assign(blob.begin(), blob.end());
    if (!reader.done() || request.target.kind > Right::Kind::object_name) {
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
        writer.put(right.kind).put(right.task).put(right.thread);
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
    const auto rights = reader.get_count(17);
    for (std::uint32_t i = 0; i < rights; ++i) {
        Right right;
        right.kind = reader.get<Right::Kind>();
        right.task = reader.get<TaskId>();
        right.thread = reader.get<std::uint64_t>();
        if (right.kind > Right::Kind::object_name) {
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
