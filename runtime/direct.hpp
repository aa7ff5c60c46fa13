// SPDX-License-Identifier: BSD-3-Clause
// Exported regions in the memory of an importer on the same machine (docs/one-sided.md): what it says to the owner's
// node server, and what both look at afterwards. Packets on a local socket, whose end is the end of the one or the
// other.
#pragma once

#include "runtime/right.hpp"

#include <atomic>
#include <cstdint>

namespace norma::rt {

// From the importer, once: a key, as norma_key_t has it.
struct DirectAsk {
    TaskId owner;
    std::uint64_t place; // in the owner's table
    Key secret;
};
static_assert(sizeof(DirectAsk) == 32);

// The answer. With KERN_SUCCESS a DirectControl comes along, and so many pieces follow.
struct DirectGrant {
    std::int32_t status; // KERN_...
    std::uint32_t pieces;
    std::uint64_t bytes; // of the export
    std::uint64_t lead;  // bytes of the first page that are in front of it
    std::uint64_t access;
};
static_assert(sizeof(DirectGrant) == 32);

// Whole pages, one piece behind the other; the frames come along.
struct DirectPiece {
    std::uint64_t offset; // in the frames
    std::uint64_t size;
};
static_assert(sizeof(DirectPiece) == 16);
inline constexpr std::size_t kMostDirectPieces = 64;

// A page that the importer shares with the owner's node server, which alone writes `state`. Whoever accesses the region
// first counts himself in and then looks at `state`; the node server first writes `state` and then looks whether
// anybody is in. So one of the two sees the other.
struct DirectControl {
    enum State : std::uint32_t { live, withdrawn, owner_gone };
    std::atomic<std::uint32_t> state;
    alignas(64) std::atomic<std::uint32_t> users; // threads of the importer that are in an access
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(DirectControl) <= 4096);

} // namespace norma::rt
