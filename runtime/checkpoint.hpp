// SPDX-License-Identifier: BSD-3-Clause
// What a checkpoint says of a job besides the content of its memory (docs/checkpoint.md). Each node says what it has;
// tasks, objects and threads have in it the names that they had when it was made. Pure. What is decoded comes from a
// file, so it is looked at as if anybody had written it.
#pragma once

#include "runtime/address_map.hpp"
#include "runtime/moved_threads.hpp"
#include "runtime/right.hpp"
#include "runtime/sync.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace norma::rt::checkpoint {

// One piece of a checkpoint: what it is about, which node has said so, and the encoding of what the kind says.
enum class Kind : std::uint8_t {
    job = 1,   // first of all; of the node where the first task is
    stretches, // before the pages
    pages,
    task,
    ended,
    sync,
};
constexpr bool is_kind(std::uint8_t value) {
    return value >= static_cast<std::uint8_t>(Kind::job) && value <= static_cast<std::uint8_t>(Kind::sync);
}
struct Piece {
    Kind kind{};
    dsm::NodeId node = 0;
    std::vector<std::byte> bytes;
    bool operator==(const Piece &) const = default;
};
inline constexpr std::size_t kPagesAtOnce = 64;
inline constexpr std::size_t kMostPieceBytes = kPagesAtOnce * kMapPage + 64; // fits a record to and from the launcher
inline constexpr std::size_t kMostItems = 512;                               // of a list

struct Job {
    std::uint16_t nodes = 0;
    std::uint64_t window_base = 0, window_size = 0;
    std::uint16_t heap_parts = 0;
    std::string program; // absolute path
    bool operator==(const Job &) const = default;
};

// Memory with its home at the node: each stretch that was in use, in the order in which pages count them, over all
// pieces of this kind.
struct SavedStretch {
    Stretch stretch;
    std::uint64_t pages = 0;
    std::string name; // of the object, if it has one
    bool operator==(const SavedStretch &) const = default;
};

struct Pages {
    std::uint32_t stretch = 0; // among those of the node
    dsm::PageIndex first = 0;
    std::uint64_t mask = 0; // bit i: page first + i is there; all others are zeros, or in other pieces
    std::span<const std::byte> content{};
};

struct SavedName {
    std::uint32_t name = 0, sends = 0;
    Right right{};
    bool operator==(const SavedName &) const = default;
};
struct SavedTask {
    TaskId id = 0;
    std::vector<std::byte> image; // runtime/server/image.hpp
    std::uint64_t next_thread = 1, registers = 0;
    std::optional<dsm::NodeId> child_node;
    std::vector<MovedThread> threads;
    std::vector<SavedName> names;
    std::vector<std::byte> process; // what its process begins with
    bool operator==(const SavedTask &) const = default;
};

// A task that is over, or has moved and is now another one.
struct SavedEnd {
    TaskId id = 0, successor = 0; // 0: none
    bool threads_moved = false;   // with all its threads, so that rights to it go on to be good
    std::int32_t status = 0;
    bool operator==(const SavedEnd &) const = default;
};

std::vector<std::byte> encode(const Job &job);
std::vector<std::byte> encode(std::span<const SavedStretch> stretches);
std::vector<std::byte> encode(const Pages &pages);
std::vector<std::byte> encode(const SavedTask &task);
std::vector<std::byte> encode(std::span<const SavedEnd> ends);
std::vector<std::byte> encode(std::span<const SavedSync> objects);

// No value: damaged.
std::optional<Job> decode_job(std::span<const std::byte> bytes);
std::optional<std::vector<SavedStretch>> decode_stretches(std::span<const std::byte> bytes);
std::optional<Pages> decode_pages(std::span<const std::byte> bytes); // into `bytes`
std::optional<SavedTask> decode_task(std::span<const std::byte> bytes);
std::optional<std::vector<SavedEnd>> decode_ends(std::span<const std::byte> bytes);
std::optional<std::vector<SavedSync>> decode_sync(std::span<const std::byte> bytes);

// Where what a node had is to be in a job of `nodes` nodes.
constexpr dsm::NodeId new_place(dsm::NodeId node, unsigned nodes) {
    return static_cast<dsm::NodeId>(node % nodes);
}
// The same of memory: that of a named object has to be where its name is looked for.
dsm::NodeId new_home(const SavedStretch &stretch, dsm::NodeId node, unsigned nodes);

} // namespace norma::rt::checkpoint
