// SPDX-License-Identifier: BSD-3-Clause
// What libnorma calls, if this library is there: that it is makes a program a whole one.
#include "norma/mach.h"
#include "runtime/program/allocation.hpp"

#include <ios>

namespace {

// In a task that does not run the program's constructors, nobody else would.
const std::ios_base::Init streams;

} // namespace

extern "C" {

NORMA_EXPORT void norma_program_begin(void *heap, std::size_t part_bytes, unsigned parts, unsigned node,
                                      std::uint64_t (*lost_from)(const void *address)) {
    norma::rt::begin_allocation({.base = static_cast<std::byte *>(heap), .parts = parts, .part_bytes = part_bytes},
                                node, lost_from);
}

NORMA_EXPORT void norma_program_lose(unsigned part, bool with_its_node) {
    norma::rt::lose_part(part, with_its_node);
}

NORMA_EXPORT void norma_program_allocate_privately(bool from_now_on) {
    norma::rt::allocate_privately(from_now_on);
}
}
