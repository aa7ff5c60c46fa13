// SPDX-License-Identifier: BSD-3-Clause
// The records between node servers: what is written is read back, the bytes of a coherence message are these, and what
// is damaged is refused.
#include "runtime/server/image.hpp"
#include "runtime/server/wire.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace norma::rt {
namespace {

constexpr Window kWindow{.base = 0x200000000000, .size = std::uint64_t{1} << 40, .slices = 4};

dsm::Msg sample() {
    return {.type = dsm::MsgType::forward,
            .write = true,
            .have = false,
            .requester = 7,
            .count = 0,
            .txn = 0x1112131415161718,
            .request = 0x2122232425262728,
            .base = 0x3132333435363738,
            .mask = 0x4142434445464748,
            .zero = 0x5152535455565758,
            .lost = false};
}

std::vector<std::byte> bytes_of(const CoherenceRecord &record) {
    const auto raw = std::as_bytes(std::span(&record, 1));
    return {raw.begin(), raw.end()};
}

TEST(CoherenceRecord, GoldenBytes) {
    const auto bytes = bytes_of(encode({.home = 3, .incarnation = 0x0a0b0c0d, .serial = 0x6162636465666768}, sample()));
    const unsigned char golden[] = {
        1,    2,    1,    0,    7,    0,    0,    0,    3,    0,    0,    0,    0x0d, 0x0c, 0x0b, 0x0a, 0x68, 0x67,
        0x66, 0x65, 0x64, 0x63, 0x62, 0x61, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x28, 0x27, 0x26, 0x25,
        0x24, 0x23, 0x22, 0x21, 0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, 0x48, 0x47, 0x46, 0x45, 0x44, 0x43,
        0x42, 0x41, 0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51, 0,    0,    0,    0,    0,    0,    0,    0};
    ASSERT_EQ(bytes.size(), sizeof golden);
    EXPECT_EQ(std::memcmp(bytes.data(), golden, sizeof golden), 0);
}

TEST(CoherenceRecord, RoundTrip) {
    const dsm::ObjectId object{.home = 255, .incarnation = 9, .serial = 1};
    const auto back = decode_coherence(bytes_of(encode(object, sample())));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->object, object);
    EXPECT_EQ(back->msg, sample());
}

TEST(CoherenceRecord, RefusesWhatNoNodeWrites) {
    const auto good = encode({.home = 1, .incarnation = 1, .serial = 1}, sample());
    const auto refused = [&](auto change) {
        auto record = good;
        change(record);
        return !decode_coherence(bytes_of(record));
    };
    EXPECT_TRUE(refused([](auto &record) { record.type = 0; }));
    EXPECT_TRUE(refused([](auto &record) { record.type = static_cast<std::uint8_t>(dsm::MsgType::homeless) + 1; }));
    EXPECT_TRUE(refused([](auto &record) { record.write = 2; }));
    EXPECT_TRUE(refused([](auto &record) { record.have = 2; }));
    EXPECT_TRUE(refused([](auto &record) { record.lost = 2; }));
    EXPECT_TRUE(refused([](auto &record) { record.requester = dsm::kMaxNodes; }));
    EXPECT_TRUE(refused([](auto &record) { record.home = dsm::kMaxNodes; }));
    auto bytes = bytes_of(good);
    EXPECT_FALSE(decode_coherence(std::span(bytes).first(bytes.size() - 1)));
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(decode_coherence(bytes));
}

Request request_sample() {
    Request request;
    request.op = Op::task_clone;
    request.caller = {.node = 2, .task = 3, .thread = 4, .call = 5};
    request.target = {.kind = Right::Kind::task, .task = 6, .thread = 0};
    request.args = {1, 2, 3, 4, 5, 6};
    request.blob = {std::byte{1}, std::byte{2}};
    return request;
}

TEST(PeerRecords, RequestRoundTripAndEveryTruncation) {
    const auto bytes = encode(request_sample());
    const auto back = decode_request(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->op, Op::task_clone);
    EXPECT_EQ(back->caller.call, 5U);
    EXPECT_EQ(back->target, request_sample().target);
    EXPECT_EQ(back->args, request_sample().args);
    EXPECT_EQ(back->blob, request_sample().blob);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_request(std::span(bytes).first(size))) << size;
    }
}

TEST(PeerRecords, ReplyRoundTripAndEveryTruncation) {
    Reply reply;
    reply.status = 47;
    reply.vals = {1, 2, 3, 4};
    reply.rights = {{.kind = Right::Kind::thread, .task = 8, .thread = 9}};
    reply.blob = {std::byte{7}};
    const auto bytes = encode(11, reply);
    std::uint64_t call = 0;
    const auto back = decode_reply(bytes, call);
    ASSERT_TRUE(back);
    EXPECT_EQ(call, 11U);
    EXPECT_EQ(back->status, 47);
    EXPECT_EQ(back->vals, reply.vals);
    EXPECT_EQ(back->rights, reply.rights);
    EXPECT_EQ(back->blob, reply.blob);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_reply(std::span(bytes).first(size), call)) << size;
    }
}

TaskImage image_sample() {
    TaskImage image;
    image.program = {.path = "/bin/app", .argv = {"app", "-x"}, .env = {"A=1"}, .cwd = "/", .build_id = "ab"};
    image.first = true;
    image.stretches = {{.stretch = {.object = {.home = 1, .incarnation = 1, .serial = 2}, .number = 3}, .pages = 4}};
    MapEntry entry;
    entry.start = kWindow.base;
    entry.size = 2 * kMapPage;
    entry.stretch = image.stretches[0].stretch;
    entry.offset = kMapPage;
    image.entries = {entry};
    return image;
}

TEST(Image, RoundTripAndEveryTruncation) {
    const auto bytes = encode(image_sample());
    const auto back = decode_image(bytes, kWindow, kWindow.slices);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->program.argv, image_sample().program.argv);
    EXPECT_EQ(back->entries, image_sample().entries);
    EXPECT_TRUE(back->first);
    EXPECT_FALSE(back->teleported);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_image(std::span(bytes).first(size), kWindow, kWindow.slices)) << size;
    }
}

TEST(Image, RefusesRegionsOutsideTheirStretch) {
    auto beyond = image_sample();
    beyond.entries[0].offset = 3 * kMapPage;
    EXPECT_FALSE(decode_image(encode(beyond), kWindow, kWindow.slices));
    auto unknown = image_sample();
    unknown.entries[0].stretch.object.serial = 3;
    EXPECT_FALSE(decode_image(encode(unknown), kWindow, kWindow.slices));
    auto other = image_sample();
    other.entries[0].stretch.number = 4;
    EXPECT_FALSE(decode_image(encode(other), kWindow, kWindow.slices));
    auto too_far = image_sample(); // in no file
    too_far.entries[0].stretch.number = too_far.stretches[0].stretch.number = dsm::kEndOfPages / 4;
    EXPECT_FALSE(decode_image(encode(too_far), kWindow, kWindow.slices));
    --too_far.entries[0].stretch.number;
    --too_far.stretches[0].stretch.number;
    EXPECT_TRUE(decode_image(encode(too_far), kWindow, kWindow.slices));
    auto nameless = image_sample();
    nameless.program.path.clear();
    EXPECT_FALSE(decode_image(encode(nameless), kWindow, kWindow.slices));
}

// Whatever the bytes, a decoder answers; sanitizer builds see to the rest.
TEST(PeerRecords, DamagedBytesAreHarmless) {
    std::mt19937_64 random(4711);
    const std::vector<std::vector<std::byte>> good{encode(request_sample()), encode(1, Reply{}),
                                                   encode(image_sample())};
    std::uint64_t call = 0;
    unsigned refused = 0;
    for (int round = 0; round < 20'000; ++round) {
        auto bytes = good[random() % good.size()];
        for (auto flips = 1 + random() % 8; flips > 0; --flips) {
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        }
        refused += !decode_request(bytes);
        refused += !decode_reply(bytes, call);
        refused += !decode_image(bytes, kWindow, kWindow.slices);
        refused += !decode_coherence(bytes);
    }
    EXPECT_GT(refused, 60'000U);
}

} // namespace
} // namespace norma::rt
