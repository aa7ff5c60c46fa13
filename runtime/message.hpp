// SPDX-License-Identifier: BSD-3-Clause
// Messages: as a task lays them out (<norma/mach_port.h>), and as node servers keep them and pass them on, where rights
// stand in the place of names, and stretches of memory in that of addresses. Pure.
#pragma once

#include "runtime/address_map.hpp"
#include "runtime/right.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace norma::rt {

// So that a message with its rights, in a request between node servers, is below the limit of a record.
inline constexpr std::size_t kMaxMessageBytes = 48 * 1024;  // as the sender lays it out
inline constexpr std::size_t kMaxMessageRights = 256;       // and descriptors of memory
inline constexpr std::size_t kMaxMessageRecord = 63 * 1024; // as node servers pass it on

// Memory of a descriptor: a copy that nobody has in his map.
struct CarriedMemory {
    std::uint32_t place = 0; // among the descriptors
    std::uint32_t bytes = 0;
    std::uint32_t within = 0; // the first page it begins in
    // What its pages are, from address 0 on, one piece behind the other. None, though there are bytes: it is lost.
    std::vector<MapEntry> pieces{};
    bool lost() const { return bytes > 0 && pieces.empty(); }
    bool operator==(const CarriedMemory &) const = default;
};

struct Message {
    std::int32_t id = 0;
    bool complex = false;                // begins with a count and descriptors
    std::uint64_t token = 0;             // the sender's security token
    Carried reply;                       // the header's local port
    std::vector<Carried> rights;         // of the descriptors, in their order
    std::vector<CarriedMemory> memory{}; // of the other descriptors, in their order
    std::vector<std::byte> body;         // what is behind the header, the descriptors with nothing in them
    bool operator==(const Message &) const = default;
};

// As the task said it, with names.
struct NamedRight {
    std::uint32_t name = 0;
    std::uint32_t disposition = 0; // MACH_MSG_TYPE_...
};
struct NamedMemory {
    std::uint64_t address = 0, bytes = 0;
    bool deallocate = false; // it leaves the sender's map
};
struct Outgoing {
    NamedRight remote, local;
    std::vector<NamedRight> rights;
    std::vector<NamedMemory> memory;
    Message message; // without its rights, and without the pieces of its memory
};

// MACH_MSG_SUCCESS or why it cannot be sent: too small, too large, a header or descriptors that make no sense.
std::int32_t parse_message(std::span<const std::byte> packet, Outgoing &out);

// Bytes a receiver's buffer needs, the trailer included: the least one, without what was asked for besides.
std::size_t received_bytes(const Message &message);
// What a receiver wants behind it.
enum class Trailer : std::uint8_t { least, sender };
std::size_t more_bytes(Trailer trailer); // than the least one has
// As the receiver gets it, with its trailer. `local` is the name of the port it came to.
struct ReceivedNames {
    std::uint32_t reply = 0;
    std::vector<std::uint32_t> rights;
    std::vector<std::uint64_t> memory; // addresses; 0: nothing is there
};
std::vector<std::byte> lay_out(const Message &message, std::uint32_t local, const ReceivedNames &names,
                               Trailer trailer = Trailer::least);

// Between node servers.
std::vector<std::byte> encode(const Message &message);
std::optional<Message> decode_message(std::span<const std::byte> bytes);
std::vector<std::byte> encode(const Carried &carried);
std::optional<Carried> decode_carried(std::span<const std::byte> bytes);

// What a name server is told: a right, and a name for it or for what is wanted.
struct NamedService {
    Carried right; // not to receive
    std::vector<std::byte> name;
};
std::vector<std::byte> encode(const NamedService &service);
std::optional<NamedService> decode_service(std::span<const std::byte> bytes);

// Every right in it, the reply's first.
void each_right(Message &message, const std::function<void(Carried &)> &visit);
// All of its memory. Whoever has the message has one use of each stretch in it.
std::vector<MapEntry> pieces_of(const Message &message);

} // namespace norma::rt
