// SPDX-License-Identifier: BSD-3-Clause
// Messages as tasks lay them out and as node servers pass them on: what goes in comes out, and nothing else gets in.
#include "runtime/message.hpp"

#include "norma/mach.h"

#include <gtest/gtest.h>

#include <cstring>

namespace norma::rt {
namespace {

struct Packet {
    mach_msg_header_t head{};
    mach_msg_body_t body{};
    mach_msg_port_descriptor_t ports[2]{};
    std::uint32_t number = 0;
};

Packet good() {
    Packet packet;
    packet.head.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND) | MACH_MSGH_BITS_COMPLEX;
    packet.head.msgh_remote_port = 20;
    packet.head.msgh_local_port = 21;
    packet.head.msgh_reserved = 99;
    packet.head.msgh_id = 5;
    packet.body.msgh_descriptor_count = 2;
    packet.ports[0].name = 22;
    packet.ports[0].disposition = MACH_MSG_TYPE_MOVE_SEND;
    packet.ports[1].name = 23;
    packet.ports[1].pad1 = 0x12345678; // what happened to stand there
    packet.ports[1].disposition = MACH_MSG_TYPE_MOVE_RECEIVE;
    packet.number = 4711;
    return packet;
}

std::int32_t parse(const Packet &packet, Outgoing &out, std::size_t size = sizeof(Packet)) {
    return parse_message(std::as_bytes(std::span(&packet, 1)).first(size), out);
}

std::int32_t parse_changed(const std::function<void(Packet &)> &change) {
    auto packet = good();
    change(packet);
    Outgoing out;
    return parse(packet, out);
}

Carried a_right(std::uint64_t number, bool receive = false) {
    return {.right = {.kind = Right::Kind::port, .task = TaskId{2} << 48, .thread = 0, .key = {number, 2}},
            .receive = receive ? Key{number, 3} : Key{}};
}

TEST(Message, ParsedAndLaidOutAgain) {
    Outgoing out;
    ASSERT_EQ(parse(good(), out), MACH_MSG_SUCCESS);
    EXPECT_EQ(out.remote.name, 20u);
    EXPECT_EQ(out.local.disposition, unsigned{MACH_MSG_TYPE_MAKE_SEND});
    ASSERT_EQ(out.rights.size(), 2u);
    EXPECT_EQ(out.rights[1].name, 23u);
    out.message.reply = a_right(1);
    out.message.rights = {a_right(2), a_right(3, true)};
    const auto bytes = lay_out(out.message, 50, {.reply = 51, .rights = {52, 53}, .memory = {}});
    ASSERT_EQ(bytes.size(), sizeof(Packet) + sizeof(mach_msg_trailer_t));
    EXPECT_EQ(bytes.size(), received_bytes(out.message));
    Packet got;
    std::memcpy(&got, bytes.data(), sizeof got);
    EXPECT_EQ(got.head.msgh_size, sizeof got);
    EXPECT_EQ(got.head.msgh_local_port, 50u);
    EXPECT_EQ(got.head.msgh_remote_port, 51u);
    EXPECT_EQ(got.head.msgh_reserved, 0u);
    EXPECT_EQ(got.head.msgh_id, 5);
    EXPECT_EQ(got.head.msgh_bits,
              MACH_MSGH_BITS(MACH_MSG_TYPE_PORT_SEND, MACH_MSG_TYPE_PORT_SEND) | MACH_MSGH_BITS_COMPLEX);
    EXPECT_EQ(got.ports[0].name, 52u);
    EXPECT_EQ(got.ports[0].disposition, unsigned{MACH_MSG_TYPE_PORT_SEND});
    EXPECT_EQ(got.ports[1].name, 53u);
    EXPECT_EQ(got.ports[1].pad1, 0u);
    EXPECT_EQ(got.ports[1].disposition, unsigned{MACH_MSG_TYPE_PORT_RECEIVE});
    EXPECT_EQ(got.number, 4711u);
}

TEST(Message, SenderIsToldOnlyIfAskedFor) {
    Outgoing out;
    ASSERT_EQ(parse(good(), out), MACH_MSG_SUCCESS);
    out.message.token = 0x0000000900000008;
    out.message.rights = {a_right(2), a_right(3)};
    const auto bytes = lay_out(out.message, 50, {.reply = 0, .rights = {52, 53}, .memory = {}}, Trailer::sender);
    ASSERT_EQ(bytes.size(), received_bytes(out.message) + more_bytes(Trailer::sender));
    mach_msg_security_trailer_t trailer;
    std::memcpy(&trailer, bytes.data() + sizeof(Packet), sizeof trailer);
    EXPECT_EQ(trailer.msgh_trailer_size, sizeof trailer);
    EXPECT_EQ(trailer.msgh_seqno, 0u);
    EXPECT_EQ(trailer.msgh_sender.val[0], 8u);
    EXPECT_EQ(trailer.msgh_sender.val[1], 9u);
    EXPECT_EQ(more_bytes(Trailer::least), 0u);
}

TEST(Message, RefusedFromATask) {
    Outgoing out;
    for (std::size_t size = 0; size < sizeof(Packet) - sizeof(std::uint32_t); ++size) {
        EXPECT_EQ(parse(good(), out, size), MACH_SEND_MSG_TOO_SMALL) << size;
        out = {};
    }
    EXPECT_EQ(parse_changed([](Packet &packet) { packet.head.msgh_bits |= 0x10000; }), MACH_SEND_INVALID_HEADER);
    EXPECT_EQ(parse_changed([](Packet &packet) { packet.head.msgh_local_port = 0; }), MACH_SEND_INVALID_HEADER);
    EXPECT_EQ(parse_changed([](Packet &packet) { packet.body.msgh_descriptor_count = 3; }), MACH_SEND_MSG_TOO_SMALL);
    EXPECT_EQ(parse_changed([](Packet &packet) { packet.body.msgh_descriptor_count = 257; }), MACH_SEND_TOO_LARGE);
    EXPECT_EQ(parse_changed([](Packet &packet) { packet.body.msgh_descriptor_count = ~0U; }), MACH_SEND_TOO_LARGE);
    EXPECT_EQ(parse_changed([](Packet &packet) { packet.ports[1].type = MACH_MSG_OOL_PORTS_DESCRIPTOR; }),
              MACH_SEND_INVALID_TYPE);
    const std::vector<std::byte> large(kMaxMessageBytes + 1);
    EXPECT_EQ(parse_message(large, out), MACH_SEND_TOO_LARGE);
}

TEST(Message, BetweenNodes) {
    Outgoing out;
    ASSERT_EQ(parse(good(), out), MACH_MSG_SUCCESS);
    out.message.reply = a_right(1);
    out.message.rights = {a_right(2), a_right(3, true)};
    auto bytes = encode(out.message);
    const auto back = decode_message(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, out.message);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_message(std::span(bytes).first(size))) << size;
    }
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(decode_message(bytes));
    // A count in the body that is not that of the rights; rights in a message that is not complex; the right to
    // receive as a reply port; the right to receive from a task.
    auto wrong = out.message;
    wrong.rights.pop_back();
    EXPECT_FALSE(decode_message(encode(wrong)));
    wrong = out.message;
    wrong.complex = false;
    EXPECT_FALSE(decode_message(encode(wrong)));
    wrong = out.message;
    wrong.reply = a_right(4, true);
    EXPECT_FALSE(decode_message(encode(wrong)));
    wrong = out.message;
    wrong.rights[1].right.kind = Right::Kind::task;
    EXPECT_FALSE(decode_message(encode(wrong)));
    EXPECT_LT(kMaxMessageBytes + (kMaxMessageRights + 1) * kCarriedBytes + 256, std::size_t{64} * 1024);
}

struct MemoryPacket {
    mach_msg_header_t head{};
    mach_msg_body_t body{};
    mach_msg_ool_descriptor_t first{};
    mach_msg_port_descriptor_t port{};
    mach_msg_ool_descriptor_t second{};
};

MemoryPacket with_memory() {
    MemoryPacket packet;
    packet.head.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0) | MACH_MSGH_BITS_COMPLEX;
    packet.head.msgh_remote_port = 20;
    packet.body.msgh_descriptor_count = 3;
    packet.first.type = packet.second.type = MACH_MSG_OOL_DESCRIPTOR;
    packet.first.address = reinterpret_cast<void *>(0x20000ff8);
    packet.first.size = 9;
    packet.first.deallocate = 1;
    packet.first.copy = MACH_MSG_VIRTUAL_COPY;
    packet.second.address = reinterpret_cast<void *>(0x123);
    packet.port.name = 22;
    packet.port.disposition = MACH_MSG_TYPE_COPY_SEND;
    return packet;
}

std::int32_t parse(const MemoryPacket &packet, Outgoing &out, std::size_t size = sizeof(MemoryPacket)) {
    return parse_message(std::as_bytes(std::span(&packet, 1)).first(size), out);
}

MapEntry piece_at(std::uint64_t start, std::uint64_t pages) {
    MapEntry piece;
    piece.start = start;
    piece.size = pages * kMapPage;
    piece.stretch = {.object = {.home = 1, .incarnation = 1, .serial = 2}, .number = 3};
    piece.offset = 7 * kMapPage;
    return piece;
}

TEST(Message, MemoryOfATask) {
    Outgoing out;
    ASSERT_EQ(parse(with_memory(), out), MACH_MSG_SUCCESS);
    ASSERT_EQ(out.memory.size(), 2u);
    EXPECT_EQ(out.memory[0].address, 0x20000ff8u);
    EXPECT_EQ(out.memory[0].bytes, 9u);
    EXPECT_TRUE(out.memory[0].deallocate);
    EXPECT_FALSE(out.memory[1].deallocate);
    EXPECT_EQ(out.message.memory[0].within, 0xff8u);
    EXPECT_EQ(out.message.memory[1].place, 2u);
    EXPECT_EQ(out.message.memory[1].within, 0u); // where nothing is does not matter
    out.message.rights = {a_right(2)};
    out.message.memory[0].pieces = {piece_at(0, 2)};
    const auto bytes = lay_out(out.message, 50, {.reply = 0, .rights = {52}, .memory = {0x30000ff8, 0}});
    ASSERT_EQ(bytes.size(), sizeof(MemoryPacket) + sizeof(mach_msg_trailer_t));
    MemoryPacket got;
    std::memcpy(&got, bytes.data(), sizeof got);
    EXPECT_EQ(static_cast<void *>(got.first.address),
              reinterpret_cast<void *>(0x30000ff8)); // a copy: it is not aligned
    EXPECT_EQ(mach_msg_size_t{got.first.size}, 9u);
    EXPECT_EQ(unsigned{got.first.deallocate}, 1u);
    EXPECT_EQ(got.port.name, 52u);
    EXPECT_EQ(static_cast<void *>(got.second.address), nullptr);
    EXPECT_EQ(mach_msg_size_t{got.second.size}, 0u);
    EXPECT_EQ(unsigned{got.second.type}, unsigned{MACH_MSG_OOL_DESCRIPTOR});

    for (std::size_t size = 0; size < sizeof(MemoryPacket); ++size) {
        Outgoing refused;
        EXPECT_EQ(parse(with_memory(), refused, size), MACH_SEND_MSG_TOO_SMALL) << size;
    }
    auto wrong = with_memory();
    wrong.second.copy = 2;
    EXPECT_EQ(parse(wrong, out), MACH_SEND_INVALID_TYPE);
}

TEST(Message, MemoryBetweenNodes) {
    Outgoing out;
    ASSERT_EQ(parse(with_memory(), out), MACH_MSG_SUCCESS);
    auto good = out.message;
    good.rights = {a_right(2)};
    EXPECT_EQ(decode_message(encode(good)), good); // it is lost
    EXPECT_TRUE(good.memory[0].lost());
    EXPECT_FALSE(good.memory[1].lost());
    good.memory[0].pieces = {piece_at(0, 1), piece_at(kMapPage, 1)};
    const auto bytes = encode(good);
    EXPECT_EQ(decode_message(bytes), good);
    EXPECT_EQ(pieces_of(good).size(), 2u);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_message(std::span(bytes).first(size))) << size;
    }
    const auto refused = [&good](const std::function<void(Message &)> &change) {
        auto wrong = good;
        change(wrong);
        return !decode_message(encode(wrong));
    };
    EXPECT_TRUE(refused([](Message &message) { message.complex = false; }));
    EXPECT_TRUE(refused([](Message &message) { message.memory.pop_back(); }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[1].place = 0; }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[1].place = 3; }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[1].within = 1; }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[1].pieces = {piece_at(0, 1)}; }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[0].within = kMapPage; }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[0].pieces.pop_back(); }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[0].pieces.push_back(piece_at(2 * kMapPage, 1)); }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[0].pieces[0].size = 0; }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[0].pieces[0].size += 1; }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[0].pieces[0].offset += 1; }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[0].pieces[0].offset = ~(kMapPage - 1); }));
    EXPECT_TRUE(refused([](Message &message) { message.memory[0].pieces[0].stretch.object.home = dsm::kMaxNodes; }));
    EXPECT_TRUE(refused([](Message &message) { message.body.pop_back(); }));
}

TEST(Messages, WhatANameServerIsTold) {
    const NamedService service{.right = {.right = {.kind = Right::Kind::port, .task = 1, .thread = 0, .key = {2, 3}}},
                               .name = std::vector<std::byte>(BOOTSTRAP_MAX_NAME_LEN - 1, std::byte{'x'})};
    const auto bytes = encode(service);
    const auto back = decode_service(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->right, service.right);
    EXPECT_EQ(back->name, service.name);
    EXPECT_FALSE(decode_service(std::span(bytes).first(kCarriedBytes))); // no name
    EXPECT_FALSE(decode_service(std::span(bytes).first(kCarriedBytes - 1)));
    auto wrong = service;
    wrong.name.push_back(std::byte{'x'});
    EXPECT_FALSE(decode_service(encode(wrong)));
    wrong = service;
    wrong.right.receive = {4, 5};
    EXPECT_FALSE(decode_service(encode(wrong)));
}

} // namespace
} // namespace norma::rt
