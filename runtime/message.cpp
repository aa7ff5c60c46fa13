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
constexpr std::size_t kMemoryDescriptor = sizeof(mach_msg_ool_descriptor_t);
constexpr std::size_t kDescriptorsFrom = sizeof(mach_msg_body_t); // in the body
constexpr std::size_t kTypeAt = 11;                               // in a descriptor of whatever kind
static_assert(kHead == 24 && kDescriptor == 12 && kMemoryDescriptor == 16 && kDescriptorsFrom == 4);

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

bool parse_memory(const mach_msg_ool_descriptor_t &descriptor, std::uint32_t place, Outgoing &out) {
    if (descriptor.copy != MACH_MSG_PHYSICAL_COPY && descriptor.copy != MACH_MSG_VIRTUAL_COPY) {
        return false;
    }
    std::uint64_t address = 0;
    std::memcpy(&address, &descriptor, sizeof address); // it comes first
    const auto bytes = descriptor.size;
    out.memory.push_back({.address = address, .bytes = bytes, .deallocate = descriptor.deallocate != 0});
    const auto within = bytes == 0 ? 0 : static_cast<std::uint32_t>(address % kMapPage);
    out.message.memory.push_back({.place = place, .bytes = bytes, .within = within});
    return true;
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
    auto at = kDescriptorsFrom;
    for (std::uint32_t i = 0; i < count; ++i) {
        if (body.size() - at < kDescriptor) {
            return MACH_SEND_MSG_TOO_SMALL;
        }
        const auto type = std::to_integer<unsigned>(body[at + kTypeAt]);
        const auto size = type == MACH_MSG_OOL_DESCRIPTOR ? kMemoryDescriptor : kDescriptor;
        if (body.size() - at < size) {
            return MACH_SEND_MSG_TOO_SMALL;
        }
        if (type == MACH_MSG_OOL_DESCRIPTOR) {
            if (!parse_memory(read_at<mach_msg_ool_descriptor_t>(body, at), i, out)) {
                return MACH_SEND_INVALID_TYPE;
            }
        } else if (type == MACH_MSG_PORT_DESCRIPTOR) {
            const auto descriptor = read_at<mach_msg_port_descriptor_t>(body, at);
            out.rights.push_back({.name = descriptor.name, .disposition = descriptor.disposition});
        } else {
            return MACH_SEND_INVALID_TYPE;
        }
        // What the task says there is not for the receiver: its own names and whatever stood in the padding.
        std::memset(out.message.body.data() + at, 0, size);
        at += size;
    }
    return MACH_MSG_SUCCESS;
}

std::uint32_t type_of(const Carried &carried) {
    return carried.receive.any() ? MACH_MSG_TYPE_PORT_RECEIVE : MACH_MSG_TYPE_PORT_SEND;
}

void lay_out_descriptors(const Message &message, const ReceivedNames &names, std::span<std::byte> body) {
    assert(names.rights.size() == message.rights.size() && names.memory.size() == message.memory.size());
    auto at = kDescriptorsFrom;
    std::size_t right = 0, memory = 0;
    while (right + memory < message.rights.size() + message.memory.size()) {
        if (memory < message.memory.size() && message.memory[memory].place == right + memory) {
            const auto address = names.memory[memory];
            mach_msg_ool_descriptor_t descriptor{};
            std::memcpy(&descriptor, &address, sizeof address);
            descriptor.deallocate = address != 0;
            descriptor.copy = MACH_MSG_VIRTUAL_COPY;
            descriptor.type = MACH_MSG_OOL_DESCRIPTOR;
            descriptor.size = address != 0 ? message.memory[memory].bytes : 0;
            std::memcpy(body.data() + at, &descriptor, sizeof descriptor);
            at += sizeof descriptor;
            ++memory;
        } else {
            mach_msg_port_descriptor_t descriptor{};
            descriptor.name = names.rights[right];
            descriptor.disposition = static_cast<std::uint8_t>(type_of(message.rights[right]));
            descriptor.type = MACH_MSG_PORT_DESCRIPTOR;
            std::memcpy(body.data() + at, &descriptor, sizeof descriptor);
            at += sizeof descriptor;
            ++right;
        }
    }
}

//   place 4 | bytes 4 | within 4 | count 4, (stretch 24 | offset 8 | size 8) ...
constexpr std::size_t kMemoryBytes = 16, kPieceBytes = kStretchBytes + 16;

void put_memory(rpc::Writer &writer, const CarriedMemory &memory) {
    writer.put(memory.place).put(memory.bytes).put(memory.within);
    writer.put(static_cast<std::uint32_t>(memory.pieces.size()));
    for (const auto &piece : memory.pieces) {
        put_stretch(writer, piece.stretch);
        writer.put(piece.offset).put(piece.size);
    }
}

// False: that is no memory as node servers pass it on.
bool get_memory(rpc::Reader &reader, CarriedMemory &memory) {
    memory.place = reader.get<std::uint32_t>();
    memory.bytes = reader.get<std::uint32_t>();
    memory.within = reader.get<std::uint32_t>();
    const auto count = reader.get_count(kPieceBytes);
    const std::uint64_t size = *page_ceil(std::uint64_t{memory.within} + memory.bytes);
    if (!reader.ok() || memory.within >= kMapPage || (memory.bytes == 0 && (count > 0 || memory.within > 0))) {
        return false;
    }
    std::uint64_t filled = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        MapEntry piece;
        piece.start = filled;
        piece.stretch = get_stretch(reader);
        piece.offset = reader.get<std::uint64_t>();
        piece.size = reader.get<std::uint64_t>();
        if (piece.stretch.object.home >= dsm::kMaxNodes || piece.size == 0 || piece.size > size - filled ||
            !page_aligned(piece.size) || !page_aligned(piece.offset) || piece.offset + piece.size < piece.offset) {
            return false;
        }
        filled += piece.size;
        memory.pieces.push_back(piece);
    }
    return count == 0 || filled == size;
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
    lay_out_descriptors(message, names, std::span(bytes).subspan(kHead));
    const auto size = MACH_MSG_TRAILER_MINIMUM_SIZE + static_cast<mach_msg_trailer_size_t>(more_bytes(trailer));
    append(bytes, mach_msg_trailer_t{MACH_MSG_TRAILER_FORMAT_0, size});
    if (trailer == Trailer::sender) {
        append(bytes, mach_port_seqno_t{0});
        append(bytes, message.token);
    }
    return bytes;
}

//   id 4 | complex 1 | token 8 | reply 49 | count 4, rights 49 each | count 4, memory | size 4, body
std::vector<std::byte> encode(const Message &message) {
    rpc::Writer writer;
    writer.put(message.id).put(static_cast<std::uint8_t>(message.complex)).put(message.token);
    put_carried(writer, message.reply);
    writer.put(static_cast<std::uint32_t>(message.rights.size()));
    for (const auto &right : message.rights) {
        put_carried(writer, right);
    }
    writer.put(static_cast<std::uint32_t>(message.memory.size()));
    for (const auto &memory : message.memory) {
        put_memory(writer, memory);
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
    const auto ranges = reader.get_count(kMemoryBytes);
    const auto descriptors = std::uint64_t{count} + ranges;
    if (descriptors > kMaxMessageRights || (ranges > 0 && !message.complex)) {
        return std::nullopt;
    }
    for (std::uint32_t i = 0; i < ranges; ++i) {
        auto &memory = message.memory.emplace_back();
        const bool in_order = get_memory(reader, memory) && memory.place < descriptors &&
                              (i == 0 || message.memory[i - 1].place < memory.place);
        if (!in_order) {
            return std::nullopt;
        }
    }
    const auto body = reader.get_bytes();
    message.body.assign(body.begin(), body.end());
    if (!reader.done() || kHead + body.size() > kMaxMessageBytes) {
        return std::nullopt;
    }
    // The count in the body must be that of the descriptors: the receiver's task goes by it.
    if (message.complex &&
        (body.size() < kDescriptorsFrom || read_at<mach_msg_body_t>(body, 0).msgh_descriptor_count != descriptors ||
         body.size() - kDescriptorsFrom < count * kDescriptor + ranges * kMemoryDescriptor)) {
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

std::vector<MapEntry> pieces_of(const Message &message) {
    std::vector<MapEntry> pieces;
    for (const auto &memory : message.memory) {
        pieces.insert(pieces.end(), memory.pieces.begin(), memory.pieces.end());
    }
    return pieces;
}

} // namespace norma::rt
