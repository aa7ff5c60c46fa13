// SPDX-License-Identifier: BSD-3-Clause
// Which states of a thread are valid: judged by the node server, so that a task only carries out what is.
#pragma once

#include "norma/mach.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace norma::rt {

// Bytes of a state of this flavor; 0: no such flavor.
constexpr std::size_t state_bytes(std::uint64_t flavor) {
    switch (flavor) {
    case NORMA_THREAD_ENTRY:
        return sizeof(norma_thread_entry_data_t);
    case x86_THREAD_STATE64:
        return sizeof(x86_thread_state64_t);
    case x86_FLOAT_STATE64:
        return sizeof(x86_float_state64_t);
    default:
        return 0;
    }
}

template <class State> State state_from(std::span<const std::byte> bytes) {
    State state;
    std::memcpy(&state, bytes.data(), sizeof state);
    return state;
}

inline bool valid_state(std::uint64_t flavor, std::span<const std::byte> bytes) {
    constexpr std::uint64_t kUserEnd = std::uint64_t{1} << 47; // the kernel would raise SIGSEGV beyond
    constexpr std::uint32_t kMxcsr = 0xffff;
    if (bytes.size() != state_bytes(flavor)) {
        return false;
    }
    switch (flavor) {
    case NORMA_THREAD_ENTRY:
        return state_from<norma_thread_entry_data_t>(bytes).entry != nullptr;
    case x86_THREAD_STATE64: {
        const auto rip = state_from<x86_thread_state64_t>(bytes).rip;
        return rip != 0 && rip < kUserEnd;
    }
    case x86_FLOAT_STATE64:
        return (state_from<x86_float_state64_t>(bytes).fpu_mxcsr & ~kMxcsr) == 0;
    default:
        return false;
    }
}

} // namespace norma::rt
