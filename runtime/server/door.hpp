// SPDX-License-Identifier: BSD-3-Clause
// The local socket at which processes that norma did not start come in. Nothing waits: who has connected is let in or
// turned away at once.
#pragma once

#include "dsm/core/core.hpp"

#include <optional>
#include <string>

#include <sys/types.h>

namespace norma::rt {

// The descriptors are the taker's.
struct Visitor {
    int socket = -1, pidfd = -1;
    pid_t pid = 0;
    std::string program;  // absolute path; empty: it cannot be seen
    std::string settings; // of the job, for the greeting
};

class Door {
  public:
    Door(pid_t job, dsm::NodeId node); // throws std::system_error
    ~Door();
    Door(const Door &) = delete;
    Door &operator=(const Door &) = delete;

    int fd() const { return listener_; }
    // The next one who may come in; others are told why not.
    std::optional<Visitor> next();
    // Whether next() could not take somebody in for want of descriptors or memory: he still waits.
    bool is_stuck() const { return stuck_; }

  private:
    int listener_;
    bool stuck_ = false;
};

} // namespace norma::rt
