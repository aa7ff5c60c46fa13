// SPDX-License-Identifier: BSD-3-Clause
// Several nodes on one machine behave as several hosts, so each gets its own share of the cores and
// of the memory.
#pragma once

#include <cstdint>
#include <string>

namespace norma::rt {

struct Share {
    std::string processors; // for the log
    bool alone = true;      // no other node of the job has the same cores
};

// Binds the calling process, and so every task it starts, to share `index` of `shares` of the cores it may use now.
// With fewer cores than shares, cores are shared in turn. Throws std::runtime_error.
Share bind_to_share(unsigned index, unsigned shares);

std::uint64_t share_of_memory(unsigned shares); // bytes

} // namespace norma::rt
