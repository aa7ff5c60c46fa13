// SPDX-License-Identifier: BSD-3-Clause
// The bytes of everything that passes between processes, as they are in the present version. Who has to change one of
// these has changed a protocol: kWireVersion (rpc/record.hpp) or kTaskProtocol (runtime/protocol.hpp) goes up with it.
// The header of messages and the coherence record have tests of their own.
#include "norma/mach.h"
#include "rpc/address.hpp"
#include "rpc/record.hpp"
#include "rpc/transport.hpp"
#include "rpc/verbs/frame.hpp"
#include "rpc/verbs/hello.hpp"
#include "runtime/launch.hpp"
#include "runtime/message.hpp"
#include "runtime/moved_files.hpp"
#include "runtime/names.hpp"
#include "runtime/packets.hpp"
#include "runtime/server/image.hpp"
#include "runtime/server/probe.hpp"
#include "runtime/server/wire.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace norma::rt {
namespace {

std::string hex(std::span<const std::byte> bytes) {
    std::string text;
    for (const auto byte : bytes) {
        text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    }
    return text;
}

template <class T> std::string hex_of(const T &value) {
    return hex(std::as_bytes(std::span(&value, 1)));
}

// The fields are kept apart by blanks.
std::string digits_of(std::string_view fields) {
    std::string digits(fields);
    std::erase(digits, ' ');
    return digits;
}

std::vector<std::byte> bytes_of(std::string_view fields) {
    const auto digits = digits_of(fields);
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        bytes.push_back(static_cast<std::byte>(std::stoul(digits.substr(i, 2), nullptr, 16)));
    }
    return bytes;
}

TEST(Golden, VersionsOfTheseBytes) {
    EXPECT_EQ(rpc::kWireVersion, 6);
    EXPECT_EQ(kTaskProtocol, 2U);
}

TEST(Golden, LaunchRecords) {
    using namespace launch;
    const std::vector<std::byte> address{std::byte{0xa1}, std::byte{0xa2}};
    const NodeReport report{
        .node = 1,
        .pid = 0x11,
        .memory_used = 1,
        .memory_limit = 2,
        .resident = 3,
        .objects = 4,
        .ports = 5,
        .faults_read = 6,
        .faults_write = 7,
        .zero_filled = 8,
        .pages_in = 9,
        .pages_out = 10,
        .poisoned = 11,
        .messages_sent = 12,
        .messages_received = 13,
        .bytes_sent = 14,
        .bytes_received = 15,
        .tasks = {{.id = 0x0001000100000003,
                   .pid = 0x12,
                   .state = TaskReport::State::suspended,
                   .first = true,
                   .threads = 1,
                   .mapped = 0x1000,
                   .wired = 0x2000,
                   .behind = 0x3000,
                   .cpu_us = 5,
                   .program = "/p",
                   .thread_list = {{.number = 4, .tid = 0x13, .suspend_count = 1}}}},
        .hot_pages = {{.stretch = {.object = {.home = 1, .incarnation = 2, .serial = 3}, .number = 4},
                       .offset = 0x5000,
                       .address = 0x6000,
                       .reads = 7,
                       .writes = 8}},
        .names = {{.object = {.home = 1, .incarnation = 2, .serial = 3}, .name = "n"}}};
    std::string counters;
    for (int number = 1; number <= 15; ++number) {
        counters += fmt::format("{:02x}00000000000000 ", number);
    }
    Number number{};
    number.front() = std::byte{0x0a};
    number.back() = std::byte{0x0b};
    const auto number_bytes = "0a" + std::string(60, '0') + "0b";
    const std::vector<std::pair<Record, std::string>> golden{
        {Ready{.address = address}, "01 02000000 a1a2"},
        {Exited{.status = 0x1234, .note = "why"}, "02 34120000 03000000 776879"},
        {Fatal{.why = "no"}, "03 02000000 6e6f"},
        {Connected{}, "04"},
        {Hosting{}, "05"},
        {Suspect{.node = 1, .why = "no"}, "06 0100 02000000 6e6f"},
        {Join{.wire = 0x102, .number = number, .node = 0x506, .host = "h", .settings = {"A=1"}},
         "20 4e6f726d614a696e 0700 0201 32000000 " + number_bytes + " 0605 01000000 68 01000000 03000000 413d31"},
        {Challenge{.number = number}, "24 " + number_bytes},
        {Proof{.proof = number}, "25 " + number_bytes},
        {Welcome{.proof = number,
                 .node = 1,
                 .nodes = 2,
                 .founders = 3,
                 .places = 4,
                 .settings = {"A=1"},
                 .program = "/p",
                 .cwd = "/"},
         "21 " + number_bytes + " 0100 0200 0300 0400 01000000 03000000 413d31 02000000 2f70 01000000 2f"},
        {Refused{.why = "no"}, "22 02000000 6e6f"},
        {Ended{.status = 0x1234}, "23 34120000"},
        {JobKey{.key = 0x1122334455667788}, "40 8877665544332211"},
        {Start{.nodes = {{.incarnation = 1, .address = address}, {.incarnation = 7, .address = {}}}},
         "41 0200 01000000 02000000 a1a2 07000000 00000000"},
        {launch::Run{.program = "/p", .argv = {"p", ""}, .env = {"A=1"}, .cwd = "/"},
         "42 02000000 2f70 02000000 01000000 70 00000000 01000000 03000000 413d31 01000000 2f"},
        {NodeDown{.node = 0x102, .why = "x"}, "43 0201 01000000 78"},
        {Shutdown{}, "44"},
        {Look{.number = 2, .task = 0x0001000100000003}, "45 0200000000000000 0300000001000100"},
        {Seen{.number = 2, .report = report},
         "07 0200000000000000 0100 11000000 " + counters +
             " 01000000 0300000001000100 12000000 02 01 01000000 0010000000000000 0020000000000000 0030000000000000 "
             "0500000000000000 "
             "02000000 2f70 01000000 0400000000000000 13000000 01000000 "
             "01000000 01000000 02000000 0300000000000000 0400000000000000 0050000000000000 0060000000000000 "
             "0700000000000000 0800000000000000 "
             "01000000 01000000 02000000 0300000000000000 01000000 6e"},
        {Here{}, "09"},
        {StillHere{}, "47"},
        {Migrated{.number = 2, .task = 0x0001000100000003, .why = "no"},
         "08 0200000000000000 0300000001000100 02000000 6e6f"},
        {Migrate{.number = 2, .task = 0x0001000100000003, .node = 5, .flags = 1},
         "46 0200000000000000 0300000001000100 0500 01"},
        {Draining{.number = 2, .tasks = 3, .bytes = 0x1122334455667788},
         "10 0200000000000000 03000000 8877665544332211"},
        {Drained{.number = 2, .moved = 3, .why = "no"}, "11 0200000000000000 03000000 02000000 6e6f"},
        {Leaves{.number = 2, .moved = 3, .successor = 0x102}, "12 0200000000000000 03000000 0201"},
        {Served{.node = 0x102}, "13 0201"},
        {Drain{.number = 2, .node = 1, .to = 0x304}, "54 0200000000000000 0100 0403"},
        {Serve{.node = 0x102}, "55 0201"},
        {NodeLeft{.node = 1, .successor = 0x304}, "56 0100 0403"},
        {Overview{.number = 2, .nodes = 3, .first_task_at = 1, .running = true, .program = "/p"},
         "60 0200000000000000 0300 0100 01 02000000 2f70"},
        {Unseen{.number = 2, .node = 1, .why = "x"}, "61 0200000000000000 0100 01000000 78"},
        {Newcomer{.node = 0x102, .incarnation = 7, .address = address, .nearby = true},
         "62 0201 07000000 02000000 a1a2 01"},
        {Joined{.node = 0x102}, "63 0201"},
        {Met{.node = 0x102, .why = "no"}, "64 0201 02000000 6e6f"},
        {AddNode{.number = 2}, "65 0200000000000000"},
        {CheckpointReached{.number = 2, .step = CheckpointStep::go_on, .changed = true, .why = "no"},
         "18 0200000000000000 02 01 02000000 6e6f"},
        {Restored{.why = "no"}, "19 02000000 6e6f"},
        {TakeStep{.number = 2, .step = CheckpointStep::take}, "50 0200000000000000 01"},
        {Restore{.kind = 3, .node = 0x102, .bytes = address}, "51 03 0201 02000000 a1a2"},
        {Checkpoint{.number = 2}, "68 0200000000000000"},
        {CheckpointTaken{.number = 2, .nodes = 0x102, .pause_us = 3, .why = "no"},
         "69 0200000000000000 0201 0300000000000000 02000000 6e6f"},
        {CheckpointRead{.number = 2, .node = 0x102}, "6a 0200000000000000 0201"},
        {CheckpointPiece{.number = 2, .node = 0x102, .kind = 3, .bytes = address},
         "6b 0200000000000000 0201 03 02000000 a1a2"},
        {NodeAdded{.number = 2, .node = 0x102, .why = "no"}, "66 0200000000000000 0201 02000000 6e6f"},
    };
    ASSERT_EQ(golden.size(), std::variant_size_v<Record>);
    for (const auto &[record, fields] : golden) {
        EXPECT_EQ(hex(encode(record)), digits_of(fields));
        const auto bytes = bytes_of(fields);
        const auto back = decode(bytes);
        EXPECT_TRUE(back && *back == record) << fields;
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            EXPECT_FALSE(decode(std::span(bytes).first(size))) << fields << " cut to " << size;
        }
        auto longer = bytes;
        longer.push_back(std::byte{0});
        EXPECT_FALSE(decode(longer)) << fields;
    }
    EXPECT_FALSE(decode(bytes_of("06")));
    EXPECT_FALSE(decode(bytes_of("24")));
    EXPECT_FALSE(decode(bytes_of("46")));
    EXPECT_FALSE(decode(bytes_of("60 0200000000000000 0300 0100 02 02000000 2f70"))); // neither true nor false
}

TEST(Golden, TaskPackets) {
    EXPECT_EQ(hex_of(RequestHead{.op = static_cast<std::uint32_t>(Op::vm_protect),
                                 .port = 1,
                                 .thread = 0x0102,
                                 .args = {0x1112131415161718, 2, 3, 4, 5, 6}}),
              digits_of("0c000000 01000000 0201000000000000 1817161514131211 0200000000000000 0300000000000000 "
                        "0400000000000000 0500000000000000 0600000000000000"));
    EXPECT_EQ(hex_of(ReplyHead{.status = -1, .reserved = 0, .vals = {1, 2, 3, 0x1112131415161718}}),
              digits_of("ffffffff 00000000 0100000000000000 0200000000000000 0300000000000000 1817161514131211"));
    EXPECT_EQ(
        hex_of(CommandHead{.command = static_cast<std::uint32_t>(Command::run_main),
                           .reserved = 0,
                           .number = 9,
                           .args = {1, 2, 3, 4}}),
        digits_of(
            "0e000000 00000000 0900000000000000 0100000000000000 0200000000000000 0300000000000000 0400000000000000"));
    EXPECT_EQ(hex_of(TaskMsgHead{
                  .type = static_cast<std::uint32_t>(TaskMsg::thread_ended), .reserved = 0, .args = {1, 2, 3}}),
              digits_of("04000000 00000000 0100000000000000 0200000000000000 0300000000000000"));
    EXPECT_EQ(hex_of(RegionInfo{.address = 1,
                                .bytes = 2,
                                .offset = 3,
                                .protection = 4,
                                .max_protection = 5,
                                .inheritance = 6,
                                .behavior = 7,
                                .shared = 8,
                                .wired = 9}),
              digits_of("0100000000000000 0200000000000000 0300000000000000 04000000 05000000 06000000 07000000 "
                        "08000000 09000000"));
}

TEST(Golden, PacketsAreHeadAndBlob) {
    const auto packet = bytes_of("04000000 00000000 0100000000000000 0200000000000000 0300000000000000 aabb");
    const auto got = split_packet<TaskMsgHead>(packet);
    ASSERT_TRUE(got);
    EXPECT_EQ(static_cast<TaskMsg>(got->head.type), TaskMsg::thread_ended);
    EXPECT_EQ(got->head.args[2], 3U);
    EXPECT_EQ(hex(got->blob), digits_of("aabb"));
    for (std::size_t size = 0; size < sizeof(TaskMsgHead); ++size) {
        EXPECT_FALSE(split_packet<TaskMsgHead>(std::span(packet).first(size))) << size;
    }
}

// The numbers of operations and commands are a part of the packets.
TEST(Golden, Numbers) {
    EXPECT_EQ(static_cast<unsigned>(Op::task_clone), 1U);
    EXPECT_EQ(static_cast<unsigned>(Op::vm_region), 14U);
    EXPECT_EQ(static_cast<unsigned>(Op::thread_self), 21U);
    EXPECT_EQ(static_cast<unsigned>(Op::sync_request), 23U);
    EXPECT_EQ(static_cast<unsigned>(Op::stats), 26U);
    EXPECT_EQ(static_cast<unsigned>(Op::region_find), 30U);
    EXPECT_EQ(static_cast<unsigned>(Op::region_withdraw), 124U);
    EXPECT_EQ(static_cast<unsigned>(Op::task_create_on), 33U);
    EXPECT_EQ(static_cast<unsigned>(Op::barrier_expect), 31U);
    EXPECT_EQ(static_cast<unsigned>(Op::thread_abort), 38U);
    EXPECT_EQ(static_cast<unsigned>(Op::vm_give_back), 40U);
    EXPECT_EQ(static_cast<unsigned>(Op::vm_remap), 42U);
    EXPECT_EQ(static_cast<unsigned>(Op::object_remove), 44U);
    EXPECT_EQ(static_cast<unsigned>(Op::port_allocate), 64U);
    EXPECT_EQ(static_cast<unsigned>(Op::msg_receive), 74U);
    EXPECT_EQ(static_cast<unsigned>(Op::name_get), 78U);
    EXPECT_EQ(static_cast<unsigned>(Op::port_attach), 144U);
    EXPECT_EQ(static_cast<unsigned>(Op::port_take), 154U);
    EXPECT_EQ(static_cast<unsigned>(Op::name_find), 156U);
    EXPECT_EQ(static_cast<unsigned>(Op::task_ledger), 96U);
    EXPECT_EQ(static_cast<unsigned>(Op::host_priv), 102U);
    EXPECT_EQ(static_cast<unsigned>(Op::host_priv_check), 103U);
    EXPECT_EQ(static_cast<unsigned>(Op::vm_msync), 120U);
    EXPECT_EQ(static_cast<unsigned>(Op::object_close), 122U);
    EXPECT_EQ(static_cast<unsigned>(Op::stretch_shared), 177U);
    EXPECT_EQ(static_cast<unsigned>(Op::stretch_pay), 178U);
    EXPECT_EQ(static_cast<unsigned>(Op::spawn), 128U);
    EXPECT_EQ(static_cast<unsigned>(Op::sync_task_moved), 135U);
    EXPECT_EQ(static_cast<unsigned>(Op::thaw), 138U);
    EXPECT_EQ(static_cast<unsigned>(Op::vm_pieces), 140U);
    EXPECT_EQ(static_cast<unsigned>(Op::make_room), 216U);
    EXPECT_EQ(static_cast<unsigned>(Op::furnish), 219U);
    EXPECT_EQ(static_cast<unsigned>(Op::give_names), 223U);
    EXPECT_EQ(static_cast<unsigned>(Command::welcome), 1U);
    EXPECT_EQ(static_cast<unsigned>(Command::unwire), 16U);
    EXPECT_EQ(static_cast<unsigned>(Command::set_state), 18U);
    EXPECT_EQ(static_cast<unsigned>(Command::blank), 21U);
    EXPECT_EQ(static_cast<unsigned>(TaskMsg::hello), 1U);
    EXPECT_EQ(static_cast<unsigned>(TaskMsg::files), 7U);
}

TEST(Golden, Request) {
    Request request;
    request.op = Op::task_clone;
    request.caller = {.node = 2, .task = 3, .thread = 4, .call = 5, .token = 0x0000000900000008};
    request.target = {.kind = Right::Kind::task, .task = 6, .thread = 7, .key = {0x21, 0x22}};
    request.args = {1, 2, 3, 4, 5, 0x1112131415161718};
    request.blob = {std::byte{0xaa}};
    EXPECT_EQ(hex(encode(request)),
              digits_of("02 01000000 0200 0300000000000000 0400000000000000 0500000000000000 0800000009000000 01 "
                        "0600000000000000 0700000000000000 2100000000000000 2200000000000000 0100000000000000 "
                        "0200000000000000 0300000000000000 0400000000000000 0500000000000000 1817161514131211 "
                        "01000000 aa"));
}

TEST(Golden, MovedFile) {
    rpc::Writer writer;
    put_file(writer, {.path = "/a",
                      .flags = 02001,
                      .offset = 5,
                      .mark = {.machine = "m",
                               .device = 1,
                               .inode = 2,
                               .special = 3,
                               .size = 4,
                               .written = -1,
                               .mode = 0100644,
                               .system = 0x6969,
                               .system_id = 6}});
    EXPECT_EQ(hex(writer.bytes()), digits_of("02000000 2f61 00 01040000 0500000000000000 01000000 6d 0100000000000000 "
                                             "0200000000000000 0300000000000000 0400000000000000 ffffffffffffffff "
                                             "a4810000 6969000000000000 0600000000000000"));
}

TEST(Golden, Reply) {
    Reply reply;
    reply.status = 5;
    reply.vals = {1, 2, 3, 4};
    reply.rights = {{.kind = Right::Kind::thread, .task = 8, .thread = 9, .key = {0x21, 0x22}},
                    {.kind = Right::Kind::ledger, .task = 10, .thread = 11, .key = {0x31, 0x32}}};
    reply.blob = {std::byte{0xaa}, std::byte{0xbb}};
    EXPECT_EQ(hex(encode(11, reply)),
              digits_of("03 0b00000000000000 05000000 0100000000000000 0200000000000000 0300000000000000 "
                        "0400000000000000 02000000 02 0800000000000000 0900000000000000 2100000000000000 "
                        "2200000000000000 09 0a00000000000000 0b00000000000000 3100000000000000 3200000000000000 "
                        "02000000 aabb"));
}

TEST(Golden, MessageOfPorts) {
    const Carried reply{.right = {.kind = Right::Kind::port, .task = 6, .thread = 0, .key = {0x21, 0x22}}};
    const Carried receive{.right = reply.right, .receive = {0x31, 0x32}};
    const std::string right = "04 0600000000000000 0000000000000000 2100000000000000 2200000000000000 ";
    const std::string none = "0000000000000000 0000000000000000 ";
    EXPECT_EQ(hex(encode(receive)), digits_of(right + "3100000000000000 3200000000000000"));
    MapEntry piece;
    piece.size = 2 * kMapPage;
    piece.stretch = {.object = {.home = 1, .incarnation = 2, .serial = 3}, .number = 5};
    piece.offset = kMapPage;
    Message message{.id = 5,
                    .complex = true,
                    .token = 0x0000000900000008,
                    .reply = reply,
                    .rights = {receive},
                    .memory = {{.place = 1, .bytes = 0x1001, .within = 2, .pieces = {piece}}},
                    .body = bytes_of("02000000")};
    message.body.resize(4 + 12 + 16 + 1);
    EXPECT_EQ(hex(encode(message)),
              digits_of("05000000 01 0800000009000000 " + right + none + "01000000 " + right +
                        "3100000000000000 3200000000000000 01000000 01000000 01100000 02000000 01000000 "
                        "01000000 02000000 0300000000000000 0500000000000000 0010000000000000 0020000000000000 "
                        "21000000 02000000 000000000000000000000000 00000000000000000000000000000000 00"));
}

TEST(Golden, TaskImage) {
    TaskImage image;
    image.program = {.path = "/p",
                     .argv = {"p"},
                     .env = {},
                     .cwd = "/",
                     .build_id = "ab",
                     .data = {.start = 0x555000, .size = 0x3000},
                     .heap = {.start = 0x200000400000, .size = 0x200000}};
    image.first = true;
    image.stretches = {{.stretch = {.object = {.home = 1, .incarnation = 2, .serial = 3}, .number = 5}, .pages = 4}};
    image.token = 0x0000000900000008;
    image.ledgers[kPaged] = {{.id = 0x11, .granted = 0x1000}};
    MapEntry entry;
    entry.start = 0x200000000000;
    entry.size = 2 * kMapPage;
    entry.stretch = image.stretches[0].stretch;
    entry.offset = kMapPage;
    image.entries = {entry};
    image.slots = {{exception_slot(0, EXC_BAD_ACCESS),
                    {.right = {.kind = Right::Kind::port, .task = 6, .thread = 0, .key = {0x21, 0x22}},
                     .behavior = EXCEPTION_STATE,
                     .flavor = x86_FLOAT_STATE64}}};
    EXPECT_EQ(hex(encode(image)),
              digits_of("02000000 2f70 01000000 01000000 70 00000000 01000000 2f 02000000 6162 "
                        "0050550000000000 0030000000000000 0000400000200000 0000200000000000 01 00 "
                        "0800000009000000 00000000 01000000 1100000000000000 0010000000000000 00000000 01000000 "
                        "0000000000200000 0020000000000000 01000000 02000000 0300000000000000 0500000000000000 "
                        "0010000000000000 03 07 01 00 "
                        "01000000 01000000 02000000 0300000000000000 0500000000000000 0400000000000000 "
                        "01000000 31000000 04 0600000000000000 0000000000000000 2100000000000000 2200000000000000 "
                        "02000000 05000000"));
}

TEST(Golden, AddressEnvelope) {
    const auto inside = bytes_of("a1a2a3");
    const auto sealed = rpc::seal_address("tcp", inside);
    // "UCXA", bytes behind the envelope, FNV-1a over "tcp", 0, a1 a2 a3.
    EXPECT_EQ(hex(sealed), digits_of("55435841 07000000 702872d8f4e86930 74637000 a1a2a3"));
    std::string why;
    EXPECT_EQ(hex(rpc::open_address("tcp", sealed, why)), digits_of("a1a2a3"));
}

TEST(Golden, VerbsRecords) {
    using namespace rpc::verbs;
    std::vector<std::byte> frame(kFrameBytes + kPartsBytes);
    encode_frame({.kind = FrameKind::announced, .credits = 3, .token = 9}, frame);
    encode_announcement({.front = {.address = 0x1000, .key = 5, .bytes = 80}, .payload = {0x2000, 6, 4096}},
                        std::span(frame).subspan(kFrameBytes));
    EXPECT_EQ(hex(frame), digits_of("02 00 0300 09000000 0010000000000000 05000000 50000000 "
                                    "0020000000000000 06000000 00100000"));
    EXPECT_EQ(hex(encode_refusal(rpc::Verdict::key)), digits_of("4e4f4e6f 03000000"));
    // The header, which has a test of its own, then the credits.
    const Hello hello{.header = {.source = 1, .destination = 2, .job_key = 3}, .credits = 64};
    std::array<std::byte, rpc::kHeaderBytes> header{};
    rpc::encode_header(hello.header, header);
    EXPECT_EQ(hex(encode_hello(hello)), hex(header) + "40000000");
}

// Keeps what is sent.
class Listener final : public rpc::Transport {
  public:
    std::vector<std::byte> address() const override { return {}; }
    void connect(rpc::NodeId, std::uint32_t, std::span<const std::byte>) override {}
    void send(rpc::NodeId, std::span<const std::byte> record, rpc::StagingPtr) override { sent = hex(record); }
    rpc::StagingPtr stage() override { return nullptr; }
    bool progress() override { return false; }
    int event_fd() const override { return -1; }
    bool arm() override { return true; }
    void disconnect(rpc::NodeId) override {}
    const rpc::Counters &counters() const override { return counters_; }
    std::string describe() const override { return "listener"; }
    std::string sent;

  private:
    rpc::Counters counters_;
};

TEST(Golden, ProbeRecords) {
    Listener transport;
    Probe probe(transport);
    Request request;
    request.op = Op::probe_am;
    request.args = {1, 8, 0x1234, 1, 0, 0};
    probe.start_round_trips(request, [](const Reply &) {});
    EXPECT_EQ(transport.sent, digits_of("04 01 0000 34120000"));
    EXPECT_TRUE(probe.message(2, bytes_of("04 03 0000 00000000"))); // a message of a stream is acknowledged
    EXPECT_EQ(transport.sent, digits_of("04 04 0000 00000000"));
    for (const auto *bad : {"04", "04010000000000", "0400000000000000", "0405000000000000"}) {
        EXPECT_FALSE(probe.message(2, bytes_of(bad))) << bad;
    }
    EXPECT_TRUE(probe.busy());
}

} // namespace
} // namespace norma::rt
