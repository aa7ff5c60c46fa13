// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/moved_task.hpp"

namespace norma::rt {

namespace {

constexpr std::size_t kThreadBytes = 56;

} // namespace

std::vector<std::byte> encode(const MovedTask &task) {
    rpc::Writer writer;
    writer.put(task.next_thread).put(task.child_node).put(std::uint8_t{task.lazy});
    writer.put(static_cast<std::uint32_t>(task.been.size()));
    for (const auto node : task.been) {
        writer.put(node);
    }
    writer.put(static_cast<std::uint32_t>(task.threads.size()));
    for (const auto &thread : task.threads) {
        writer.put(thread.number).put(thread.state).put(thread.identity);
        writer.put(thread.stack).put(thread.stack_bytes).put(thread.key.high).put(thread.key.low);
    }
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
    task.threads.resize(reader.get_count(kThreadBytes));
    for (auto &thread : task.threads) {
        for (auto *value : {&thread.number, &thread.state, &thread.identity, &thread.stack, &thread.stack_bytes,
                            &thread.key.high, &thread.key.low}) {
            *value = reader.get<std::uint64_t>();
        }
        if (thread.number == 0 || thread.number >= task.next_thread) {
            return std::nullopt;
        }
    }
    return reader.done() ? std::optional(std::move(task)) : std::nullopt;
}

} // namespace norma::rt
