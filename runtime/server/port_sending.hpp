// SPDX-License-Identifier: BSD-3-Clause
// A message that a task of this node sends, until its outcome is known.
#pragma once

#include "runtime/server/port_service.hpp"

namespace norma::rt {

struct PortService::Sending {
    Waiter who;
    std::uint64_t number; // of the wait, here and at the port's home
    Right to;
    std::int64_t timeout_ms;
    std::vector<Passed> passed;
    Message message;
    MemoryLinks::Pieces leaving; // go out of the sender's map if it is sent
    Done done;
};

} // namespace norma::rt
