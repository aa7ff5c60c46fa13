// SPDX-License-Identifier: BSD-3-Clause
// Several nodes on one machine behave as several hosts, so each gets its own share of the cores.
#pragma once

#include <string>

namespace norma::rt {

// Binds the calling process, and so every task it starts, to share `index` of `shares` of the cores it may use now. With
// fewer cores than shares, cores are shared in turn. Returns which processors, for the log; throws std::runtime_error.
std::string bind_to_share(unsigned index, unsigned shares);

} // namespace norma::rt
