// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/message.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace norma::rt {

namespace {

constexpr std::size_t kHead = sizeof(mach_msg_header_t), kDescriptor = sizeof(mach_msg_port_descriptor_t);
constexpr std::size_t kDescriptorsFrom = sizeof(mach_msg_body_t); // in the body
static_assert(kHead == 24 && kDescriptor == 12 && kDescriptorsFrom == 4);

template <class T> T read_at(std::span<const std::byte> bytes, std::size_t offset) {
    assert(offset + sizeof(T) <= bytes.size());
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

template <class T> void append(std::vector<std::byte> &bytes, const T &value) {
    const auto raw = std::as_bytes(std::span(&value, 1));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
}

std::int32_t parse_descriptors(std::span<const std::byte> body, Outgoing &out) {
    if (body.size() < kDescriptorsFrom) {
        return MACH_SEND_MSG_TOO_SMALL;
    }
    const auto count = read_at<mach_msg_body_t>(body, 0).msgh_descriptor_count;
    if (count > kMaxMessageRights) {
        return MACH_SEND_TOO_LARGE;
    }
    if (body.size() - kDescriptorsFrom < count * kDescriptor) {
        return MACH_SEND_MSG_TOO_SMALL;
    }
    for (std::size_t i = 0; i < count; ++i) {
        const auto descriptor = read_at<mach_msg_port_descriptor_t>(body, kDescriptorsFrom + i * kDescriptor);
        if (descriptor.type != MACH_MSG_PORT_DESCRIPTOR) {
            return MACH_SEND_INVALID_TYPE;
        }
        out.rights.push_back({.name = descriptor.name, .disposition = descriptor.disposition});
        // What the task says there is not for the receiver: its own name and whatever stood in the padding.
        std::memset(out.message.body.data() + kDescriptorsFrom + i * kDescriptor, 0, kDescriptor);
    }
    return MACH_MSG_SUCCESS;
}

std::uint32_t type_of(const Carried &carried) {
    return carried.receive.any() ? MACH_MSG_TYPE_PORT_RECEIVE : MACH_MSG_TYPE_PORT_SEND;
}

} // namespace

std::int32_t parse_message(std::span<const std::byte> packet, Outgoing &out) {
    if (packet.size() < kHead) {
        return MACH_SEND_MSG_TOO_SMALL;
    }
    if (packet.size() > kMaxMessageBytes) {
        return MACH_SEND_TOO_LARGE;
    }
    const auto head = read_at<mach_msg_header_t>(packet, 0);
    constexpr auto kKnown = MACH_MSGH_BITS_REMOTE_MASK | MACH_MSGH_BITS_LOCAL_MASK | MACH_MSGH_BITS_COMPLEX;
    if ((head.msgh_bits & ~kKnown) != 0) {
        return MACH_SEND_INVALID_HEADER;
    }
    out.remote = {.name = head.msgh_remote_port, .disposition = MACH_MSGH_BITS_REMOTE(head.msgh_bits)};
    out.local = {.name = head.msgh_local_port, .disposition = MACH_MSGH_BITS_LOCAL(head.msgh_bits)};
    if ((out.local.name == MACH_PORT_NULL) != (out.local.disposition == MACH_MSG_TYPE_PORT_NONE)) {
        return MACH_SEND_INVALID_HEADER;
    }
    const auto body = packet.subspan(kHead);
    out.message.id = head.msgh_id;
    out.message.complex = (head.msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0;
    out.message.body.assign(body.begin(), body.end());
    return out.message.complex ? parse_descriptors(body, out) : MACH_MSG_SUCCESS;
}

std::size_t received_bytes(const Message &message) {
    return kHead + message.body.size() + sizeof(mach_msg_trailer_t);
}

std::size_t more_bytes(Trailer trailer) {
    return trailer == Trailer::least ? 0 : sizeof(mach_msg_security_trailer_t) - sizeof(mach_msg_trailer_t);
}

std::vector<std::byte> lay_out(const Message &message, std::uint32_t local, const ReceivedNames &names,
                               Trailer trailer) {
    std::vector<std::byte> bytes;
    bytes.reserve(received_bytes(message) + more_bytes(trailer));
    mach_msg_header_t head{};
    const auto reply = message.reply.right.kind == Right::Kind::none ? MACH_MSG_TYPE_PORT_NONE : type_of(message.reply);
    head.msgh_bits = MACH_MSGH_BITS(reply, static_cast<std::uint32_t>(MACH_MSG_TYPE_PORT_SEND)) |
                     (message.complex ? MACH_MSGH_BITS_COMPLEX : 0U);
    head.msgh_size = static_cast<mach_msg_size_t>(kHead + message.body.size());
    head.msgh_remote_port = names.reply;
    head.msgh_local_port = local;
    head.msgh_id = message.id;
    append(bytes, head);
    bytes.insert(bytes.end(), message.body.begin(), message.body.end());
    assert(names.rights.size() == message.rights.size());
    for (std::size_t i = 0; i < message.rights.size(); ++i) {
        mach_msg_port_descriptor_t descriptor{};
        descriptor.name = names.rights[i];
        descriptor.disposition = static_cast<std::uint8_t>(type_of(message.rights[i]));
        descriptor.type = MACH_MSG_PORT_DESCRIPTOR;
        std::memcpy(bytes.data() + kHead + kDescriptorsFrom + i * kDescriptor, &descriptor, sizeof descriptor);
    }
    const auto size = MACH_MSG_TRAILER_MINIMUM_SIZE + static_cast<mach_msg_trailer_size_t>(more_bytes(trailer));
    append(bytes, mach_msg_trailer_t{MACH_MSG_TRAILER_FORMAT_0, size});
    if (trailer == Trailer::sender) {
        append(bytes, mach_port_seqno_t{0});
        append(bytes, message.token);
    }
    return bytes;
}

//   id 4 | complex 1 | token 8 | reply 49 | count 4, rights 49 each | size 4, body
std::vector<std::byte> encode(const Message &message) {
    rpc::Writer writer;
    writer.put(message.id).put(static_cast<std::uint8_t>(message.complex)).put(message.token);
    put_carried(writer, message.reply);
    writer.put(static_cast<std::uint32_t>(message.rights.size()));
    for (const auto &right : message.rights) {
        put_carried(writer, right);
    }
    writer.put_bytes(message.body);
    return writer.bytes();
}

std::optional<Message> decode_message(std::span<const std::byte> bytes) {
    rpc::Reader reader(bytes);
    Message message;
    message.id = reader.get<std::int32_t>();
    const auto complex = reader.get<std::uint8_t>();
    message.complex = complex != 0;
    message.token = reader.get<std::uint64_t>();
    const bool known = get_carried(reader, message.reply);
    const auto count = reader.get_count(kCarriedBytes);
    if (complex > 1 || !known || message.reply.receive.any() || count > kMaxMessageRights ||
        (count > 0 && !message.complex)) {
        return std::nullopt;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        if (!get_carried(reader, message.rights.emplace_back())) {
            return std::nullopt;
        }
    }
    const auto body = reader.get_bytes();
    message.body.assign(body.begin(), body.end());
    if (!reader.done() || kHead + body.size() > kMaxMessageBytes) {
        return std::nullopt;
    }
    // The count in the body must be that of the rights: the receiver's task goes by it.
    if (message.complex &&
        (body.size() < kDescriptorsFrom || read_at<mach_msg_body_t>(body, 0).msgh_descriptor_count != count ||
         body.size() - kDescriptorsFrom < count * kDescriptor)) {
        return std::nullopt;
    }
    return message;
}

std::vector<std::byte> encode(const Carried &carried) {
    rpc::Writer writer;
    put_carried(writer, carried);
    return writer.bytes();
}

std::optional<Carried> decode_carried(std::span<const std::byte> bytes) {
    rpc::Reader reader(bytes);
    Carried carried;
    return get_carried(reader, carried) && reader.done() ? std::optional(carried) : std::nullopt;
}

std::vector<std::byte> encode(const NamedService &service) {
    auto bytes = encode(service.right);
    bytes.insert(bytes.end(), service.name.begin(), service.name.end());
    return bytes;
}

std::optional<NamedService> decode_service(std::span<const std::byte> bytes) {
    const auto right = decode_carried(bytes.first(std::min(kCarriedBytes, bytes.size())));
    const auto name = bytes.subspan(std::min(kCarriedBytes, bytes.size()));
    if (!right || right->receive.any() || name.empty() || name.size() >= BOOTSTRAP_MAX_NAME_LEN) {
        return std::nullopt;
    }
    return NamedService{.right = *right, .name = {name.begin(), name.end()}};
}

void each_right(Message &message, const std::function<void(Carried &)> &visit) {
    visit(message.reply);
    std::ranges::for_each(message.rights, visit);
}

} // namespace norma::rt
