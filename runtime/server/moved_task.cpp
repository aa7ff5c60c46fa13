// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/moved_task.hpp"

namespace norma::rt {

std::vector<std::byte> encode(const MovedTask &task) {
    rpc::Writer writer;
    writer.put(task.next_thread).put(task.child_node).put(std::uint8_t{task.lazy});
    writer.put(static_cast<std::uint32_t>(task.been.size()));
    for (const auto node : task.been) {
        writer.put(node);
    }
    put_threads(writer, task.threads);
    return writer.bytes();
}

std::optional<MovedTask> decode_moved_task(std::span<const std::byte> bytes, unsigned nodes) {
    rpc::Reader reader(bytes);
    MovedTask task;
    task.next_thread = reader.get<std::uint64_t>();
    task.child_node = reader.get<std::uint64_t>();
    task.lazy = reader.get<bool>();
    task.been.resize(reader.get_count(sizeof(dsm::NodeId)));
    for (auto &node : task.been) {
        node = reader.get<dsm::NodeId>();
        if (node >= nodes) {
            return std::nullopt;
        }
    }
    const bool sound = get_threads(reader, task.next_thread, task.threads);
    return sound && reader.done() ? std::optional(std::move(task)) : std::nullopt;
}

} // namespace norma::rt
