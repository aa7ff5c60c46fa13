// SPDX-License-Identifier: BSD-3-Clause
// What a thread takes along to another process: its registers, as the kernel has saved them for a signal's handler, its
// signal mask, and what lies beside its thread pointer. It is kept below the thread's frames on its own stack.
#pragma once

#include <cstdint>
#include <ucontext.h>

namespace norma::rt {

// In the handler: where it is. 0: there is no room on the stack.
std::uint64_t save_thread(const ucontext_t &context);
// In the new process, on a stack that is not coherent memory.
[[noreturn]] void restore_thread(std::uint64_t saved);

std::uint64_t stack_limit_of(std::uint64_t saved); // of its stack

std::uint64_t processor_registers(); // which kinds there are, as the processor says (XCR0)

} // namespace norma::rt
