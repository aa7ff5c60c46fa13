// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/sessions.hpp"

#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace norma::rpc {

Sessions::Sessions(const Options &options, Handlers handlers, std::function<void(NodeId)> disconnect)
    : options_(options), handlers_(std::move(handlers)), disconnect_(std::move(disconnect)), peers_(kMaxNodes),
      incarnations_(kMaxNodes, 0) {}

void Sessions::check_peer(NodeId peer, std::uint32_t incarnation) const {
    if (peer >= kMaxNodes || peer == options_.self || incarnation == 0 || incarnation == kNoIncarnation) {
        throw std::runtime_error(
            fmt::format("node {} cannot connect to node {} (incarnation {})", options_.self, peer, incarnation));
    }
}

void Sessions::open(NodeId peer_id, std::uint32_t incarnation) {
    auto &peer = peers_[peer_id];
    peer.state = State::connected;
    peer.incarnation = incarnation;
    peer.next_sequence = 0;
    incarnations_[peer_id] = incarnation;
    counters_.dropped_incarnation += peer.inbox.open(incarnation);
    if (peer.inbox.ready()) {
        opened_.push_back(peer_id);
    }
}

bool Sessions::close(NodeId peer_id) {
    if (peer_id >= kMaxNodes || peers_[peer_id].state == State::absent) {
        return false;
    }
    auto &peer = peers_[peer_id];
    peer.state = State::gone;
    peer.inbox.close();
    incarnations_[peer_id] = kNoIncarnation;
    return true;
}

void Sessions::seal(NodeId peer_id, std::span<const std::byte> record, std::size_t payload_bytes,
                    std::vector<std::byte> &front) {
    auto &peer = peers_[peer_id];
    ++counters_.sent;
    counters_.bytes_sent += record.size() + payload_bytes;
    const MessageHeader header{
        .source = options_.self,
        .destination = peer_id,
        .job_key = options_.job_key,
        .sequence = peer.next_sequence++,
        .source_incarnation = options_.incarnation,
        .destination_incarnation = peer.incarnation,
        .record_bytes = static_cast<std::uint32_t>(record.size()),
        .payload_bytes = static_cast<std::uint32_t>(payload_bytes),
    };
    front.resize(kHeaderBytes + record.size());
    encode_header(header, std::span(front).first<kHeaderBytes>());
    if (!record.empty()) {
        std::memcpy(front.data() + kHeaderBytes, record.data(), record.size());
    }
}

Sessions::Fate Sessions::accept(std::span<const std::byte> front, std::span<const std::byte> data) {
    Message message;
    const auto verdict = decode_message(front, data, expected(), message);
    if (verdict != Verdict::ok) {
        drop(verdict);
        return Fate::dropped;
    }
    const auto from = message.header.source;
    switch (peers_[from].inbox.offer(message)) {
    case Inbox::Offer::deliver:
        deliver(from, message.record, message.payload);
        deliver_waiting(from);
        return Fate::delivered;
    case Inbox::Offer::held:
        return Fate::held;
    case Inbox::Offer::repeat:
        drop(Verdict::garbage);
        return Fate::repeated;
    case Inbox::Offer::refused:
        drop(Verdict::garbage);
        mark_broken(from, "too many messages wait for one that is missing");
        break;
    }
    return Fate::dropped;
}

void Sessions::deliver(NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload) {
    ++counters_.received;
    counters_.bytes_received += record.size() + payload.size();
    if (handlers_.message) {
        handlers_.message(from, record, payload);
    }
}

bool Sessions::deliver_waiting(NodeId from) {
    bool happened = false;
    Inbox::Held held;
    // The handler may disconnect the peer, which empties the inbox.
    while (peers_[from].inbox.take(held)) {
        const std::span bytes(held.bytes);
        deliver(from, bytes.first(held.record_bytes), bytes.subspan(held.record_bytes));
        happened = true;
    }
    return happened;
}

void Sessions::mark_broken(NodeId peer_id, std::string why) {
    auto &peer = peers_[peer_id];
    if (peer.state != State::connected) {
        return;
    }
    peer.state = State::broken;
    peer.why = std::move(why);
    broken_.push_back(peer_id);
}

bool Sessions::report_broken() {
    bool happened = false;
    while (!broken_.empty()) {
        const auto id = broken_.back();
        broken_.pop_back();
        auto &peer = peers_[id];
        if (peer.state != State::broken) {
            continue; // disconnected or connected anew in the meantime
        }
        const auto why = std::move(peer.why);
        disconnect_(id);
        happened = true;
        if (handlers_.down) {
            handlers_.down(id, why);
        }
    }
    return happened;
}

bool Sessions::work() {
    bool happened = false;
    while (!opened_.empty()) {
        const auto id = opened_.back();
        opened_.pop_back();
        happened |= deliver_waiting(id);
    }
    return report_broken() || happened;
}

void Sessions::drop(Verdict verdict) {
    switch (verdict) {
    case Verdict::ok:
        return;
    case Verdict::garbage:
        ++counters_.dropped_garbage;
        break;
    case Verdict::version:
        ++counters_.dropped_version;
        break;
    case Verdict::key:
        ++counters_.dropped_key;
        break;
    case Verdict::incarnation:
        ++counters_.dropped_incarnation;
        break;
    case Verdict::gone:
        ++counters_.dropped_late;
        return;
    }
    if (handlers_.dropped) {
        handlers_.dropped(describe(verdict));
    }
}

} // namespace norma::rpc
