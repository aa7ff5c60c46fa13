// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/checkpoint.hpp"

#include "runtime/protocol.hpp"
#include "runtime/server/wire.hpp"

#include <algorithm>
#include <bit>

namespace norma::rt::checkpoint {

namespace {

using rpc::Reader;
using rpc::Writer;

constexpr std::size_t kNameBytes = 8 + kRightBytes, kEndBytes = 21;
constexpr std::size_t kStretchItemBytes = kStretchBytes + 12;

void put_count(Writer &writer, std::size_t count) {
    writer.put(static_cast<std::uint32_t>(count));
}

std::vector<std::byte> get_copy(Reader &reader) {
    const auto bytes = reader.get_bytes();
    return {bytes.begin(), bytes.end()};
}

} // namespace

std::vector<std::byte> encode(const Job &job) {
    Writer writer;
    writer.put(job.nodes).put(job.window_base).put(job.window_size).put(job.heap_parts).put_string(job.program);
    return writer.bytes();
}

std::optional<Job> decode_job(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    Job job;
    job.nodes = reader.get<std::uint16_t>();
    job.window_base = reader.get<std::uint64_t>();
    job.window_size = reader.get<std::uint64_t>();
    job.heap_parts = reader.get<std::uint16_t>();
    job.program = reader.get_string();
    const Window window{.base = job.window_base, .size = job.window_size, .slices = 1};
    const bool sound = job.nodes > 0 && job.nodes <= dsm::kMaxNodes && job.heap_parts > 0 &&
                       job.heap_parts <= dsm::kMaxNodes && window.valid() && !job.program.empty();
    return reader.done() && sound ? std::optional(job) : std::nullopt;
}

std::vector<std::byte> encode(std::span<const SavedStretch> stretches) {
    Writer writer;
    put_count(writer, stretches.size());
    for (const auto &one : stretches) {
        put_stretch(writer, one.stretch);
        writer.put(one.pages).put_string(one.name);
    }
    return writer.bytes();
}

std::optional<std::vector<SavedStretch>> decode_stretches(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    std::vector<SavedStretch> stretches(reader.get_count(kStretchItemBytes));
    for (auto &one : stretches) {
        one.stretch = get_stretch(reader);
        one.pages = reader.get<std::uint64_t>();
        one.name = reader.get_string();
        if (one.pages == 0 || one.pages >= dsm::kEndOfPages || one.name.size() > kMostNameBytes) {
            return std::nullopt;
        }
    }
    return reader.done() ? std::optional(std::move(stretches)) : std::nullopt;
}

std::vector<std::byte> encode(const Pages &pages) {
    Writer writer;
    writer.put(pages.stretch).put(pages.first).put(pages.mask).put_bytes(pages.content);
    return writer.bytes();
}

std::optional<Pages> decode_pages(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    Pages pages;
    pages.stretch = reader.get<std::uint32_t>();
    pages.first = reader.get<dsm::PageIndex>();
    pages.mask = reader.get<std::uint64_t>();
    pages.content = reader.get_bytes();
    const bool sound = pages.mask != 0 && pages.first < dsm::kEndOfPages &&
                       pages.content.size() == static_cast<std::size_t>(std::popcount(pages.mask)) * kMapPage;
    return reader.done() && sound ? std::optional(pages) : std::nullopt;
}

std::vector<std::byte> encode(const SavedTask &task) {
    Writer writer;
    writer.put(task.id).put_bytes(task.image).put(task.next_thread).put(task.registers);
    writer.put(std::uint8_t{task.child_node.has_value()}).put(task.child_node.value_or(0));
    put_threads(writer, task.threads);
    put_count(writer, task.names.size());
    for (const auto &name : task.names) {
        writer.put(name.name).put(name.sends);
        put_right(writer, name.right);
    }
    writer.put_bytes(task.process);
    return writer.bytes();
}

std::optional<SavedTask> decode_task(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    SavedTask task;
    task.id = reader.get<TaskId>();
    task.image = get_copy(reader);
    task.next_thread = reader.get<std::uint64_t>();
    task.registers = reader.get<std::uint64_t>();
    const bool elsewhere = reader.get<bool>();
    const auto child_node = reader.get<dsm::NodeId>();
    if (elsewhere) {
        task.child_node = child_node;
    }
    if (!get_threads(reader, task.next_thread, task.threads)) {
        return std::nullopt;
    }
    task.names.resize(reader.get_count(kNameBytes));
    for (auto &name : task.names) {
        name.name = reader.get<std::uint32_t>();
        name.sends = reader.get<std::uint32_t>();
        if (!get_right(reader, name.right)) {
            return std::nullopt;
        }
    }
    task.process = get_copy(reader);
    const bool sound = task.id != 0 && !task.threads.empty() && task.process.size() <= kMaxCommandBlob &&
                       task.threads.size() <= kMaxCommandBlob / sizeof(std::uint64_t);
    return reader.done() && sound ? std::optional(std::move(task)) : std::nullopt;
}

std::vector<std::byte> encode(std::span<const SavedEnd> ends) {
    Writer writer;
    put_count(writer, ends.size());
    for (const auto &end : ends) {
        writer.put(end.id).put(end.successor).put(std::uint8_t{end.threads_moved}).put(end.status);
    }
    return writer.bytes();
}

std::optional<std::vector<SavedEnd>> decode_ends(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    std::vector<SavedEnd> ends(reader.get_count(kEndBytes));
    for (auto &end : ends) {
        end.id = reader.get<TaskId>();
        end.successor = reader.get<TaskId>();
        end.threads_moved = reader.get<bool>();
        end.status = reader.get<std::int32_t>();
    }
    return reader.done() ? std::optional(std::move(ends)) : std::nullopt;
}

std::vector<std::byte> encode(std::span<const SavedSync> objects) {
    Writer writer;
    put_count(writer, objects.size());
    for (const auto &object : objects) {
        put_sync(writer, object);
    }
    return writer.bytes();
}

std::optional<std::vector<SavedSync>> decode_sync(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    std::vector<SavedSync> objects(reader.get_count(kSyncBytes));
    bool sound = true;
    for (auto &object : objects) {
        sound = get_sync(reader, object) && sound;
    }
    return reader.done() && sound ? std::optional(std::move(objects)) : std::nullopt;
}

dsm::NodeId new_home(const SavedStretch &stretch, dsm::NodeId node, unsigned nodes) {
    return stretch.name.empty() ? new_place(node, nodes) : home_of_name(std::as_bytes(std::span(stretch.name)), nodes);
}

} // namespace norma::rt::checkpoint
