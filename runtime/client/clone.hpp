// SPDX-License-Identifier: BSD-3-Clause
// The child's side of norma_clone.
#pragma once

#include "runtime/client/threads.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace norma::rt {

// For the service thread of a task that has no other thread yet: takes on what its parent has sent along, files (or -1)
// included, which it closes, and makes the thread. 0 or an errno value.
int begin_clone(std::uint64_t entry, std::uint64_t argument, std::uint64_t top_of_stack,
                std::span<const std::byte> inheritance, int parcel, NewThread &made);

} // namespace norma::rt
