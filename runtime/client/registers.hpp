// SPDX-License-Identifier: BSD-3-Clause
// The registers of a stopped thread: in the frame that the kernel made for the handler that stops it, from where they
// are loaded when it goes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <ucontext.h>

namespace norma::rt {

// x86_THREAD_STATE64 or x86_FLOAT_STATE64, of so many bytes (runtime/thread_state.hpp).
void read_registers(const ucontext_t &context, std::uint64_t flavor, std::span<std::byte> state);
// `state` is valid (runtime/thread_state.hpp).
void write_registers(ucontext_t &context, std::uint64_t flavor, std::span<const std::byte> state);

// If the thread is at a system call that the kernel would make again, as it was interrupted, it fails with EINTR.
void abort_system_call(ucontext_t &context);

} // namespace norma::rt
