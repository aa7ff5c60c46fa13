// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/image.hpp"

#include "runtime/exception.hpp"
#include "runtime/heap/part.hpp"

#include <algorithm>

namespace norma::rt {

namespace {

constexpr std::size_t kSlotBytes = 4 + kRightBytes + 4 + 4;

void put_strings(rpc::Writer &writer, const std::vector<std::string> &strings) {
    writer.put(static_cast<std::uint32_t>(strings.size()));
    for (const auto &text : strings) {
        writer.put_string(text);
    }
}

std::vector<std::string> get_strings(rpc::Reader &reader) {
    std::vector<std::string> strings(reader.get_count(sizeof(std::uint32_t)));
    for (auto &text : strings) {
        text = reader.get_string();
    }
    return strings;
}

Range get_range(rpc::Reader &reader) {
    const auto start = reader.get<std::uint64_t>();
    return {.start = start, .size = reader.get<std::uint64_t>()};
}

} // namespace

bool can_be_data(Range data, const Window &window) {
    constexpr std::uint64_t kTop = std::uint64_t{1} << 47;
    return page_aligned(data.start) && page_aligned(data.size) && data.start <= kTop &&
           data.size <= kTop - data.start && (data.end() <= window.range().start || data.start >= window.range().end());
}

Program::HeapPage Program::heap_page(std::uint64_t address, unsigned parts) const {
    if (heap.size == 0 || !heap.contains(address)) {
        return HeapPage::block;
    }
    const heap::Geometry geometry({.base = nullptr, .parts = parts, .part_bytes = heap.size / parts});
    const auto offset = (address - heap.start) % geometry.layout.part_bytes;
    if (offset >= geometry.first * heap::kUnit) {
        return HeapPage::block;
    }
    return offset < geometry.inboxes_at ? HeapPage::state : HeapPage::inbox; // which come last
}

std::vector<std::byte> encode(const TaskImage &image) {
    rpc::Writer writer;
    writer.put_string(image.program.path);
    put_strings(writer, image.program.argv);
    put_strings(writer, image.program.env);
    writer.put_string(image.program.cwd).put_string(image.program.build_id);
    for (const auto &range : {image.program.data, image.program.heap}) {
        writer.put(range.start).put(range.size);
    }
    writer.put(static_cast<std::uint8_t>(image.first)).put(static_cast<std::uint8_t>(image.teleported));
    writer.put(image.token);
    put_marks(writer, image.ledgers);
    encode_entries(writer, image.entries);
    writer.put(static_cast<std::uint32_t>(image.stretches.size()));
    for (const auto &shared : image.stretches) {
        put_stretch(writer, shared.stretch);
        writer.put(shared.pages);
    }
    writer.put(static_cast<std::uint32_t>(image.slots.size()));
    for (const auto &[slot, held] : image.slots) {
        writer.put(static_cast<std::uint32_t>(slot));
        put_right(writer, held.right);
        writer.put(held.behavior).put(held.flavor);
    }
    return writer.bytes();
}

std::optional<TaskImage> decode_image(std::span<const std::byte> bytes, const Window &window, unsigned heap_parts) {
    rpc::Reader reader(bytes);
    TaskImage image;
    image.program.path = reader.get_string();
    image.program.argv = get_strings(reader);
    image.program.env = get_strings(reader);
    image.program.cwd = reader.get_string();
    image.program.build_id = reader.get_string();
    image.program.data = get_range(reader);
    image.program.heap = get_range(reader);
    const auto &whole = image.program.heap;
    if (!can_be_data(image.program.data, window) ||
        (whole.size != 0 &&
         (!window.range().contains(whole.start, whole.size) || whole.size % (heap_parts * heap::kUnit) != 0))) {
        return std::nullopt;
    }
    image.first = reader.get<bool>();
    image.teleported = reader.get<bool>();
    image.token = reader.get<std::uint64_t>();
    AddressMap map(window, image.program.data);
    if (!get_marks(reader, image.ledgers) || !decode_entries(reader, map)) {
        return std::nullopt;
    }
    image.entries.assign(map.entries().begin(), map.entries().end());
    const auto stretches = reader.get_count(kStretchBytes + sizeof(std::uint64_t));
    for (std::uint32_t i = 0; i < stretches; ++i) {
        SharedStretch shared;
        shared.stretch = get_stretch(reader);
        shared.pages = reader.get<std::uint64_t>();
        if (shared.stretch.object.home >= dsm::kMaxNodes || shared.pages == 0 || shared.pages > dsm::kEndOfPages ||
            shared.stretch.number >= dsm::kEndOfPages / shared.pages) {
            return std::nullopt;
        }
        image.stretches.push_back(shared);
    }
    const auto slots = reader.get_count(kSlotBytes);
    for (std::uint32_t i = 0; i < slots; ++i) {
        const auto slot = reader.get<std::uint32_t>();
        const bool known = is_slot(slot) || is_exception_slot(slot);
        if (!known || image.slots.contains(slot) || !get_right(reader, image.slots[slot].right)) {
            return std::nullopt;
        }
        image.slots[slot].behavior = reader.get<std::uint32_t>();
        image.slots[slot].flavor = reader.get<std::uint32_t>();
        if (is_exception_slot(slot) && !is_exception_port(image.slots[slot])) {
            return std::nullopt;
        }
    }
    // Every entry must lie inside a stretch that the image names.
    const bool sound = std::all_of(image.entries.begin(), image.entries.end(), [&](const MapEntry &entry) {
        return std::any_of(image.stretches.begin(), image.stretches.end(), [&](const SharedStretch &shared) {
            return shared.stretch == entry.stretch && entry.offset <= shared.pages * kMapPage &&
                   entry.size <= shared.pages * kMapPage - entry.offset;
        });
    });
    if (!reader.done() || !sound || image.program.path.empty()) {
        return std::nullopt;
    }
    return image;
}

} // namespace norma::rt
