// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/record.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace norma::rpc {
namespace {

constexpr std::array<std::uint8_t, kHeaderBytes> kGolden{
    0x4e, 0x6d, 0x06, 0x00, 0x03, 0x00, 0x02, 0x01,  // magic, version, source 3, destination 258
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,  // job key
    0x0a, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,  // sequence
    0x07, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00,  // incarnations
    0x05, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00}; // record 5, payload 16

MessageHeader golden_header() {
    return {.source = 3,
            .destination = 258,
            .job_key = 0x1122334455667788,
            .sequence = 0x10000000a,
            .source_incarnation = 7,
            .destination_incarnation = 9,
            .record_bytes = 5,
            .payload_bytes = 16};
}

// One message for node 2 from node 3, as it comes off the network, and what node 2 expects.
struct Sample {
    std::vector<std::uint32_t> peers = std::vector<std::uint32_t>(8, 0);
    Expected expected{.self = 2, .incarnation = 9, .job_key = 0x1122334455667788, .peers = peers};
    MessageHeader header = golden_header();
    std::vector<std::byte> record{5, std::byte{0xaa}};
    std::vector<std::byte> payload{16, std::byte{0xbb}};
    Message out;

    Sample() {
        header.destination = 2;
        peers[3] = 7;
    }
    std::vector<std::byte> front() const {
        std::vector<std::byte> bytes(kHeaderBytes);
        encode_header(header, std::span(bytes).first<kHeaderBytes>());
        bytes.insert(bytes.end(), record.begin(), record.end());
        return bytes;
    }
    Verdict decode(std::span<const std::byte> front, std::span<const std::byte> data) {
        return decode_message(front, data, expected, out);
    }
    Verdict decode() {
        const auto bytes = front();
        return decode(bytes, payload);
    }
};

TEST(RpcRecord, EncodesToTheGoldenBytes) {
    std::array<std::byte, kHeaderBytes> out{};
    encode_header(golden_header(), out);
    EXPECT_EQ(std::memcmp(out.data(), kGolden.data(), kHeaderBytes), 0);
}

TEST(RpcRecord, DecodesTheGoldenBytes) {
    std::vector<std::uint32_t> peers(kMaxNodes, 0);
    const Expected expected{.self = 258, .incarnation = 9, .job_key = 0x1122334455667788, .peers = peers};
    std::vector<std::byte> data(kHeaderBytes + 5 + 16, std::byte{0x55});
    std::memcpy(data.data(), kGolden.data(), kHeaderBytes);
    Message message;
    ASSERT_EQ(decode_message({}, data, expected, message), Verdict::ok);
    EXPECT_EQ(message.header, golden_header());
    EXPECT_EQ(message.record.data(), data.data() + kHeaderBytes);
    EXPECT_EQ(message.record.size(), 5u);
    EXPECT_EQ(message.payload.data(), data.data() + kHeaderBytes + 5);
    EXPECT_EQ(message.payload.size(), 16u);
}

TEST(RpcRecord, TakesFrontAndDataApartOrInOnePiece) {
    Sample sample;
    const auto front = sample.front();
    ASSERT_EQ(sample.decode(front, sample.payload), Verdict::ok);
    EXPECT_TRUE(std::ranges::equal(sample.out.record, sample.record));
    EXPECT_EQ(sample.out.payload.data(), sample.payload.data());
    auto whole = front;
    whole.insert(whole.end(), sample.payload.begin(), sample.payload.end());
    ASSERT_EQ(sample.decode({}, whole), Verdict::ok);
    EXPECT_TRUE(std::ranges::equal(sample.out.payload, sample.payload));
}

TEST(RpcRecord, RefusesEveryTruncationAndExtension) {
    Sample sample;
    auto whole = sample.front();
    whole.insert(whole.end(), sample.payload.begin(), sample.payload.end());
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_EQ(sample.decode({}, std::span(whole).first(size)), Verdict::garbage) << size;
    }
    whole.push_back(std::byte{0});
    EXPECT_EQ(sample.decode({}, whole), Verdict::garbage);
    const auto front = sample.front();
    EXPECT_EQ(sample.decode(front, std::span(sample.payload).first(15)), Verdict::garbage);
    EXPECT_EQ(sample.decode(std::span(front).first(front.size() - 1), sample.payload), Verdict::garbage);
}

TEST(RpcRecord, TellsWhy) {
    const auto verdict = [](auto change) {
        Sample sample;
        change(sample);
        return sample.decode();
    };
    EXPECT_EQ(verdict([](Sample &) {}), Verdict::ok);
    EXPECT_EQ(verdict([](Sample &s) { s.header.magic ^= 1; }), Verdict::garbage);
    EXPECT_EQ(verdict([](Sample &s) { s.header.version = 2; }), Verdict::version);
    EXPECT_EQ(verdict([](Sample &s) { s.header.job_key ^= 1; }), Verdict::key);
    EXPECT_EQ(verdict([](Sample &s) { s.header.destination = 3; }), Verdict::garbage);
    EXPECT_EQ(verdict([](Sample &s) { s.header.source = 2; }), Verdict::garbage);
    EXPECT_EQ(verdict([](Sample &s) { s.header.source = 8; }), Verdict::garbage);
    EXPECT_EQ(verdict([](Sample &s) { s.header.source_incarnation = 0; }), Verdict::garbage);
    EXPECT_EQ(verdict([](Sample &s) { s.header.source_incarnation = kNoIncarnation; }), Verdict::garbage);
    EXPECT_EQ(verdict([](Sample &s) { s.header.source_incarnation = 6; }), Verdict::incarnation);
    EXPECT_EQ(verdict([](Sample &s) { s.header.destination_incarnation = 8; }), Verdict::incarnation);
    EXPECT_EQ(verdict([](Sample &s) { s.peers[3] = kNoIncarnation; }), Verdict::gone);
    EXPECT_EQ(verdict([](Sample &s) { s.peers[3] = 0; }), Verdict::ok) << "not connected yet: held, not dropped";
    EXPECT_EQ(verdict([](Sample &s) { s.header.record_bytes = 6; }), Verdict::garbage);
    EXPECT_EQ(verdict([](Sample &s) { s.header.payload_bytes = 17; }), Verdict::garbage);
}

TEST(RpcRecord, RefusesLengthsPastTheBounds) {
    Sample sample;
    sample.header.record_bytes = kMaxRecordBytes + 1;
    sample.record.resize(kMaxRecordBytes + 1);
    EXPECT_EQ(sample.decode(), Verdict::garbage);
    sample.header.record_bytes = kMaxRecordBytes;
    sample.record.resize(kMaxRecordBytes);
    EXPECT_EQ(sample.decode(), Verdict::ok);
    sample.header.payload_bytes = kMaxPayloadBytes + 1;
    sample.payload.resize(kMaxPayloadBytes + 1);
    EXPECT_EQ(sample.decode(), Verdict::garbage);
    // Lengths that would wrap around if they were added carelessly.
    sample.header.record_bytes = 0xffffffff;
    sample.header.payload_bytes = 0xffffffff;
    EXPECT_EQ(sample.decode(), Verdict::garbage);
}

// Whatever is in the header, a decoder either takes the message whole or leaves it; the spans stay inside the input.
TEST(RpcRecord, SurvivesMutations) {
    std::mt19937 random(1);
    Sample sample;
    auto whole = sample.front();
    whole.insert(whole.end(), sample.payload.begin(), sample.payload.end());
    unsigned taken = 0;
    for (int round = 0; round < 200000; ++round) {
        auto bytes = whole;
        for (unsigned flips = 1 + random() % 3; flips-- > 0;) {
            bytes[random() % bytes.size()] ^= static_cast<std::byte>(1u << random() % 8);
        }
        bytes.resize(random() % 4 == 0 ? random() % (bytes.size() + 1) : bytes.size());
        if (sample.decode({}, bytes) == Verdict::ok) {
            ++taken;
            ASSERT_EQ(sample.out.record.size() + sample.out.payload.size() + kHeaderBytes, bytes.size());
            ASSERT_EQ(sample.out.payload.data() + sample.out.payload.size(), bytes.data() + bytes.size());
        }
    }
    EXPECT_GT(taken, 0u) << "flips in the sequence number and the contents are none of the header's business";
}

} // namespace
} // namespace norma::rpc
