// SPDX-License-Identifier: BSD-3-Clause
// Where a process that norma did not start finds the node servers of its machine (docs/attach.md): each listens at a
// local socket whose name says what it belongs to. A connection to it becomes the control socket of a task.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace norma::rt {

struct DoorName {
    pid_t job = 0; // the launcher's process id; on the host of a joiner, the joiner's
    uid_t user = 0;
    unsigned node = 0;
    std::string socket; // the name, without the zero in front
};

// Of packets; close-on-exec and non-blocking. Throws std::system_error.
int listen_at_door(pid_t job, unsigned node);
// Those of all users, by job and node.
std::vector<DoorName> doors_here();

} // namespace norma::rt
