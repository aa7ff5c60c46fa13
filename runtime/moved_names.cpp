// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/moved_names.hpp"

#include "runtime/exception.hpp"

namespace norma::rt {

namespace {

constexpr std::size_t kMostInOne = 400; // names, and slots
constexpr std::size_t kNameBytes = 3 * sizeof(std::uint32_t) + kCarriedBytes + kRightBytes;
constexpr std::size_t kSlotBytes = sizeof(std::uint64_t) + kRightBytes + 2 * sizeof(std::uint32_t);

// As NameSpace has them.
bool is_sound(const NameSpace::Entry &entry) {
    const bool port = entry.right.kind == Right::Kind::port, dead = entry.right.kind == Right::Kind::dead;
    const bool told = entry.notify.kind == Right::Kind::none || (entry.notify.kind == Right::Kind::port && port);
    return entry.right.kind != Right::Kind::none && told && (entry.dead > 0) == dead &&
           (dead ? entry.sends == 0 : entry.sends > 0 || entry.receive.any()) && entry.sends <= MACH_PORT_UREFS_MAX &&
           entry.dead <= MACH_PORT_UREFS_MAX;
}

bool is_of_thread(std::uint64_t slot) {
    return slot >= kSlotsOfThread && is_exception_slot(slot % kSlotsOfThread);
}

} // namespace

std::vector<std::byte> encode(const MovedNames &moved) {
    rpc::Writer writer;
    writer.put(moved.next).put(static_cast<std::uint32_t>(moved.names.size()));
    for (const auto &[name, entry] : moved.names) {
        writer.put(name).put(entry.sends).put(entry.dead);
        put_carried(writer, {.right = entry.right, .receive = entry.receive});
        put_right(writer, entry.notify);
    }
    writer.put(static_cast<std::uint32_t>(moved.slots.size()));
    for (const auto &[slot, held] : moved.slots) {
        writer.put(slot);
        put_right(writer, held.right);
        writer.put(held.behavior).put(held.flavor);
    }
    return writer.bytes();
}

std::vector<std::vector<std::byte>> encode_moved(const NameSpace &names) {
    std::vector<std::vector<std::byte>> records;
    const MovedNames none{.next = names.next_name(), .names = {}, .slots = {}};
    auto part = none;
    const auto close = [&] {
        records.push_back(encode(part));
        part = none;
    };
    for (const auto &[name, entry] : names.entries()) {
        if (!entry.fixed) {
            part.names.emplace_back(name, entry);
        }
        if (part.names.size() == kMostInOne) {
            close();
        }
    }
    for (const auto &[slot, held] : names.slots_of_threads()) {
        part.slots[slot] = held;
        if (part.slots.size() == kMostInOne) {
            close();
        }
    }
    close();
    return records;
}

std::optional<MovedNames> decode_moved_names(std::span<const std::byte> bytes) {
    rpc::Reader reader(bytes);
    MovedNames moved;
    moved.next = reader.get<std::uint32_t>();
    moved.names.resize(reader.get_count(kNameBytes));
    for (auto &[name, entry] : moved.names) {
        name = reader.get<std::uint32_t>();
        entry.sends = reader.get<std::uint32_t>();
        entry.dead = reader.get<std::uint32_t>();
        Carried carried;
        if (!get_carried(reader, carried) || !get_right(reader, entry.notify)) {
            return std::nullopt;
        }
        entry.right = carried.right;
        entry.receive = carried.receive;
        if (!is_sound(entry)) {
            return std::nullopt;
        }
    }
    const auto slots = reader.get_count(kSlotBytes);
    for (std::uint32_t i = 0; i < slots; ++i) {
        const auto slot = reader.get<std::uint64_t>();
        auto &held = moved.slots[slot];
        if (!is_of_thread(slot) || !get_right(reader, held.right)) {
            return std::nullopt;
        }
        held.behavior = reader.get<std::uint32_t>();
        held.flavor = reader.get<std::uint32_t>();
        if (!is_exception_port(held)) {
            return std::nullopt;
        }
    }
    return reader.done() ? std::optional(std::move(moved)) : std::nullopt;
}

} // namespace norma::rt
