// SPDX-License-Identifier: BSD-3-Clause
// A thread as an owner in coherent memory: so that the others of its node can tell whether it is still there, even
// after the kernel has given its number to another one. No function allocates.
#pragma once

#include <cstdint>

namespace norma::rt {

std::uint64_t this_owner(unsigned node); // never 0
unsigned node_of(std::uint64_t owner);
bool is_alive(std::uint64_t owner); // on this node

} // namespace norma::rt
