// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/probe.hpp"

#include "norma/mach.h"
#include "runtime/server/ops.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace norma::rt {

namespace {

enum Kind : std::uint8_t { kPing = 1, kPong, kStream, kStreamAck };

struct BulkRecord {
    std::uint8_t type; // PeerMsg::bulk
    std::uint8_t kind;
    std::uint8_t reserved[2];
    std::uint32_t reply_bytes;
};
static_assert(sizeof(BulkRecord) == 8);

// A ping of up to this size is a record alone, as a request for a page is; what is larger travels as payload.
constexpr std::uint32_t kLargestRecord = 1024;
// As many messages of a stream may be on their way: enough to fill the wire, and few enough buffers.
constexpr std::uint64_t kStreamWindow = 32;
constexpr std::uint64_t kMostSamples = 1'000'000;

} // namespace

void Probe::send(dsm::NodeId to, std::uint8_t kind, std::uint32_t record_bytes, std::uint32_t payload_bytes,
                 std::uint32_t reply_bytes) {
    std::vector<std::byte> record(std::max<std::size_t>(record_bytes, sizeof(BulkRecord)));
    const BulkRecord head{
        .type = static_cast<std::uint8_t>(PeerMsg::bulk), .kind = kind, .reserved = {}, .reply_bytes = reply_bytes};
    std::memcpy(record.data(), &head, sizeof head);
    rpc::StagingPtr payload;
    if (payload_bytes > 0) {
        payload = transport_.stage();
        payload->size = payload_bytes;
    }
    transport_.send(to, record, std::move(payload));
}

void Probe::start_round_trips(const Request &request, Done done) {
    if (busy()) {
        done(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    streaming_ = false;
    peer_ = static_cast<dsm::NodeId>(request.args[0]);
    request_bytes_ = static_cast<std::uint32_t>(request.args[1]);
    reply_bytes_ = static_cast<std::uint32_t>(request.args[2]);
    left_ = request.args[3] + request.args[4];
    warmup_ = request.args[4];
    samples_.clear();
    samples_.reserve(request.args[3]);
    done_ = std::move(done);
    next_ping();
}

void Probe::next_ping() {
    const bool small = request_bytes_ <= kLargestRecord;
    started_ = Clock::now();
    send(peer_, kPing, small ? request_bytes_ : 0, small ? 0 : request_bytes_, reply_bytes_);
}

void Probe::start_stream(const Request &request, Done done) {
    if (busy()) {
        done(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    streaming_ = true;
    peer_ = static_cast<dsm::NodeId>(request.args[0]);
    request_bytes_ = static_cast<std::uint32_t>(request.args[1]);
    left_ = request.args[2];
    unacknowledged_ = 0;
    done_ = std::move(done);
    started_ = Clock::now();
    fill_stream();
}

void Probe::fill_stream() {
    while (left_ > 0 && unacknowledged_ < kStreamWindow) {
        send(peer_, kStream, 0, request_bytes_, 0);
        --left_;
        ++unacknowledged_;
    }
}

bool Probe::message(dsm::NodeId from, std::span<const std::byte> record) {
    BulkRecord head;
    if (record.size() < sizeof head) {
        return false;
    }
    std::memcpy(&head, record.data(), sizeof head);
    const bool awaited = busy() && from == peer_;
    switch (head.kind) {
    case kPing:
        send(from, kPong, 64, std::min<std::uint32_t>(head.reply_bytes, rpc::kMaxPayloadBytes), 0);
        return true;
    case kStream:
        send(from, kStreamAck, 0, 0, 0);
        return true;
    case kPong:
        if (awaited && !streaming_) {
            take_pong();
        }
        return true;
    case kStreamAck:
        if (awaited && streaming_ && unacknowledged_ > 0) {
            take_acknowledgement();
        }
        return true;
    default:
        return false;
    }
}

void Probe::take_pong() {
    const std::chrono::duration<double, std::micro> took = Clock::now() - started_;
    if (warmup_ > 0) {
        --warmup_;
    } else {
        samples_.push_back(took.count());
    }
    if (--left_ > 0) {
        next_ping();
        return;
    }
    Reply reply;
    const auto bytes = std::as_bytes(std::span(samples_));
    reply.blob.assign(bytes.begin(), bytes.end());
    finish(std::move(reply));
}

void Probe::take_acknowledgement() {
    --unacknowledged_;
    fill_stream();
    if (unacknowledged_ == 0) {
        Reply reply;
        reply.vals[0] = static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - started_).count());
        finish(std::move(reply));
    }
}

void Probe::node_down(dsm::NodeId node) {
    if (busy() && node == peer_) {
        finish(status_reply(KERN_NODE_DOWN));
    }
}

void Probe::finish(Reply reply) {
    auto done = std::exchange(done_, nullptr);
    done(std::move(reply));
}

void op_probe_am(Node &node, const Request &request, Done done) {
    const auto &args = request.args;
    const auto bytes = std::max(args[1], args[2]);
    // The samples come back in one packet.
    if (args[0] >= node.count || args[0] == node.self || bytes > rpc::kMaxPayloadBytes || args[3] == 0 ||
        args[3] > kMostSamples || args[4] > kMostSamples || args[3] * sizeof(double) > kMaxPacketBytes - 64) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    node.probe->start_round_trips(request, std::move(done));
}

void op_probe_bw(Node &node, const Request &request, Done done) {
    const auto &args = request.args;
    if (args[0] >= node.count || args[0] == node.self || args[1] > rpc::kMaxPayloadBytes || args[2] == 0 ||
        args[2] > kMostSamples) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    node.probe->start_stream(request, std::move(done));
}

namespace {

// What is under way, and what was ignored, in the coherence protocol and in requests.
std::string protocol_stats(const Node &node) {
    std::uint64_t requests = 0, transactions = 0, queued = 0, rejected = 0, late = 0;
    node.pager.for_each_core([&](const dsm::State &core) {
        requests += core.pending_requests();
        transactions += core.open_transactions();
        queued += core.queued_gets();
        rejected += core.rejected();
        late += core.late();
    });
    return fmt::format(" requests={} transactions={} queued={} rejected={} late={} calls={} waiters={}", requests,
                       transactions, queued, rejected, late, node.router.open_calls(), node.sync.waiting());
}

} // namespace

void op_stats(Node &node, const Request &, Done done) {
    const auto &pages = node.pager.counters();
    const auto &wire = node.transport->counters();
    const auto text =
        fmt::format("node={} faults_read={} faults_write={} zero_filled={} pages_in={} pages_out={} poisoned={} "
                    "messages_sent={} messages_received={} bytes_sent={} bytes_received={} dropped_garbage={} "
                    "dropped_version={} "
                    "dropped_key={} dropped_incarnation={} dropped_late={} bad_records={} rights_refused={} tasks={} "
                    "objects={} ports={}",
                    node.self, pages.faults_read, pages.faults_write, pages.zero_filled, pages.pages_in,
                    pages.pages_out, pages.poisoned, wire.sent, wire.received, wire.bytes_sent, wire.bytes_received,
                    wire.dropped_garbage, wire.dropped_version, wire.dropped_key, wire.dropped_incarnation,
                    wire.dropped_late, node.bad_records, node.bad_rights + node.ports.home().refused(),
                    node.tasks.size(), node.objects.size(), node.ports.home().ports()) +
        protocol_stats(node);
    Reply reply;
    const auto bytes = std::as_bytes(std::span(text));
    reply.blob.assign(bytes.begin(), bytes.end());
    done(reply);
}

} // namespace norma::rt
