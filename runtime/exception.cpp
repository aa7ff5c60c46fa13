// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/exception.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"
#include "runtime/thread_state.hpp"

namespace norma::rt {

namespace {

std::uint32_t kind_of(const HeldRight &held) {
    return held.behavior & ~MACH_EXCEPTION_CODES;
}

bool has_identity(const HeldRight &held) {
    return kind_of(held) != EXCEPTION_STATE;
}

bool has_state(const HeldRight &held) {
    return kind_of(held) != EXCEPTION_DEFAULT;
}

std::int32_t id_of(const HeldRight &held) {
    return MACH_EXCEPTION_RAISE_ID + static_cast<std::int32_t>(kind_of(held) - EXCEPTION_DEFAULT);
}

template <class T> void append(std::vector<std::byte> &bytes, const T &value) {
    const auto raw = std::as_bytes(std::span(&value, 1));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
}

} // namespace

bool is_exception_port(const HeldRight &held) {
    const bool state = held.flavor == x86_THREAD_STATE64 || held.flavor == x86_FLOAT_STATE64;
    return held.right.kind == Right::Kind::port && kind_of(held) >= EXCEPTION_DEFAULT &&
           kind_of(held) <= EXCEPTION_STATE_IDENTITY && (state || !has_state(held));
}

bool is_exception_mask(std::uint64_t mask) {
    return (mask & ~std::uint64_t{EXC_MASK_ALL}) == 0;
}

Message exception_message(const Exception &exception, const HeldRight &held, const Right &thread, const Right &task) {
    Message message;
    message.id = id_of(held);
    if (has_identity(held)) {
        message.complex = true;
        message.rights = {{.right = thread}, {.right = task}};
        append(message.body, mach_msg_body_t{2});
        message.body.resize(message.body.size() + 2 * sizeof(mach_msg_port_descriptor_t));
    }
    append(message.body, NDR_record_t{0, 0, 0, 0, 1, 0, 0, 0});
    append(message.body, exception.type);
    append(message.body, std::uint32_t{2});
    append(message.body, exception.code);
    if (has_state(held)) {
        const auto &state = held.flavor == x86_THREAD_STATE64 ? exception.general : exception.floats;
        append(message.body, held.flavor);
        append(message.body, static_cast<std::uint32_t>(state.size() / sizeof(natural_t)));
        message.body.insert(message.body.end(), state.begin(), state.end());
    }
    return message;
}

std::optional<ExceptionReply> read_exception_reply(const Message &reply, const HeldRight &held) {
    rpc::Reader reader(reply.body);
    reader.get<std::uint64_t>(); // how numbers are written: as here
    const auto status = reader.get<std::int32_t>();
    ExceptionReply told;
    if (has_state(held) && !reader.done()) {
        told.flavor = reader.get<std::uint32_t>();
        told.state.resize(std::size_t{reader.get_count(sizeof(natural_t))} * sizeof(natural_t));
        for (auto &byte : told.state) {
            byte = reader.get<std::byte>();
        }
    }
    const bool unchanged = told.state.empty();
    if (reply.id != id_of(held) + MACH_EXCEPTION_REPLY_OFFSET || reply.complex || status != KERN_SUCCESS ||
        !reader.done() || (!unchanged && (told.flavor != held.flavor || !valid_state(told.flavor, told.state)))) {
        return std::nullopt;
    }
    told.flavor = unchanged ? 0 : told.flavor;
    return told;
}

} // namespace norma::rt
