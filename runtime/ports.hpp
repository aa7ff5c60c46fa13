// SPDX-License-Identifier: BSD-3-Clause
// The ports that live on a node: their queues, who waits to send or to receive, which nodes have rights to them. Pure:
// no clock, thread, socket or system call. The node server gives it requests and news of deaths, and carries out the
// events it lists (runtime/server/port_service).
//
// A port stays where it was made, until that node leaves the job; the right to receive from it may move. The home knows
// which nodes have send rights, each node counts its own. A node that comes to have a right says attach(), and only
// when that is answered may the node it has the right from let go of its own: so there is no moment at which a right in
// a message is nobody's.
#pragma once

#include "runtime/message.hpp"

#include <norma/mach.h>

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <vector>

namespace norma::rt {

// A send or a receive that may wait: its number is unique on its node.
struct Ticket {
    dsm::NodeId node = 0;
    std::uint64_t number = 0;
    auto operator<=>(const Ticket &) const = default;
};

struct PortEvent {
    enum class Kind : std::uint8_t {
        sent,      // answers a send. Unless it succeeded, `message` is the sender's again, with its rights
        received,  // answers a receive; with a message, `delivery` is to be settled by taken()
        died,      // a port: `right`, to be told to `nodes`
        destroyed, // a message that nobody can receive any more: its rights go
        taken,     // a message: its rights are the receiver's now
        no_senders // to be told to `right`, of which a reference goes; `number` of send rights were made
    } kind{};
    Ticket to{};
    std::int32_t status = 0;
    std::shared_ptr<const Message> message{};
    std::uint64_t delivery = 0, number = 0; // received, too large: number of bytes
    Right right{};
    dsm::NodeSet nodes{};
};
using PortEvents = std::vector<PortEvent>;

struct PortLimits {
    std::size_t ports = std::size_t{1} << 20, queue = MACH_PORT_QLIMIT_DEFAULT;
};

class PortHome {
  public:
    PortHome(dsm::NodeId node, std::uint32_t incarnation, PortLimits limits = {});

    // A new port whose right to receive is on `node`. The keys have just been drawn. KERN_RESOURCE_SHORTAGE.
    kern_return_t create(const Key &send, const Key &receive, dsm::NodeId node, Right &right);

    // ---- what a node has: no port with that key answers false, and is counted ----
    bool attach(const Right &right, dsm::NodeId node, bool made); // send rights
    void release(const Right &right, dsm::NodeId node, PortEvents &out);
    bool move_receiver(const Carried &receive, dsm::NodeId to, PortEvents &out); // the port dies if that is down
    bool destroy(const Carried &receive, PortEvents &out);
    // Of a task that moves two nodes have the right to receive, until it is one's alone: so either may die meanwhile.
    // Whoever waits goes on waiting.
    bool share_receiver(const Carried &receive, dsm::NodeId with);
    bool unshare_receiver(const Carried &receive, dsm::NodeId without, PortEvents &out); // the port dies if no other
    // Tells `notify` once when no node has send rights and at least `sync` have been made; the request before it goes
    // unsaid, and its place to notify is returned. Kind none takes the request back.
    bool on_no_senders(const Carried &receive, const Right &notify, std::uint64_t sync, Right &previous,
                       PortEvents &out);

    // From the next time on when no node has send rights, once one has had them, the port dies.
    void end_without_senders(const Carried &receive);

    // ---- messages: each is answered by exactly one event, unless its node has died ----
    // `forced`: also if the queue is full.
    void send(const Right &right, const Ticket &who, std::shared_ptr<const Message> message, bool forced,
              PortEvents &out);
    // `room`: bytes there are for a message; one that needs more stays if `keep_large`.
    void receive(const Carried &receive, const Ticket &who, std::uint64_t room, bool keep_large, PortEvents &out);
    // MACH_SEND_TIMED_OUT, MACH_RCV_TIMED_OUT if it waits still; else does nothing.
    void cancel(const Ticket &who, PortEvents &out);
    // What became of a message that was delivered to `node`: the receiver has it, or it is back, first in the queue.
    bool taken(dsm::NodeId node, std::uint64_t delivery, bool kept, PortEvents &out);

    void node_died(dsm::NodeId node, PortEvents &out);

    // ---- of a node that leaves the job (runtime/ports_leaving.cpp): the ports go to another one ----
    // Whoever waits is answered with the status.
    void withdraw_all(std::int32_t status, PortEvents &out);
    bool is_quiet() const { return waiting_.empty() && deliveries_.empty(); }
    void write(rpc::Writer &writer) const; // of one that is quiet
    bool read(rpc::Reader &reader, unsigned nodes);
    using VisitMessage = std::function<void(std::shared_ptr<const Message> &)>;
    void each_message(const VisitMessage &visit); // in a queue
    using VisitPort = std::function<void(const Right &port, const Right &notify)>;
    void each_port(const VisitPort &visit) const;
    // The ports of `other`, whose node was `from`, are here from now on; what the node has a right to receive of in a
    // message of theirs, this one has. Who has died in the meantime has nothing of them.
    void merge(PortHome &&other, dsm::NodeId from, PortEvents &out);

    std::size_t ports() const { return ports_.size(); }
    std::size_t waiting() const { return waiting_.size(); }
    std::size_t delivering() const { return deliveries_.size(); }
    std::uint64_t refused() const { return refused_; } // keys of no port

  private:
    struct Sender {
        Ticket who;
        std::shared_ptr<const Message> message;
    };
    struct Receiver {
        Ticket who;
        std::uint64_t room;
        bool keep_large;
    };
    struct Port {
        Right right{}; // to send; the name of the node that made it, wherever the port is now
        Key receive{};
        dsm::NodeSet owners{};  // nodes that have the right to receive, or a message with it; mostly one
        dsm::NodeSet senders{}; // nodes with rights to send
        std::uint64_t made = 0, sync = 0;
        Right notify{};        // where to say that there are none; none: nobody has asked
        bool fleeting = false; // dies when there are none
        std::deque<std::shared_ptr<const Message>> queue{};
        std::list<Sender> blocked{};     // only while the queue is full
        std::list<Receiver> receivers{}; // only while it is empty
    };
    struct Delivery {
        dsm::NodeId node;
        Key port;
        std::shared_ptr<const Message> message;
    };

    static bool is_forsaken(const Port &port) { return port.fleeting && port.senders.none(); }
    Port *find(const Right &right);
    Port *find(const Carried &receive);
    Port *refuse();
    void pump(Port &port, PortEvents &out);
    void check_senders(Port &port, PortEvents &out);
    void die(const Key &key, PortEvents &out);

    dsm::NodeId node_;
    std::uint32_t incarnation_;
    PortLimits limits_;
    std::map<Key, Port> ports_;
    std::map<Ticket, Key> waiting_; // who waits at which port
    std::map<std::uint64_t, Delivery> deliveries_;
    std::uint64_t last_delivery_ = 0, refused_ = 0;
    dsm::NodeSet down_;
};

} // namespace norma::rt
