// SPDX-License-Identifier: BSD-3-Clause
// Writes good inputs of the current version, a few for each target, for libFuzzer to start from:
// `fuzz_seeds tests/fuzz/corpus` after a change of a format. What else is in the folders stays there.
#include "tests/fuzz/target.hpp"

#include "apps/heat/picture.hpp"
#include "norma/mach.h"
#include "norma/norma.h"
#include "rpc/address.hpp"
#include "rpc/record.hpp"
#include "rpc/verbs/frame.hpp"
#include "rpc/verbs/hello.hpp"
#include "rpc/wire.hpp"
#include "runtime/bootstrap.hpp"
#include "runtime/launch.hpp"
#include "runtime/message.hpp"
#include "runtime/moved_names.hpp"
#include "runtime/protocol.hpp"
#include "runtime/server/image.hpp"
#include "runtime/server/services.hpp"
#include "runtime/server/wire.hpp"

#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

namespace {

using namespace norma;
using Input = std::vector<std::byte>;

std::filesystem::path top;

void keep(const char *target, const char *name, std::span<const std::byte> input) {
    std::filesystem::create_directories(top / target);
    std::ofstream file(top / target / name, std::ios::binary);
    file.write(reinterpret_cast<const char *>(input.data()), static_cast<std::streamsize>(input.size()));
}

void keep(const char *target, const char *name, std::string_view text) {
    keep(target, name, std::as_bytes(std::span(text)));
}

template <class T> std::span<const std::byte> bytes_of(const T &value) {
    return std::as_bytes(std::span(&value, 1));
}

void messages() {
    const rpc::MessageHeader header{.source = 1,
                                    .destination = 2,
                                    .job_key = 0x1122334455667788,
                                    .source_incarnation = 7,
                                    .destination_incarnation = 9,
                                    .record_bytes = 4,
                                    .payload_bytes = 8};
    Input whole(1 + rpc::kHeaderBytes + 12, std::byte{0x55});
    rpc::encode_header(header, std::span(whole).subspan<1, rpc::kHeaderBytes>());
    whole[0] = std::byte{1};
    keep("message", "whole", whole);
    // 40 + 12 bytes are cut at 40 + 52 % 9; a record of 7 bytes makes that the right place.
    auto apart = header;
    apart.record_bytes = 7;
    apart.payload_bytes = 5;
    rpc::encode_header(apart, std::span(whole).subspan<1, rpc::kHeaderBytes>());
    whole[0] = std::byte{0};
    keep("message", "apart", whole);
    keep("reader", "numbers",
         std::string_view("\1\2\0\3\2\1\0\1\2\0\3\2\1\0\1\2"
                          "0123456789abcdef0123456789abcdef0123456789abcdef",
                          64));
    keep("reader", "strings", std::string_view("\4\5\6\4\5\6\4\5\6\4\5\6\4\5\6\4\3\0\0\0abc\2\0\0\0de\1\0\0\0f", 34));
    keep("inbox", "in-order", std::string_view("\0\0\3\0\0\1\3\0\1\1\3\0\2\2", 14));
    keep("inbox", "early", std::string_view("\3\0\1\1\3\0\0\2\0\0\6\6\6\1\3\0\1\1", 18));
    keep("address", "plain", "worker address");
    keep("address", "sealed", rpc::seal_address("tcp", std::as_bytes(std::span("worker address"))));
}

void verbs_records() {
    using namespace rpc::verbs;
    const Hello hello{.header = {.source = 1,
                                 .destination = 2,
                                 .job_key = 0x1122334455667788,
                                 .source_incarnation = 7,
                                 .destination_incarnation = 9},
                      .credits = 64};
    keep("verbs_hello", "hello", encode_hello(hello));
    keep("verbs_hello", "refusal", encode_refusal(rpc::Verdict::key));
    Input frame(kFrameBytes + kPartsBytes);
    encode_frame({.kind = FrameKind::announced, .credits = 3, .token = 9}, frame);
    encode_announcement(
        {.front = {.address = 0x1000, .key = 5, .bytes = 80}, .payload = {.address = 0x2000, .key = 6, .bytes = 4096}},
        std::span(frame).subspan(kFrameBytes));
    keep("verbs_frame", "announced", frame);
    frame.resize(kFrameBytes);
    encode_frame({.kind = FrameKind::fetched, .token = 9}, frame);
    keep("verbs_frame", "fetched", frame);
    frame.resize(kFrameBytes + 48);
    encode_frame({.kind = FrameKind::message, .credits = 1}, frame);
    keep("verbs_frame", "message", frame);
}

void peers() {
    const dsm::Msg forward{
        .type = dsm::MsgType::forward, .write = true, .requester = 2, .txn = 5, .request = 6, .base = 7, .mask = 9};
    keep("peer", "coherence", bytes_of(rt::encode({.home = 1, .incarnation = 1, .serial = 3}, forward)));
    rt::Request request;
    request.op = rt::Op::task_clone;
    request.caller = {.node = 2, .task = 3, .thread = 4, .call = 5};
    request.target = {.kind = rt::Right::Kind::task, .task = 6, .thread = 0};
    request.args = {1, 2, 3, 4, 5, 6};
    request.blob = {std::byte{1}, std::byte{2}};
    keep("peer", "request", rt::encode(request));
    rt::Reply reply;
    reply.vals = {1, 2, 3, 4};
    reply.rights = {{.kind = rt::Right::Kind::thread, .task = 8, .thread = 9}};
    reply.blob = {std::byte{7}};
    keep("peer", "reply", rt::encode(11, reply));

    const rt::Carried right{.right = {.kind = rt::Right::Kind::port, .task = 6, .thread = 0, .key = {1, 2}}};
    rt::Message message{.id = 5, .complex = true, .token = 7, .reply = right, .rights = {right}, .body = Input(20)};
    message.body[0] = std::byte{1};
    message.rights[0].receive = {3, 4};
    auto record = rt::encode(message);
    record.insert(record.begin(), std::byte{0});
    keep("port_message", "of-a-node", record);
    auto laid_out = rt::lay_out(message, 0, {.reply = 17, .rights = {18}, .memory = {}});
    laid_out.resize(laid_out.size() - sizeof(mach_msg_trailer_t));
    laid_out.insert(laid_out.begin(), std::byte{1});
    laid_out[2] = std::byte{0}; // no local port
    keep("port_message", "of-a-task", laid_out);
    rt::MapEntry piece;
    piece.size = 2 * rt::kMapPage;
    piece.stretch = {.object = {.home = 1, .incarnation = 1, .serial = 3}, .number = 2};
    message.memory = {{.place = 0, .bytes = 5000, .within = 8, .pieces = {piece}},
                      {.place = 2, .bytes = 0, .within = 0, .pieces = {}}};
    message.body = Input(4 + 12 + 2 * 16 + 3);
    message.body[0] = std::byte{3};
    record = rt::encode(message);
    record.insert(record.begin(), std::byte{0});
    keep("port_message", "memory-of-a-node", record);
    laid_out = rt::lay_out(message, 0, {.reply = 17, .rights = {18}, .memory = {0x200000000008, 0}});
    laid_out.resize(laid_out.size() - sizeof(mach_msg_trailer_t));
    laid_out.insert(laid_out.begin(), std::byte{1});
    laid_out[2] = std::byte{0};
    keep("port_message", "memory-of-a-task", laid_out);
    rt::Message answer;
    answer.id = MACH_EXCEPTION_RAISE_STATE_ID + MACH_EXCEPTION_REPLY_OFFSET;
    answer.body.resize(20 + sizeof(x86_thread_state64_t)); // NDR, status, flavor, count, state
    answer.body[20 + offsetof(x86_thread_state64_t, rip)] = std::byte{1};
    answer.body[12] = std::byte{x86_THREAD_STATE64};
    answer.body[16] = std::byte{x86_THREAD_STATE64_COUNT};
    record = rt::encode(answer);
    record.insert(record.begin(), std::byte{0});
    keep("port_message", "exception-answer", record);
    record = rt::encode(rt::NamedService{.right = right, .name = {std::byte{'a'}, std::byte{'b'}}});
    record.insert(record.begin(), std::byte{2});
    keep("port_message", "service", record);
    const rt::HeldRight held{.right = right.right, .behavior = EXCEPTION_DEFAULT, .flavor = 0};
    record = rt::encode(
        rt::MovedNames{.next = 20,
                       .names = {{16, {.right = right.right, .receive = {3, 4}, .sends = 2, .notify = right.right}},
                                 {17, {.right = {.kind = rt::Right::Kind::dead, .task = 0, .thread = 0}, .dead = 1}}},
                       .slots = {{rt::exception_slot(2, EXC_ARITHMETIC), held}}});
    record.insert(record.begin(), std::byte{3});
    keep("port_message", "moved-names", record);

    rt::TaskImage image;
    image.program = {.path = "/bin/app", .argv = {"app", "-x"}, .env = {"A=1"}, .cwd = "/", .build_id = "ab"};
    image.stretches = {{.stretch = {.object = {.home = 1, .incarnation = 1, .serial = 2}, .number = 3}, .pages = 4}};
    keep("image", "no-memory", rt::encode(image));
    rt::MapEntry entry;
    entry.start = 0x200000000000;
    entry.size = 2 * rt::kMapPage;
    entry.stretch = image.stretches[0].stretch;
    entry.offset = rt::kMapPage;
    image.entries = {entry};
    image.slots = {{rt::kSlotBootstrap, {.right = rt::name_server(0)}},
                   {rt::kSlotRegistered, {.right = right.right}},
                   {rt::exception_slot(0, EXC_BAD_ACCESS),
                    {.right = right.right, .behavior = EXCEPTION_STATE, .flavor = x86_THREAD_STATE64}}};
    image.program.data = {.start = 0x555000, .size = 0x3000};
    image.program.heap = {.start = 0x200000400000, .size = 0x200000};
    image.first = true;
    image.ledgers[rt::kPaged] = {{.id = 0x10000, .granted = 1 << 20}, {.id = 0x10001, .granted = rt::kMapPage}};
    keep("image", "memory", rt::encode(image));
}

void keep_services(const char *name, const rt::Services &services) {
    keep("services", name,
         rt::encode({.sync = services.sync,
                     .families = services.families,
                     .groups = services.groups,
                     .names = services.names,
                     .ended = services.ended,
                     .priv_keys = services.priv_keys,
                     .files = services.files,
                     .ports = {.home = services.ports->home, .servers = services.ports->servers}}));
}

void what_a_node_has_made() {
    rt::Services services(1);
    keep_services("none", services);
    const rt::Waiter waiter{.node = 2, .task = 23, .thread = 234, .call = 5};
    rt::SyncId mutex = 0, condition = 0;
    rt::Outcomes outcomes;
    services.sync.create(rt::SyncKind::mutex, 0, mutex);
    services.sync.create(rt::SyncKind::condition, 0, condition);
    services.sync.request(rt::SyncOp::mutex_lock, mutex, waiter, outcomes);
    services.sync.request(rt::SyncOp::cond_enqueue, condition, waiter, outcomes);
    const rt::Right task{.kind = rt::Right::Kind::task, .task = rt::TaskId{1} << 48 | 7, .key = {.high = 1, .low = 2}};
    const auto parent = services.families.make(task, 0);
    services.families.add_child({.identity = 258, .pid = 258, .parent = parent, .exit_signal = 17}, 2);
    services.groups.make(rt::Table::directories, task);
    services.names["memory"] = {.home = 2, .incarnation = 1, .serial = 3};
    services.priv_keys.insert(task.key);
    services.ended[8] = {.key = task.key, .status = 256, .successor = task, .threads_moved = true, .awaited_by = {}};
    keep_services("all", services);
    rt::Services with_files(1);
    auto &files = with_files.files;
    files.files = {{.path = "/tmp/log",
                    .flags = O_WRONLY | O_APPEND,
                    .offset = 5,
                    .mark = {.machine = "a machine", .inode = 7, .mode = S_IFREG | 0644, .system = 0x6969}},
                   {.path = "", .stream = 1}};
    const rt::TableId table = 0x101;
    files.tables[table].table.add(3, {.node = 1});
    files.tables[table].table.add(4, {.node = 1});
    files.tables[table].open = {{3, 0}, {4, 1}};
    files.homes[table] = {.members = {task.task}, .nodes = 0b110};
    keep_services("files", with_files);
    rt::Services with_ports(1);
    auto &home = with_ports.ports->home;
    rt::Carried receive{.right = {}, .receive = {3, 4}}, other{.right = {}, .receive = {7, 8}};
    rt::PortEvents events;
    home.create({1, 2}, receive.receive, 1, receive.right);
    home.create({5, 6}, other.receive, 2, other.right);
    home.attach(receive.right, 2, true);
    rt::Message message;
    message.rights = {{.right = receive.right, .receive = {}}};
    home.send(other.right, {.node = 2, .number = 9}, std::make_shared<const rt::Message>(std::move(message)), false,
              events);
    with_ports.ports->servers[1].emplace(std::vector(9, std::byte{65}), receive.right);
    keep_services("ports", with_ports);
}

void launches() {
    using namespace rt::launch;
    const Input address(5, std::byte{0xa5});
    keep("launch", "ready", encode(Ready{.address = address}));
    keep("launch", "exited", encode(Exited{.status = 256, .note = "why"}));
    keep("launch", "suspect", encode(Suspect{.node = 3, .why = "gone"}));
    keep("launch", "join",
         encode(Join{
             .wire = rpc::kWireVersion, .number = {}, .node = 0, .host = "host", .settings = {"NORMA_TRANSPORT=tcp"}}));
    keep("launch", "join-other",
         encode(Join{.version = 1, .wire = 2, .number = {}, .node = 0, .host = "anything", .settings = {}}));
    rt::Card card;
    card.machine = "machine";
    card.processors = {std::byte{3}};
    card.launcher = {"192.0.2.1:4000"};
    card.key = "key";
    keep("launch", "card", rt::encode_card(card));
    keep("launch", "challenge", encode(Challenge{.number = {std::byte{1}}}));
    keep("launch", "proof", encode(Proof{.proof = {std::byte{2}}}));
    keep("launch", "welcome",
         encode(Welcome{.proof = {}, .node = 1, .nodes = 2, .settings = {"A=1"}, .program = "/bin/app", .cwd = "/"}));
    keep("launch", "refused", encode(Refused{.why = "wrong job key"}));
    keep("launch", "ended", encode(Ended{.status = 9}));
    keep("launch", "job", encode(JobKey{.key = 0x1122334455667788}));
    keep("launch", "start",
         encode(Start{.nodes = {{.incarnation = 1, .address = address}, {.incarnation = 2, .address = {}}}}));
    keep("launch", "run", encode(Run{.program = "/bin/app", .argv = {"app", ""}, .env = {"A=1"}, .cwd = "/"}));
    keep("launch", "here", encode(Here{}));
    keep("launch", "still_here", encode(StillHere{}));
    keep("launch", "drain", encode(Drain{.number = 1, .node = 2, .to = 3}));
    keep("launch", "draining", encode(Draining{.number = 1, .tasks = 2, .bytes = 4096}));
    keep("launch", "drained", encode(Drained{.number = 1, .moved = 2, .why = "wired"}));
    keep("launch", "leaves", encode(Leaves{.number = 1, .moved = 2, .successor = 3}));
    keep("launch", "served", encode(Served{.node = 2}));
    keep("launch", "serve", encode(Serve{.node = 2}));
    keep("launch", "node_left", encode(NodeLeft{.node = 2, .successor = 3}));
    keep("launch", "look", encode(Look{.number = 1, .task = 0x0001000100000003}));
    rt::NodeReport report;
    report.pages_in = 3;
    auto &task = report.tasks.emplace_back();
    task.program = "/bin/app";
    task.thread_list.push_back({.number = 1, .tid = 79, .suspend_count = 2});
    const dsm::ObjectId object{.home = 0, .incarnation = 1, .serial = 7};
    report.hot_pages.push_back(
        {.stretch = {.object = object, .number = 1}, .offset = 4096, .address = 0, .reads = 3, .writes = 4});
    report.names.push_back({.object = object, .name = "grid"});
    keep("launch", "seen", encode(Seen{.number = 1, .report = report}));
    keep("launch", "migrate", encode(Migrate{.number = 1, .task = 0x0001000100000003, .node = 1, .flags = 0}));
    keep("launch", "migrate_lazy",
         encode(Migrate{.number = 2, .task = 0x0001000100000003, .node = 0, .flags = NORMA_MIGRATE_LAZY}));
    keep("launch", "migrated", encode(Migrated{.number = 1, .task = 0, .why = "it is suspended"}));
    keep("launch", "overview", encode(Overview{.number = 1, .nodes = 2, .running = true, .program = "/bin/app"}));
    keep("launch", "unseen", encode(Unseen{.number = 1, .node = 1, .why = "gone"}));
    keep("launch", "newcomer", encode(Newcomer{.node = 2, .incarnation = 1, .address = address, .nearby = true}));
    keep("launch", "joined", encode(Joined{.node = 2}));
    keep("launch", "met", encode(Met{.node = 2, .why = "no way"}));
    keep("launch", "add_node", encode(AddNode{.number = 3}));
    keep("launch", "node_added", encode(NodeAdded{.number = 3, .node = 2, .why = ""}));
    keep("launch", "node-down", encode(NodeDown{.node = 3, .why = "killed"}));
}

void packets() {
    const rt::RequestHead allocate{.op = static_cast<std::uint32_t>(rt::Op::vm_allocate),
                                   .port = rt::kNameTaskSelf,
                                   .thread = 77,
                                   .args = {0, 4096, 1, 0, 0, 0}};
    keep("packet", "vm-allocate", bytes_of(allocate));
    const rt::RequestHead wait{
        .op = static_cast<std::uint32_t>(rt::Op::thread_wait), .port = rt::kFirstName + 1, .thread = 77, .args = {}};
    keep("packet", "thread-wait", bytes_of(wait));
    const rt::TaskMsgHead hello{
        .type = static_cast<std::uint32_t>(rt::TaskMsg::hello), .reserved = 0, .args = {rt::kTaskProtocol, 0, 0}};
    keep("packet", "hello", bytes_of(hello));
}

void files() {
    keep("matrix", "symmetric",
         "\2%%MatrixMarket matrix coordinate real symmetric\n% a comment\n3 3 4\n1 1 4\n2 2 5e0\n3 3 6\n3 1 -1.5\n");
    keep("matrix", "general",
         "\2%%MatrixMarket matrix coordinate integer general\n2 2 4\n1 1 4\n1 2 -1\n2 1 -1\n2 2 4\n");
    keep("matrix", "vector", "\1%%MatrixMarket matrix array real general\n3 1\n1\n2\n3\n");
    keep("matrix", "numbers",
         "\1"
         "1\n2.5\n-3e1\n");
    keep("picture", "plain.pgm", "P2\n# plain\n3 3\n9\n0 1 2\n3 4 5\n6 7 8\n");
    keep("picture", "raw.pgm", "P5 3 3 255\nabcdefghi");
    const std::vector<double> values{0, 1, 2, 3, 4, 5, 6, 7, 8};
    heat::write_heat_png(top / "picture" / "palette.png", values, 3, 3, 0, 8);
}

void settings() {
    keep("config", "good", "NORMA_TRANSPORT=tcp\nNORMA_SPIN=50us\nNORMA_MEMORY=64M\nNORMA_PREFETCH=8\nHOME=/\n");
    keep("config", "window", "NORMA_WINDOW_BASE=0x200000000000\nNORMA_WINDOW_SIZE=16T\nNORMA_CALL_TIMEOUT=2s\n");
    keep("config", "wrong", "NORMA_TRANSPROT=tcp\nNORMA_SPIN=50\nNORMA_PREFETCH=99\nNORMA_WAIT\n");
    keep("address_map", "insert", std::string_view("\1\0\2\1\2\2\0\0\1\2\3\7\1\1\2\1\1\2\1", 19));
    keep("address_map", "slice", std::string_view("\0\2\22\3\0\0\2\22\1\1\0\2\22\2\2", 15));
}

void sequences() {
    // A read by the home, one by another node, its done, and a write by a third.
    keep("core", "home",
         std::string_view("\0\1\3\0\0\0\1\120\1\0\1\1\1\0\0\1\121\7\0\0\1\0\0\0\1\122\1\1\0\2\2\0\0\1", 34));
    keep("core", "other", std::string_view("\1\1\3\0\0\1\0\120\5\1\0\1\1\0\0\1\120\3\0\0\0\2\0\0\0\1\372\0", 28));
    keep("sync", "mutex", std::string_view("\0\2\1\4\1\2\0\4\2\2\0\4\1\4\0\4\2\4\0", 19));
    keep("sync", "condition", std::string_view("\0\3\1\4\1\5\0\4\1\6\0\4\2\10\0\1\0\2\1\0", 20));
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        std::fputs("usage: fuzz_seeds FOLDER\n", stderr);
        return 2;
    }
    top = argv[1];
    messages();
    verbs_records();
    peers();
    what_a_node_has_made();
    launches();
    packets();
    files();
    settings();
    sequences();
}
