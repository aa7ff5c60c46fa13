// SPDX-License-Identifier: BSD-3-Clause
// What every transport does with its peers, whatever network is below: it numbers and seals what is sent, judges what
// arrives before anything else looks at it, puts it in order, and tells once that a peer is gone.
#pragma once

#include "rpc/inbox.hpp"
#include "rpc/record.hpp"
#include "rpc/transport.hpp"

#include <string>
#include <vector>

namespace norma::rpc {

class Sessions {
  public:
    // `disconnect` is the transport's own: called for a broken peer before its `down` handler.
    Sessions(const Options &options, Handlers handlers, std::function<void(NodeId)> disconnect);

    // Throws std::runtime_error unless this node can connect to `peer` in that life.
    void check_peer(NodeId peer, std::uint32_t incarnation) const;
    void open(NodeId peer, std::uint32_t incarnation); // connected from now on, and counts from 0
    bool close(NodeId peer);                           // for good, or until open(); false: it never was open
    bool connected(NodeId peer) const { return peer < kMaxNodes && peers_[peer].state == State::connected; }

    // Puts header and record of the next message to a connected peer into `front`.
    void seal(NodeId peer, std::span<const std::byte> record, std::size_t payload_bytes, std::vector<std::byte> &front);
    // A message from the network, as decode_message() has it. Calls the handlers.
    enum class Fate : std::uint8_t { delivered, held, repeated, dropped };
    Fate accept(std::span<const std::byte> front, std::span<const std::byte> data);
    // The network says that the peer cannot be reached any more. `down` is called from work().
    void mark_broken(NodeId peer, std::string why);
    // What the network below found out by itself, of a message or a connection that is not taken.
    void refuse(Verdict verdict) { drop(verdict); }
    Expected expected() const { return {options_.self, options_.incarnation, options_.job_key, incarnations_}; }

    // What could not be done from within connect() and send(): true if there was anything.
    bool work();
    bool has_work() const { return !broken_.empty() || !opened_.empty(); }

    const Counters &counters() const { return counters_; }

  private:
    // absent -> connected -> broken (`down` not yet called) -> gone; open() starts over.
    enum class State : std::uint8_t { absent, connected, broken, gone };
    struct Peer {
        State state = State::absent;
        std::uint32_t incarnation = 0;
        std::uint64_t next_sequence = 0;
        Inbox inbox;
        std::string why;
    };
    void deliver(NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload);
    bool deliver_waiting(NodeId from);
    bool report_broken();
    void drop(Verdict verdict);

    const Options options_;
    const Handlers handlers_;
    const std::function<void(NodeId)> disconnect_;
    Counters counters_;
    std::vector<Peer> peers_;
    std::vector<std::uint32_t> incarnations_; // what decode_message() goes by
    std::vector<NodeId> broken_;
    std::vector<NodeId> opened_; // connected with messages already waiting
};

} // namespace norma::rpc
