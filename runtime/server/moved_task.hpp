// SPDX-License-Identifier: BSD-3-Clause
// What the node of a task that moves with all its threads tells the one where it goes on (docs/migration.md), besides
// its memory and its names.
#pragma once

#include "runtime/moved_threads.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace norma::rt {

struct MovedTask {
    std::uint64_t next_thread = 1, child_node = kAnyNode;
    bool lazy = false;
    std::vector<dsm::NodeId> been;
    std::vector<MovedThread> threads;
    static constexpr std::uint64_t kAnyNode = ~std::uint64_t{0};
};

std::vector<std::byte> encode(const MovedTask &task);
std::optional<MovedTask> decode_moved_task(std::span<const std::byte> bytes, unsigned nodes);

} // namespace norma::rt
