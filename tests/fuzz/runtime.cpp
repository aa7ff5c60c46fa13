// SPDX-License-Identifier: BSD-3-Clause
// Records between node servers, from the launcher and from tasks. What is taken must mean the same when it is written
// and read again, so nothing half understood gets in.
#include "tests/fuzz/targets.hpp"

#include "norma/mach.h"
#include "runtime/bootstrap.hpp"
#include "runtime/exception.hpp"
#include "runtime/launch.hpp"
#include "runtime/message.hpp"
#include "runtime/moved_names.hpp"
#include "runtime/packets.hpp"
#include "runtime/server/image.hpp"
#include "runtime/server/ops.hpp"
#include "runtime/server/services.hpp"
#include "runtime/server/task.hpp"
#include "runtime/server/wire.hpp"
#include "runtime/thread_state.hpp"

#include <algorithm>
#include <cstring>

namespace fuzz {

using namespace norma;
using namespace norma::rt;

namespace {

constexpr Window kWindow{.base = 0x200000000000, .size = std::uint64_t{1} << 40, .slices = 4};

void coherence_record(Bytes input) {
    const auto got = decode_coherence(input);
    if (!got) {
        return;
    }
    const auto again = encode(got->object, got->msg);
    const auto back = decode_coherence(std::as_bytes(std::span(&again, 1)));
    FUZZ_CHECK(back && back->object == got->object && back->msg == got->msg);
    FUZZ_CHECK(got->msg.requester < dsm::kMaxNodes && got->object.home < dsm::kMaxNodes);
}

void reply_record(Bytes input) {
    std::uint64_t call = 0;
    if (const auto got = decode_reply(input, call)) {
        FUZZ_CHECK(std::ranges::equal(encode(call, *got), input));
    }
}

void request_record(Bytes input) {
    if (const auto got = decode_request(input)) {
        FUZZ_CHECK(std::ranges::equal(encode(*got), input));
        const auto *operation = find_operation(got->op);
        FUZZ_CHECK(operation == nullptr || operation->op == got->op);
    }
}

} // namespace

void peer(Bytes input) {
    switch (input.empty() ? PeerMsg{} : static_cast<PeerMsg>(input[0])) {
    case PeerMsg::coherence:
        return coherence_record(input);
    case PeerMsg::request:
        return request_record(input);
    case PeerMsg::reply:
        return reply_record(input);
    default:
        return;
    }
}

void services(Bytes input) {
    if (auto got = decode_services(input, 1, kWindow.slices)) {
        const auto again = encode({.sync = got->sync,
                                   .families = got->families,
                                   .groups = got->groups,
                                   .names = got->names,
                                   .ended = got->ended,
                                   .priv_keys = got->priv_keys,
                                   .files = got->files,
                                   .ports = {.home = got->ports->home, .servers = got->ports->servers}});
        FUZZ_CHECK(decode_services(again, 1, kWindow.slices).has_value());
        Outcomes outcomes; // whoever it is about may end
        got->sync.node_died(1, outcomes);
        got->families.node_down(1);
        got->groups.node_down(1);
        PortEvents events;
        got->ports->home.node_died(1, events);
    }
}

// The first byte says whose it is.
void port_message(Bytes input) {
    const auto whose = input.empty() ? std::byte{0} : input[0];
    const auto bytes = input.subspan(std::min<std::size_t>(input.size(), 1));
    if (whose == std::byte{2}) { // for a name server
        if (const auto service = decode_service(bytes)) {
            FUZZ_CHECK(std::ranges::equal(encode(*service), bytes));
            FUZZ_CHECK(!service->right.receive.any() && !service->name.empty());
        }
        return;
    }
    if (whose == std::byte{3}) { // names of a task that moves
        if (const auto moved = decode_moved_names(bytes)) {
            const auto back = decode_moved_names(encode(*moved));
            FUZZ_CHECK(back && back->slots == moved->slots && back->names.size() == moved->names.size());
        }
        return;
    }
    if (whose != std::byte{1}) {
        if (const auto got = decode_message(bytes)) {
            FUZZ_CHECK(std::ranges::equal(encode(*got), bytes));
            lay_out(*got, 1,
                    {.reply = 2,
                     .rights = std::vector<std::uint32_t>(got->rights.size(), 3),
                     .memory = std::vector<std::uint64_t>(got->memory.size(), 4)});
            std::uint64_t end = 0;
            for (const auto &piece : pieces_of(*got)) {
                FUZZ_CHECK(piece.size > 0 && page_aligned(piece.size) && page_aligned(piece.offset));
                FUZZ_CHECK(piece.start == 0 || piece.start == end);
                end = piece.start + piece.size;
            }
            const HeldRight held{.right = {}, .behavior = EXCEPTION_STATE, .flavor = x86_THREAD_STATE64};
            const auto reply = read_exception_reply(*got, held);
            FUZZ_CHECK(!reply || reply->state.empty() || valid_state(reply->flavor, reply->state));
        }
        return;
    }
    Outgoing out;
    if (parse_message(bytes, out) == MACH_MSG_SUCCESS) {
        out.message.rights.resize(out.rights.size());
        const auto back = decode_message(encode(out.message));
        FUZZ_CHECK(back && *back == out.message);
        FUZZ_CHECK(received_bytes(out.message) == bytes.size() + sizeof(mach_msg_trailer_t));
    }
}

void image(Bytes input) {
    const auto got = decode_image(input, kWindow, kWindow.slices);
    if (!got) {
        return;
    }
    for (const auto &entry : got->entries) {
        FUZZ_CHECK(kWindow.range().contains(entry.start, entry.size) && page_aligned(entry.start) && entry.size > 0);
    }
    const auto back = decode_image(encode(*got), kWindow, kWindow.slices);
    FUZZ_CHECK(back && back->entries == got->entries && back->program.argv == got->program.argv &&
               back->ledgers == got->ledgers && back->token == got->token &&
               back->stretches.size() == got->stretches.size() && back->slots == got->slots);
}

void launch(Bytes input) {
    if (const auto card = decode_card(input); card && card->join == kJoinVersion && card->wire == rpc::kWireVersion) {
        FUZZ_CHECK(std::ranges::equal(encode_card(*card), input));
    }
    if (const auto record = launch::decode(input)) {
        FUZZ_CHECK(std::ranges::equal(launch::encode(*record), input));
    }
}

// As the node server reads a task's packets, and the task the node server's.
void packet(Bytes input) {
    Task task(TaskId{1} << 48 | 1, kWindow, {});
    for (std::uint64_t thread = 1; thread < 4; ++thread) {
        task.name({.kind = Right::Kind::thread, .task = task.id, .thread = thread});
    }
    if (const auto request = split_packet<RequestHead>(input)) {
        FUZZ_CHECK(request->blob.size() + sizeof(RequestHead) == input.size());
        const auto *operation = find_operation(static_cast<Op>(request->head.op));
        const auto right = task.right(request->head.port);
        FUZZ_CHECK(right.kind <= Right::kLastKind);
        FUZZ_CHECK(operation == nullptr || static_cast<std::uint32_t>(operation->op) == request->head.op);
        FUZZ_CHECK(right.kind == Right::Kind::none || right.kind == Right::Kind::host || right.task == task.id);
    }
    if (const auto message = split_packet<TaskMsgHead>(input)) {
        FUZZ_CHECK(message->blob.size() + sizeof(TaskMsgHead) == input.size());
        FUZZ_CHECK(task.number_of(static_cast<pid_t>(message->head.args[0])) == 0);
    }
    if (const auto reply = split_packet<ReplyHead>(input)) {
        FUZZ_CHECK(std::memcmp(&reply->head, input.data(), sizeof(ReplyHead)) == 0);
    }
}

} // namespace fuzz
