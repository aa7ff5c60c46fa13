// SPDX-License-Identifier: BSD-3-Clause
// Which units of a part are in use. Claiming is an atomic operation for each word of the bitmap.
#pragma once

#include <cstdint>

#include "runtime/heap/part.hpp"

namespace norma::rt::heap {

// The first of `count` neighbouring units that begin at a multiple of align, a power of two; 0 if there are none.
std::uint32_t claim_units(const Part &part, std::uint32_t count, std::size_t align);
// These units, or none of them.
bool claim_range(const Part &part, std::uint32_t unit, std::uint32_t count);
void release_units(const Part &part, std::uint32_t unit, std::uint32_t count);
std::uint32_t units_free(const Part &part);

// Runs: a block of one unit or more. Null if there is no room.
std::byte *take_run(const Part &part, std::uint32_t units, std::size_t align);
// False: no run of that many units begins there (any more).
bool give_run(const Part &part, std::uint32_t unit, Descriptor run);
// Gives those units of a run back of which nothing is gone; the others stay claimed for good.
void retire_run(const Part &part, std::byte *run, std::uint32_t units,
                bool (*gone)(const std::byte *start, std::size_t bytes));
// Longer or shorter without moving; false if what is behind is in use.
bool resize_run(const Part &part, std::uint32_t unit, std::uint32_t from, std::uint32_t to);

} // namespace norma::rt::heap
