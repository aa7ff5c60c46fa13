// SPDX-License-Identifier: BSD-3-Clause
// A task that teleports itself: the calling thread goes on in the new process.
#pragma once

#include <cstdint>

namespace norma::rt {

// In the new process: goes on from the context that the thread saved on its coherent stack in the old one.
void continue_here(std::uint64_t context);

} // namespace norma::rt
