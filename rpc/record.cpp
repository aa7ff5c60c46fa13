// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/record.hpp"

#include <cstring>

namespace norma::rpc {

void encode_header(const MessageHeader &header, std::span<std::byte, kHeaderBytes> out) {
    std::memcpy(out.data(), &header, kHeaderBytes);
}

namespace {

bool lengths_agree(const MessageHeader &header, std::span<const std::byte> front, std::span<const std::byte> data) {
    if (header.record_bytes > kMaxRecordBytes || header.payload_bytes > kMaxPayloadBytes) {
        return false;
    }
    const std::size_t front_bytes = kHeaderBytes + header.record_bytes;
    if (front.empty()) {
        return data.size() == front_bytes + header.payload_bytes;
    }
    return front.size() == front_bytes && data.size() == header.payload_bytes;
}

bool nodes_plausible(const MessageHeader &header, const Expected &expected) {
    return header.destination == expected.self && header.source != expected.self &&
           header.source < expected.peers.size() && header.source_incarnation != 0 &&
           header.source_incarnation != kNoIncarnation;
}

Verdict judge_incarnations(const MessageHeader &header, const Expected &expected) {
    const auto known = expected.peers[header.source];
    if (header.destination_incarnation != expected.incarnation) {
        return Verdict::incarnation;
    }
    if (known == kNoIncarnation) {
        return Verdict::gone;
    }
    return known == 0 || known == header.source_incarnation ? Verdict::ok : Verdict::incarnation;
}

} // namespace

const char *describe(Verdict verdict) {
    switch (verdict) {
    case Verdict::ok:
        return "it is good";
    case Verdict::garbage:
        return "it is no message of a node server";
    case Verdict::version:
        return "it is of another version of the protocol";
    case Verdict::key:
        return "it is of another job";
    case Verdict::incarnation:
        return "it is from or for another life of a node";
    case Verdict::gone:
        break;
    }
    return "its sender is gone";
}

Verdict decode_message(std::span<const std::byte> front, std::span<const std::byte> data, const Expected &expected,
                       Message &message) {
    const auto head = front.empty() ? data : front;
    if (head.size() < kHeaderBytes) {
        return Verdict::garbage;
    }
    MessageHeader header;
    std::memcpy(&header, head.data(), kHeaderBytes);
    if (header.magic != kMessageMagic) {
        return Verdict::garbage;
    }
    // Only the first four bytes mean the same in every version.
    if (header.version != kWireVersion) {
        return Verdict::version;
    }
    if (!lengths_agree(header, front, data)) {
        return Verdict::garbage;
    }
    // Another job's node numbers say nothing about ours, so the key is judged before them.
    if (header.job_key != expected.job_key) {
        return Verdict::key;
    }
    if (!nodes_plausible(header, expected)) {
        return Verdict::garbage;
    }
    if (const auto verdict = judge_incarnations(header, expected); verdict != Verdict::ok) {
        return verdict;
    }
    message.header = header;
    message.record = head.subspan(kHeaderBytes, header.record_bytes);
    message.payload = front.empty() ? data.subspan(kHeaderBytes + header.record_bytes) : data;
    return Verdict::ok;
}

} // namespace norma::rpc
