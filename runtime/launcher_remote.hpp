// SPDX-License-Identifier: BSD-3-Clause
// A node server on another host. It is gone when the connection to its joiner is: the joiner then ends what is left.
#pragma once

#include <optional>
#include <string>

#include "runtime/launcher_node.hpp"
#include "runtime/record_stream.hpp"

namespace norma::rt {

class RemoteNode final : public NodeServer {
  public:
    explicit RemoteNode(RecordStream stream) : stream_(std::move(stream)) {}

    int fd() const override { return over_ ? -1 : stream_.fd(); }
    short events() const override { return stream_.events(); }
    bool alive() const override { return alive_; }
    bool send(std::span<const std::byte> record) override { return !over_ && stream_.send(record); }
    Received receive(std::vector<std::byte> &buffer) override;
    void kill() override { stream_.hang_up(); }
    bool ended() const override { return alive_ && over_; }
    End take_end() override;

  private:
    RecordStream stream_;
    bool alive_ = true, over_ = false;
    std::string why_;
    std::optional<int> status_; // of its process, which its joiner has told
};

} // namespace norma::rt
