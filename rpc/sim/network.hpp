// SPDX-License-Identifier: BSD-3-Clause
// The network between simulated nodes. It does to messages what a reliable network under stress does before it gives a
// connection up: it is late, it lets one message pass another, it sends again what was lost (so a message may come
// twice), and holds what a partition does not let through. It also delivers what no peer has sent: rubbish, and what a
// node said in a former life.
#pragma once

#include "rpc/sim/scheduler.hpp"
#include "rpc/transport.hpp"

#include <map>
#include <set>
#include <span>
#include <vector>

namespace norma::rpc::sim {

class SimTransport;

// How the network behaves; probabilities in thousandths of all messages.
struct Weather {
    Nanoseconds latency = 5 * kMicrosecond;
    Nanoseconds jitter = 2 * kMicrosecond;
    unsigned late = 0;       // comes after up to `lateness` more
    unsigned lost = 0;       // is sent again after a time-out
    unsigned overtaken = 0;  // does not wait for those before it
    unsigned twice = 0;      // comes again, whole, later
    unsigned garbage = 0;    // something like it, but damaged or foreign, comes too
    unsigned free_order = 0; // of the messages that may be handled in any order: kept back after the inbox
    Nanoseconds lateness = kMillisecond;
};

struct Injected {
    std::uint64_t late = 0, lost = 0, overtaken = 0, twice = 0, garbage = 0, kept_back = 0, held_by_partition = 0;
    std::uint64_t cut_off = 0;     // died with their sender
    std::uint64_t former_life = 0; // arrived in another life of the receiver or after the sender's end
};

class Network {
  public:
    struct Hooks {
        std::function<void(int event_fd)> ready; // the transport with that descriptor has something to do
        std::function<void(NodeId from, NodeId to, std::span<const std::byte> record)> sent;
        // Messages that the layer above takes in any order.
        std::function<bool(std::span<const std::byte> record)> order_free;
    };
    Network(Scheduler &scheduler, Random &random, Hooks hooks)
        : scheduler_(scheduler), random_(random), hooks_(std::move(hooks)) {}

    Weather weather;
    const Injected &injected() const { return injected_; }
    std::size_t in_flight() const { return in_flight_.size() + held_.size(); }

    // The message that is being sent comes that much later: to be called from the hook `sent`.
    void delay_this(Nanoseconds delay) { delay_of_this_ = delay; }
    // One way; what is held goes on its way when the way is open again.
    void block(NodeId from, NodeId to) { blocked_.insert({from, to}); }
    void unblock(NodeId from, NodeId to);
    bool blocked(NodeId from, NodeId to) const { return blocked_.contains({from, to}); }

    // A node has ended. Of what it sent, each connection loses everything from some message on.
    void cut_off(NodeId node);
    // A connected peer's transport learns that the node is gone.
    void report_down(NodeId observer, NodeId gone);

    // For SimTransport.
    int attach(NodeId node, SimTransport &transport);
    void detach(NodeId node, const SimTransport &transport);
    void send(NodeId from, NodeId to, std::vector<std::byte> front, std::span<const std::byte> payload);
    const Hooks &hooks() const { return hooks_; }
    Scheduler &scheduler() { return scheduler_; }
    Random &random() { return random_; }
    void count_kept_back() { ++injected_.kept_back; }

  private:
    using Way = std::pair<NodeId, NodeId>;
    struct Packet {
        NodeId from = 0, to = 0;
        std::size_t front = 0;  // bytes of header and record
        std::uint64_t life = 0; // of the receiver, when it was sent
        std::vector<std::byte> bytes;
    };
    void launch(Packet packet, Nanoseconds delay, bool in_order);
    void arrive(std::uint64_t number);
    Nanoseconds draw_delay(std::size_t bytes);
    Packet damaged(Packet packet);

    Scheduler &scheduler_;
    Random &random_;
    Hooks hooks_;
    Injected injected_;
    std::map<NodeId, SimTransport *> transports_;
    std::map<NodeId, std::uint64_t> lives_;
    std::map<Way, Nanoseconds> last_arrival_;
    std::set<Way> blocked_;
    std::map<std::uint64_t, Packet> in_flight_; // by number, which is the order of sending
    std::map<std::uint64_t, Packet> held_;      // by a partition
    std::uint64_t next_packet_ = 0;
    Nanoseconds delay_of_this_ = 0;
    int next_fd_ = 1 << 24;
};

} // namespace norma::rpc::sim
