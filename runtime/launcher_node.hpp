// SPDX-License-Identifier: BSD-3-Clause
// One node server as the launcher sees it: a child process and the socket to it.
#pragma once

#include <csignal>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

namespace norma::rt {

class NodeProcess {
  public:
    // Starts `command --node index --nodes count`; the child gets `signal_mask`. Throws std::system_error.
    NodeProcess(unsigned index, unsigned count, const std::vector<std::string> &command,
                const std::vector<std::string> &env, const sigset_t &signal_mask);
    ~NodeProcess(); // kills what is left; never blocks, so it does not reap
    NodeProcess(const NodeProcess &) = delete;
    NodeProcess &operator=(const NodeProcess &) = delete;

    int fd() const { return fd_; } // -1 once closed
    bool alive() const { return pid_ > 0; }

    // False, and errno, if the node server does not take the record: it is gone, it has stopped reading, or the record
    // is too long (EMSGSIZE, ENOBUFS).
    bool send(std::span<const std::byte> record);

    enum class Received { record, nothing, closed };
    // Takes one waiting record into `buffer` (resized to fit); closes the socket at its end or on an oversized record.
    Received receive(std::vector<std::byte> &buffer);

    void kill();

    // True once it has ended and waits to be reaped; everything it sent can be received by then.
    bool ended() const;
    // To be called once it has ended: kills what it left in its session's process group, closes the socket and returns
    // its status as wait(2) has it.
    int reap();

  private:
    void close_socket();

    pid_t pid_ = -1;
    int fd_ = -1;
};

} // namespace norma::rt
