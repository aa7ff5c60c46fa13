// SPDX-License-Identifier: BSD-3-Clause
// The moment of a checkpoint: no thread of the job runs. What is not memory is noted, of the memory snapshots are made.
#include "norma/mach.h"
#include "runtime/server/checkpointing.hpp"
#include "runtime/server/ops.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace norma::rt {

using checkpoint::Kind;
using Step = launch::CheckpointStep;

namespace {

constexpr std::size_t kListBytes = 32 * 1024; // of a piece: node servers hand lists on to each other

// As many items a piece as it holds, at least one.
template <class Item>
void add_lists(std::vector<checkpoint::Piece> &pieces, Kind kind, dsm::NodeId node, std::span<const Item> items) {
    while (!items.empty()) {
        auto count = std::min(items.size(), checkpoint::kMostItems);
        auto bytes = checkpoint::encode(items.first(count));
        while (bytes.size() > kListBytes && count > 1) {
            count /= 2;
            bytes = checkpoint::encode(items.first(count));
        }
        pieces.push_back({.kind = kind, .node = node, .bytes = std::move(bytes)});
        items = items.subspan(count);
    }
}

std::string name_of(const Node &node, const Stretch &stretch) {
    const auto found = std::ranges::find_if(
        node.names, [&](const auto &named) { return stretch.number == 0 && named.second == stretch.object; });
    return found == node.names.end() ? "" : found->first;
}

} // namespace

void Checkpointing::take() {
    if (node_.sync.waiting() != 0) {
        reached(Step::take, "a thread waits at an object of synchronisation after all have been told not to");
        return;
    }
    if (const auto why = note_all(); !why.empty()) {
        reached(Step::take, why);
        return;
    }
    take_snapshots();
}

// All stretches with their home here, whoever uses them.
void Checkpointing::take_snapshots() {
    std::vector<Stretch> wanted;
    std::vector<checkpoint::SavedStretch> stretches;
    for (const auto &[id, object] : node_.objects) {
        for (const auto &[number, use] : object.stretches) {
            if (node_.rehoming.home_of(id) == node_.self) {
                wanted.push_back({.object = id, .number = number});
                stretches.push_back(
                    {.stretch = wanted.back(), .pages = node_.pager.pages(id), .name = name_of(node_, wanted.back())});
            }
        }
    }
    add_lists(pieces_, Kind::stretches, node_.self, std::span<const checkpoint::SavedStretch>(stretches));
    node_.snapshot_unpaid(std::move(wanted), [this, turn = turn_, stretches = std::move(stretches)](
                                                 std::int32_t status, const std::vector<std::uint64_t> &made) {
        std::vector<Snapshot> snapshots;
        for (std::size_t i = 0; status == KERN_SUCCESS && i < made.size(); ++i) {
            snapshots.push_back({.of = stretches[i], .number = made[i]});
        }
        if (turn != turn_) { // given up meanwhile
            release(snapshots);
        } else {
            snapshots_ = std::move(snapshots);
            reached(Step::take, status == KERN_SUCCESS
                                    ? ""
                                    : fmt::format("snapshots of the memory of node {} cannot be made "
                                                  "(error {})",
                                                  node_.self, status));
        }
    });
}

std::string Checkpointing::note_all() {
    std::vector<checkpoint::SavedEnd> ends;
    for (const auto &[id, end] : node_.ended) {
        ends.push_back(
            {.id = id, .successor = end.successor.task, .threads_moved = end.threads_moved, .status = end.status});
    }
    for (const auto &[id, task] : node_.tasks) {
        const auto stopped = stopped_.find(id);
        const auto why =
            stopped == stopped_.end() ? "a task has come that has not been stopped" : note_task(*task, stopped->second);
        if (!why.empty()) {
            return why;
        }
    }
    const auto objects = node_.sync.save();
    add_lists(pieces_, Kind::ended, node_.self, std::span<const checkpoint::SavedEnd>(ends));
    add_lists(pieces_, Kind::sync, node_.self, std::span<const SavedSync>(objects));
    const auto size = [](const checkpoint::Piece &piece) { return piece.bytes.size(); };
    return std::ranges::any_of(pieces_, [&](const auto &piece) { return size(piece) > checkpoint::kMostPieceBytes; })
               ? "a task has too many threads, names or regions"
               : "";
}

std::string Checkpointing::note_task(const Task &task, const Stopped &stopped) {
    if (task.first) {
        const checkpoint::Job job{.nodes = static_cast<std::uint16_t>(node_.count),
                                  .window_base = node_.window.base,
                                  .window_size = node_.window.size,
                                  .heap_parts = static_cast<std::uint16_t>(node_.heap_parts),
                                  .program = task.program.path};
        pieces_.push_back({.kind = Kind::job, .node = node_.self, .bytes = checkpoint::encode(job)});
    }
    auto image = image_of(node_, task, true);
    image.first = task.first;
    image.teleported = true;
    checkpoint::SavedTask saved{.id = task.id,
                                .image = encode(image),
                                .next_thread = task.next_thread,
                                .registers = stopped.registers,
                                .child_node = task.child_node,
                                .threads = {},
                                .names = {},
                                .process = stopped.process};
    for (const auto &told : stopped.threads) {
        const auto number = task.number_of(static_cast<pid_t>(told.tid));
        if (number == 0) {
            return "a thread has come that has not been stopped";
        }
        const auto &thread = task.threads.at(number);
        saved.threads.push_back({.number = number,
                                 .state = told.state,
                                 .identity = thread.sync_identity,
                                 .stack = thread.stack,
                                 .stack_bytes = thread.stack_bytes,
                                 .key = thread.key});
    }
    for (const auto &[name, entry] : task.names.entries()) {
        if (!entry.fixed) {
            saved.names.push_back({.name = name, .sends = entry.sends, .right = entry.right});
        }
    }
    pieces_.push_back({.kind = Kind::task, .node = node_.self, .bytes = checkpoint::encode(saved)});
    return "";
}

} // namespace norma::rt
