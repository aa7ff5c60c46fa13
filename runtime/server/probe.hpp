// SPDX-License-Identifier: BSD-3-Clause
// Measures the transport between this node server and another, with the loop and the wait mode that everything else
// uses: the floor under every coherent operation.
#pragma once

#include "runtime/server/router.hpp"

#include <span>
#include <vector>

namespace norma::rt {

class Probe {
  public:
    explicit Probe(rpc::Transport &transport) : transport_(transport) {}

    // One measurement at a time; KERN_RESOURCE_SHORTAGE if another one is under way.
    void start_round_trips(const Request &request, Done done);
    void start_stream(const Request &request, Done done);
    bool message(dsm::NodeId from, std::span<const std::byte> record); // false: no such record
    void node_down(dsm::NodeId node);
    bool busy() const { return static_cast<bool>(done_); }

  private:
    void send(dsm::NodeId to, std::uint8_t kind, std::uint32_t record_bytes, std::uint32_t payload_bytes,
              std::uint32_t reply_bytes);
    void next_ping();
    void fill_stream();
    void take_pong();
    void take_acknowledgement();
    void finish(Reply reply);

    rpc::Transport &transport_;
    Done done_;              // empty: nothing under way
    bool streaming_ = false; // what is under way: a stream or round trips
    dsm::NodeId peer_ = 0;
    std::uint32_t request_bytes_ = 0, reply_bytes_ = 0;
    std::uint64_t warmup_ = 0, left_ = 0, unacknowledged_ = 0;
    Clock::time_point started_{};
    std::vector<double> samples_; // microseconds
};

} // namespace norma::rt
