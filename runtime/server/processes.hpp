// SPDX-License-Identifier: BSD-3-Clause
// The processes of this node's tasks, as the operating system has them.
#pragma once

#include "runtime/server/image.hpp"

#include <chrono>
#include <optional>
#include <sys/types.h>

namespace norma::rt {

class Processes {
  public:
    struct End {
        pid_t pid;
        int status;                    // as wait(2) has it
        std::chrono::microseconds cpu; // that it has used, user and system
    };
    // Runs the program with its end of the control socket, `control`, which stays open here. Throws std::system_error.
    pid_t start(const Program &program, bool first, int control);
    void kill(pid_t pid);
    void signal(pid_t pid, int signal);
    void signal_through(int pidfd, int signal); // of a process that was not started here
    std::optional<End> next_end();              // of a process that has ended, each once
    End wait_for(pid_t pid);
};

} // namespace norma::rt
