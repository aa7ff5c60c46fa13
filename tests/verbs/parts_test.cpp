// SPDX-License-Identifier: BSD-3-Clause
// Bytes from the other side: frames, announcements, hellos, refusals.
#include "rpc/verbs/frame.hpp"
#include "rpc/verbs/hello.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace norma::rpc::verbs {
namespace {

std::vector<std::byte> announcement(const Announcement &parts, std::size_t content) {
    std::vector<std::byte> bytes(kFrameBytes + kPartsBytes + content);
    encode_frame({.kind = FrameKind::announced, .credits = 3, .token = 9}, bytes);
    encode_announcement(parts, std::span(bytes).subspan(kFrameBytes));
    return bytes;
}

TEST(VerbsFrame, AnAnnouncementIsReadBack) {
    ArrivedFrame arrived;
    const Part payload{.address = 0x1000, .key = 5, .bytes = 8192};
    ASSERT_TRUE(decode_frame(announcement({.front = {}, .payload = payload}, 50), arrived));
    EXPECT_EQ(arrived.frame.credits, 3);
    EXPECT_EQ(arrived.frame.token, 9u);
    EXPECT_EQ(arrived.announcement.payload.address, 0x1000u);
    EXPECT_EQ(arrived.content.size(), 50u);
    const Part front{.address = 0x2000, .key = 5, .bytes = kHeaderBytes + kMaxRecordBytes};
    EXPECT_TRUE(decode_frame(announcement({.front = front, .payload = {}}, 0), arrived));
}

TEST(VerbsFrame, WhatNoNodeSendsIsRefused) {
    ArrivedFrame arrived;
    const Part part{.address = 0x1000, .key = 5, .bytes = 8192};
    const auto refused = [&](Announcement parts, std::size_t content) {
        return !decode_frame(announcement(parts, content), arrived);
    };
    EXPECT_TRUE(refused({.front = {}, .payload = {}}, 0)) << "nothing at all";
    EXPECT_TRUE(refused({.front = {}, .payload = {}}, 50)) << "would have fitted a frame";
    EXPECT_TRUE(refused({.front = part, .payload = part}, 50)) << "two fronts";
    EXPECT_TRUE(refused({.front = {}, .payload = part}, 0)) << "no front";
    EXPECT_TRUE(refused({.front = {}, .payload = part}, kHeaderBytes - 1)) << "half a front";
    EXPECT_TRUE(refused({.front = {.bytes = kHeaderBytes - 1}, .payload = part}, 0)) << "a front that is too short";
    EXPECT_TRUE(refused({.front = {.bytes = kHeaderBytes + kMaxRecordBytes + 1}, .payload = {}}, 0));
    EXPECT_TRUE(refused({.front = {}, .payload = {.bytes = kMaxPayloadBytes + 1}}, 50));
    std::vector<std::byte> bytes(kFrameBytes);
    for (unsigned kind = 0; kind < 256; ++kind) {
        for (unsigned zero : {0u, 1u}) {
            encode_frame({.kind = static_cast<FrameKind>(kind), .zero = static_cast<std::uint8_t>(zero)}, bytes);
            const bool known = zero == 0 && (kind == 1 || kind == 3 || kind == 4);
            EXPECT_EQ(decode_frame(bytes, arrived), known) << kind;
        }
    }
    for (std::size_t size = 0; size < kFrameBytes; ++size) {
        EXPECT_FALSE(decode_frame(std::span(bytes).first(size), arrived));
    }
    bytes.push_back(std::byte{0});
    encode_frame({.kind = FrameKind::credits}, bytes);
    EXPECT_FALSE(decode_frame(bytes, arrived)) << "something after a frame that has nothing more";
}

TEST(VerbsHello, IsJudgedLikeEveryMessage) {
    const std::vector<std::uint32_t> peers{0, 5, kNoIncarnation};
    const Expected expected{.self = 0, .incarnation = 3, .job_key = 77, .peers = peers};
    const auto judge = [&](auto change) {
        Hello hello{.header = {.source = 1, .job_key = 77, .source_incarnation = 5, .destination_incarnation = 3},
                    .credits = 64};
        change(hello);
        auto bytes = encode_hello(hello);
        Hello found;
        std::vector<std::byte> padded(bytes.begin(), bytes.end());
        padded.resize(56);
        return decode_hello(padded, expected, found);
    };
    EXPECT_EQ(judge([](Hello &) {}), Verdict::ok);
    EXPECT_EQ(judge([](Hello &h) { h.header.job_key = 78; }), Verdict::key);
    EXPECT_EQ(judge([](Hello &h) { h.header.version = 9; }), Verdict::version);
    EXPECT_EQ(judge([](Hello &h) { h.header.magic = 0; }), Verdict::garbage);
    EXPECT_EQ(judge([](Hello &h) { h.header.source_incarnation = 4; }), Verdict::incarnation);
    EXPECT_EQ(judge([](Hello &h) { h.header.destination_incarnation = 2; }), Verdict::incarnation);
    EXPECT_EQ(judge([](Hello &h) { h.header.source = 2; }), Verdict::gone);
    EXPECT_EQ(judge([](Hello &h) { h.header.source = 300; }), Verdict::garbage);
    EXPECT_EQ(judge([](Hello &h) { h.credits = 1; }), Verdict::garbage) << "could never send";
    EXPECT_EQ(judge([](Hello &h) { h.header.record_bytes = 1; }), Verdict::garbage);
    Hello found;
    EXPECT_EQ(decode_hello({}, expected, found), Verdict::garbage);
}

TEST(VerbsHello, RefusalsSayWhy) {
    EXPECT_EQ(decode_refusal(encode_refusal(Verdict::key)), Verdict::key);
    EXPECT_FALSE(decode_refusal({}).has_value());
    auto bytes = encode_refusal(Verdict::key);
    bytes[4] = std::byte{99};
    EXPECT_FALSE(decode_refusal(bytes).has_value());
    bytes = encode_refusal(Verdict::key);
    bytes[0] ^= std::byte{1};
    EXPECT_FALSE(decode_refusal(bytes).has_value());
}

} // namespace
} // namespace norma::rpc::verbs
