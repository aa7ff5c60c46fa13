// SPDX-License-Identifier: BSD-3-Clause
// The local socket at which a launcher can be asked about its job (local_socket.hpp). Only the launcher's user and root
// may talk there.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace norma::rt {

// A job of this machine, by what its socket is called.
struct JobName {
    pid_t launcher = 0;
    uid_t user = 0;
    std::string socket; // the name, without the zero in front
    bool operator==(const JobName &) const = default;
};

// All descriptors are close-on-exec and non-blocking. Throws std::system_error.
int listen_for_control();
// The next connection of somebody who may talk; -1: there is none. Others are closed.
int accept_control(int listener);

// Those that this user may ask, by launcher.
std::vector<JobName> jobs_here();
// -1, and errno: it is gone (ECONNREFUSED), or whoever has the name is not the job's user (EPERM).
int connect_control(const JobName &job);

} // namespace norma::rt
