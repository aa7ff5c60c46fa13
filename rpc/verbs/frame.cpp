// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/verbs/frame.hpp"

#include "rpc/record.hpp"

#include <cassert>
#include <cstring>

namespace norma::rpc::verbs {

namespace {

bool plausible(const Announcement &announcement, std::size_t content_bytes) {
    const auto &[front, payload] = announcement;
    if (front.bytes > kHeaderBytes + kMaxRecordBytes || payload.bytes > kMaxPayloadBytes) {
        return false;
    }
    // The front is either here or there, and something is there.
    const bool front_here = content_bytes >= kHeaderBytes;
    return front_here ? front.bytes == 0 && payload.bytes != 0 : content_bytes == 0 && front.bytes >= kHeaderBytes;
}

} // namespace

bool decode_frame(std::span<const std::byte> bytes, ArrivedFrame &out) {
    if (bytes.size() < kFrameBytes) {
        return false;
    }
    std::memcpy(&out.frame, bytes.data(), kFrameBytes);
    out.content = bytes.subspan(kFrameBytes);
    if (out.frame.zero != 0) {
        return false;
    }
    switch (out.frame.kind) {
    case FrameKind::message:
        return true; // record.cpp judges the content
    case FrameKind::announced:
        if (out.content.size() < kPartsBytes) {
            return false;
        }
        std::memcpy(&out.announcement, out.content.data(), kPartsBytes);
        out.content = out.content.subspan(kPartsBytes);
        return plausible(out.announcement, out.content.size());
    case FrameKind::fetched:
    case FrameKind::credits:
        return out.content.empty();
    }
    return false;
}

void encode_frame(const Frame &frame, std::span<std::byte> out) {
    assert(out.size() >= kFrameBytes);
    std::memcpy(out.data(), &frame, kFrameBytes);
}

void encode_announcement(const Announcement &announcement, std::span<std::byte> out) {
    assert(out.size() >= kPartsBytes);
    std::memcpy(out.data(), &announcement, kPartsBytes);
}

} // namespace norma::rpc::verbs
