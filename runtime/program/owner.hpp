// SPDX-License-Identifier: BSD-3-Clause
// A thread as an owner in coherent memory: so that the others of its node can tell whether it is still there, even
// after the kernel has given its number to another one. Neither function allocates.
#pragma once

#include <cstdint>

namespace norma::rt {

std::uint64_t this_owner(); // never 0
bool is_alive(std::uint64_t owner);

} // namespace norma::rt
