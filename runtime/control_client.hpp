// SPDX-License-Identifier: BSD-3-Clause
// How a job of this machine stands, as its launcher and its node servers say, and what they do on demand. Waits for
// them; not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/control_socket.hpp"
#include "runtime/launch.hpp"
#include "runtime/record_stream.hpp"

namespace norma::rt {

struct JobView {
    struct Node {
        std::optional<NodeReport> report;
        std::string why; // there is none
    };
    JobName name;
    launch::Overview overview;
    std::vector<Node> nodes;
};

class ControlClient {
  public:
    explicit ControlClient(const JobName &name); // throws std::system_error
    // With the threads of task `of` (0: of none). Throws std::runtime_error: the job has ended, or does not answer.
    JobView look(TaskId of);
    // Throws likewise, but waits as long as it takes: the task's node server sees to it that it ends.
    launch::Migrated migrate(TaskId task, std::uint16_t node, std::uint8_t flags);
    // The same of a node that is to leave; `progress` hears how far it is.
    launch::Drained drain(std::uint16_t node, std::uint16_t to,
                          const std::function<void(const launch::Draining &)> &progress);

    // The number of a new node, or why there is none. Throws likewise; the launcher sees to it that it ends.
    launch::NodeAdded add_node();
    // Likewise: node servers and launcher see to it. What has been taken is theirs until this connection ends.
    launch::CheckpointTaken checkpoint();
    launch::CheckpointPiece read_checkpoint(std::uint16_t node); // the next piece of a node

  private:
    launch::Record next_record(std::chrono::milliseconds patience); // < 0: for ever

    JobName name_;
    RecordStream stream_;
    std::uint64_t asked_ = 0;
};

// The job whose launcher that is, or the only one there is. Throws std::runtime_error with what to do.
JobName choose_job(std::optional<pid_t> launcher);

} // namespace norma::rt
