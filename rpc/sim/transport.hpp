// SPDX-License-Identifier: BSD-3-Clause
// A transport over the simulated network. Everything but the network is what the real transports have: header, inbox,
// checks, buffers.
#pragma once

#include "rpc/sessions.hpp"
#include "rpc/sim/network.hpp"
#include "rpc/staging.hpp"

#include <deque>
#include <map>
#include <memory>

namespace norma::rpc::sim {

class SimTransport final : public Transport {
  public:
    SimTransport(Network &network, const Options &options, Handlers handlers);
    ~SimTransport() override;

    std::vector<std::byte> address() const override;
    void connect(NodeId peer, std::uint32_t incarnation, std::span<const std::byte> address) override;
    void send(NodeId peer, std::span<const std::byte> record, StagingPtr payload) override;
    StagingPtr stage() override { return pool_->take(); }
    bool progress() override;
    int event_fd() const override { return event_fd_; }
    bool arm() override { return arrived_.empty() && due_.empty() && !sessions_.has_work(); }
    void disconnect(NodeId peer) override { sessions_.close(peer); }
    const Counters &counters() const override { return sessions_.counters(); }
    std::string describe() const override { return "sim"; }

    // From the network.
    void arrived(std::vector<std::byte> bytes, std::size_t front);
    void lost(NodeId peer);

    struct Fates {
        std::uint64_t held = 0, repeated = 0;
    };
    const Fates &fates() const { return fates_; }

  private:
    struct Arrival {
        std::vector<std::byte> bytes;
        std::size_t front = 0;
    };
    // A message that may be handled in any order, kept back for a while.
    struct KeptBack {
        NodeId from = 0;
        std::vector<std::byte> record, payload;
    };
    void message(NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload);
    void hand_over(const KeptBack &late);

    Network &network_;
    const Options options_;
    const Handlers handlers_;
    Sessions sessions_;
    StagingPool::Ptr pool_;
    int event_fd_;
    std::deque<Arrival> arrived_;
    std::map<std::uint64_t, KeptBack> kept_back_; // by number
    std::deque<std::uint64_t> due_;
    std::uint64_t next_kept_back_ = 0;
    Fates fates_;
    std::shared_ptr<bool> here_ = std::make_shared<bool>(true); // for events that may outlive this
};

} // namespace norma::rpc::sim
