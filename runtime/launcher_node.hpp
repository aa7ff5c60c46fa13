// SPDX-License-Identifier: BSD-3-Clause
// One node server as the launcher sees it: a child process and the socket to it, or (launcher_remote.hpp) the
// connection to the joiner on another host that has one for a child.
#pragma once

#include <csignal>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <poll.h>
#include <sys/types.h>

#include "runtime/launch.hpp"

namespace norma::rt {

class NodeServer {
  public:
    NodeServer() = default;
    virtual ~NodeServer() = default;
    NodeServer(const NodeServer &) = delete;
    NodeServer &operator=(const NodeServer &) = delete;

    virtual int fd() const = 0;       // -1 once closed
    virtual short events() const = 0; // what to poll for
    virtual bool alive() const = 0;

    // False, and errno, if the node server does not take the record: it is gone, it has stopped reading, or the record
    // is too long (EMSGSIZE, ENOBUFS).
    virtual bool send(std::span<const std::byte> record) = 0;

    enum class Received { record, nothing, closed };
    // Takes one waiting record into `buffer` (resized to fit); closes the socket at its end or on an oversized record.
    virtual Received receive(std::vector<std::byte> &buffer) = 0;

    virtual void kill() = 0;

    // True once it has ended and take_end() has not been called; everything it sent can be received by then.
    virtual bool ended() const = 0;
    struct End {
        std::string why;
        bool violent = false; // it has not ended by itself
    };
    virtual End take_end() = 0;
};

// `status` as wait(2) has it.
NodeServer::End describe_end(int status);

class NodeProcess final : public NodeServer {
  public:
    // Starts `command --node index` with the job's size; the child gets `signal_mask`. Throws std::system_error.
    NodeProcess(unsigned index, const JobSize &size, const std::vector<std::string> &command,
                const std::vector<std::string> &env, const sigset_t &signal_mask);
    ~NodeProcess() override; // kills what is left; never blocks, so it does not reap

    int fd() const override { return fd_; }
    short events() const override { return POLLIN; }
    bool alive() const override { return pid_ > 0; }
    bool send(std::span<const std::byte> record) override;
    Received receive(std::vector<std::byte> &buffer) override;
    void kill() override;
    bool ended() const override;
    End take_end() override { return describe_end(reap()); }
    // Once it has ended: kills what it left in its session's process group, closes the socket and returns its status as
    // wait(2) has it.
    int reap();

  private:
    void close_socket();

    pid_t pid_ = -1;
    int fd_ = -1;
};

} // namespace norma::rt
