// SPDX-License-Identifier: BSD-3-Clause
// Threads that have stopped on one node, or in one job, and go on in another: their registers lie on their stacks.
#pragma once

#include "runtime/right.hpp"

#include <cstdint>
#include <vector>

namespace norma::rt {

struct MovedThread {
    std::uint64_t number = 0, state = 0, identity = 0, stack = 0, stack_bytes = 0; // state: where its registers lie
    Key key{};
    bool operator==(const MovedThread &) const = default;
};

void put_threads(rpc::Writer &writer, const std::vector<MovedThread> &threads);
// False: one has a number that is not below `next`, or none, or the bytes end.
bool get_threads(rpc::Reader &reader, std::uint64_t next, std::vector<MovedThread> &threads);

} // namespace norma::rt
