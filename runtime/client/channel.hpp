// SPDX-License-Identifier: BSD-3-Clause
// A thread's own connection to the node server.
#pragma once

#include "runtime/protocol.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace norma::rt {

struct Answer {
    std::int32_t status = 0; // KERN_...
    std::array<std::uint64_t, kOpVals> vals{};
    std::span<const std::byte> blob; // valid until the thread's next call
};

// Sends a request and waits for its answer. Blocks only the calling thread. KERN_FAILURE outside a job.
// The blob must not be coherent memory. A descriptor may go along. Signal handlers may make calls, too: as much of the
// answer's blob as there is room for is copied to `answered`, which must not be coherent memory either, before one can
// make the thread's next call.
Answer call(Op op, std::uint32_t port, std::array<std::uint64_t, kOpArgs> args = {},
            std::span<const std::byte> blob = {}, int fd = -1, std::span<std::byte> answered = {}) noexcept;

// In a new thread: its first call may come from a signal handler, which must not be where it gets its variables.
void prepare_calls() noexcept;

// In a signal handler, of a thread that will not go on where it was: it is in no call any more.
void forget_calls() noexcept;

// For the handler of a fault: the answer of the thread's last call may still be in use. Allocates nothing, and what it
// sends must not be coherent memory.
Answer call_apart(Op op, const std::array<std::uint64_t, kOpArgs> &args, std::span<const std::byte> blob) noexcept;

// A call whose one result is a port. KERN_INVALID_ARGUMENT if there is nowhere to put it.
std::int32_t port_call(Op op, std::uint32_t port, std::array<std::uint64_t, kOpArgs> args,
                       std::uint32_t *made) noexcept;

// Tells the node server something on the control socket; safe from any thread.
void tell(TaskMsg type, std::array<std::uint64_t, 3> args, std::span<const std::byte> blob = {}, int fd = -1) noexcept;

} // namespace norma::rt
