// SPDX-License-Identifier: BSD-3-Clause
// Joins ports (runtime/ports) and name spaces (runtime/names) of this node to those of the others: rights become names
// and names rights, messages go to where their port lives, and every right on the way is somebody's.
#pragma once

#include "runtime/message.hpp"
#include "runtime/moved_names.hpp"
#include "runtime/names.hpp"
#include "runtime/ports.hpp"
#include "runtime/server/port_refs.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <tuple>

namespace norma::rt {

// Memory in messages (runtime/server/message_memory.cpp). Whoever has a message has one use of each stretch in it.
struct MemoryLinks {
    using Ranges = std::vector<NamedMemory>;
    using Pieces = std::vector<MapEntry>;
    // Copies of memory of a task, all of one moment: the pieces of each range. MACH_SEND_... if that cannot be.
    struct Copies {
        std::int32_t status = MACH_MSG_SUCCESS;
        std::vector<Pieces> pieces{};
        Pieces leaving{}; // what then is to go out of the task's map
    };
    std::function<void(TaskId, const Ranges &ranges, std::function<void(Copies)> then)> copy;
    std::function<void(TaskId, const Pieces &leaving, std::function<void()> then)> remove;
    std::function<void(const Pieces &, std::function<void(bool alive)> then)> hold; // if they are alive
    std::function<void(const Pieces &)> release;
    // Into a task's map, at its expense. Uses the message's uses up. 0 in the place of an address: it cannot be.
    std::function<void(TaskId, const std::vector<CarriedMemory> &,
                       std::function<void(std::vector<std::uint64_t> addresses)> then)>
        give;
};

// What the service asks of its node server.
struct PortLinks {
    PortRefs::Call call;
    std::function<std::uint64_t(std::chrono::milliseconds, std::function<void()>)> at;
    std::function<void(std::uint64_t timer)> cancel;
    std::function<Key()> draw;                          // 128 bits that nobody can guess
    std::function<bool(TaskId, std::size_t bytes)> pay; // for what leaves the node; false: its quota is too small
    std::function<NameSpace *(TaskId)> names;           // null: no such task, or it has ended
    std::function<void(const std::function<void(NameSpace &)> &)> each_names;
    std::function<dsm::NodeId(dsm::NodeId)> server_of; // where what was made on a node is
    std::function<bool(dsm::NodeId)> holds;            // what is asked of that node waits, as it may be leaving
    MemoryLinks memory{};
};

// What the name server of each node gives to whoever asks.
using NamedRights = std::map<std::vector<std::byte>, Right>;
using NameServers = std::map<dsm::NodeId, NamedRights>;

// What a node that leaves the job has of them (port_leaving.cpp).
struct PortsView {
    const PortHome &home;
    const NameServers &servers;
};
void put_ports(rpc::Writer &writer, const PortsView &ports);
// On their way to its successor.
struct MovedPorts {
    explicit MovedPorts(dsm::NodeId node) : from(node), home(node, 0) {}

    dsm::NodeId from;
    PortHome home;
    NameServers servers;
    // The successor asks for what is in them, and has it; they stay where they were.
    bool begun = false, held = false, unwanted = false;
};
bool get_ports(rpc::Reader &reader, unsigned nodes, MovedPorts &ports); // false: they are damaged

class PortService {
  public:
    PortService(dsm::NodeId self, std::uint32_t incarnation, PortLinks links);

    // ---- what tasks of this node ask ----
    // The thread that waits: its task, and what ends when it does.
    struct Waiter {
        TaskId task;
        int channel;
        std::uint64_t thread = 0; // what it is to abort(); the others say already who it is
        std::uint64_t token = 0;  // told with what it sends
        bool operator<(const Waiter &other) const {
            return std::tie(task, channel) < std::tie(other.task, other.channel);
        }
    };
    std::int32_t allocate(TaskId task, std::uint32_t kind, std::uint32_t &name);
    void send(const Waiter &who, std::span<const std::byte> packet, std::int64_t timeout_ms, const Done &done);
    void receive(const Waiter &who, std::uint32_t name, std::uint64_t room, bool keep_large, std::int64_t timeout_ms,
                 const Done &done, Trailer trailer = Trailer::least);
    // Hands the right that `name` is in `task` to another task, maybe on another node; under `wanted` there, or any
    // (0).
    void pass(TaskId task, std::uint32_t name, std::uint32_t disposition, const Right &to, std::uint32_t wanted,
              const Done &done);
    // A copy of a send right, which nobody has to name; none or dead: nothing is handed on.
    void hand(const Right &right, const Right &to, const Done &done);
    void set_slot(TaskId task, std::uint32_t name, const Right &of, std::uint32_t slot, const Done &done);
    void set_service(TaskId task, std::uint32_t name, const Right &server, std::span<const std::byte> service,
                     bool replace, const Done &done);
    // What a task is made with: kept here until the child has it, adopted there.
    void keep(const Right &right);
    void adopt(TaskId task, const Slots &slots, std::function<void()> then);
    void request_notification(const Request &request, const Done &done);
    // Sends a message in the name of a thread of this node, which waits for the reply. MACH_SEND_INTERRUPTED (by
    // thread_abort), MACH_RCV_PORT_DIED (nobody can reply any more).
    using Answered = std::function<void(std::int32_t status, const Message &reply)>;
    void ask(const Waiter &who, const Right &to, Message message, const Answered &answered);
    // Sets, tells, or both, the exception ports of a task or thread, as the arguments of Op::exception_ports say.
    void change_exceptions(const Request &request, std::uint32_t name, const Right &of, const Right &caller,
                           const Done &done);
    void let_go(const Letting &rights);
    void thread_gone(const Waiter &who); // what it waits for is given up
    // If it waits still: MACH_SEND_INTERRUPTED, MACH_RCV_INTERRUPTED; or kWithdrawn, unless it waits for an answer of
    // an exception port, which may have been acted upon.
    void abort(std::uint64_t thread, std::int32_t status);
    void task_over(NameSpace &names, TaskId task);
    // A message of the node's own; uses up one reference to the place. It waits for room in the queue, unless `forced`,
    // until it is called off by its number, which is set before `done` is called.
    void post(const Right &place, const Message &message, bool forced, std::uint64_t &number, const Done &done);
    void call_off(const Right &place, std::uint64_t number);

    // ---- the names of a task that moves with all its threads, which have stopped (port_moving.cpp) ----
    bool is_changing(TaskId task) const {
        return changing_.contains(task);
    } // rights may come to it that are on the way
    // On its old node: nothing changes from now on, and the records are what `expect` wants. Then it either stays, or
    // parts with its rights to receive; these are let go if it is lost where it goes.
    std::vector<std::vector<std::byte>> leave(NameSpace &names);
    void stay(TaskId task, dsm::NodeId elsewhere, std::function<void()> then);
    Letting part(NameSpace &names);
    // On the new one: this node has all rights from then on, and the task of `from` has them, too; until it arrives.
    void expect(TaskId task, dsm::NodeId from, std::span<const std::byte> record, const Done &done);
    void arrive(TaskId task, std::function<void()> then);

    // ---- requests of nodes, this one too ----
    void serve_attach(const Request &request, const Done &done);
    void serve_release(const Request &request, const Done &done);
    void serve_send(const Request &request, const Done &done);
    void serve_receive(const Request &request, const Done &done);
    void serve_taken(const Request &request, const Done &done);
    void serve_cancel(const Request &request, const Done &done);
    void serve_destroy(const Request &request, const Done &done);
    void serve_dead(const Request &request, const Done &done);
    void serve_notify(const Request &request, const Done &done);
    void serve_put(const Request &request, const Done &done);
    void serve_exceptions(const Request &request, const Done &done);
    void serve_name_put(const Request &request, const Done &done);
    void serve_name_find(const Request &request, const Done &done);

    void node_down(dsm::NodeId node); // while the router still knows what was made on which nodes it had
    void node_left(dsm::NodeId node);

    // ---- ports of a node that leaves the job (port_leaving.cpp) ----
    // There: whoever waits begins again. When nothing is under way all that lives here can be written down, and from
    // then on nothing changes; unless the node stays.
    void withdraw_all();
    bool is_quiet() const;
    PortsView view() const { return {.home = home_, .servers = services_}; }
    void hand_over() { handed_over_ = true; }
    void take_back();
    // At its successor: this node has all rights and memory of their queues as well when it is `done`; if they stay
    // where they were it lets go of them. Else they are its own.
    void hold(const std::shared_ptr<MovedPorts> &ports, const Done &done);
    void let_go(MovedPorts &ports);
    void take_over(MovedPorts &ports);

    const PortHome &home() const { return home_; }
    std::size_t references() const { return refs_.ports(); }
    std::size_t waiting() const { return pending_.size() + waits_.size(); }

  private:
    using Taken = NameSpace::Taken;
    struct Passed { // a right that has left its name, and may come back
        std::uint32_t name, disposition;
        Carried carried;
    };
    struct Pending { // at the home, until its event comes
        Done done;
        std::uint64_t timer = 0;
        bool given_up = false; // while the rights of its message are being attached
    };
    struct Wait { // at the thread's node
        dsm::NodeId home;
        std::uint64_t number;
        bool question = false;               // to an exception port
        std::int32_t aborted = KERN_SUCCESS; // else why
    };
    struct Expected { // names of a task that is to go on here
        dsm::NodeId from;
        MovedNames names;
        std::set<Right> dead; // ports that were not there any more
    };

    struct Sending; // port_sending.hpp
    void copy_memory(const std::shared_ptr<Sending> &sending, const MemoryLinks::Ranges &ranges);
    void send_off(const std::shared_ptr<Sending> &sending);
    void sent(const std::shared_ptr<Sending> &sending, std::int32_t status);
    void release_memory(const Message &message);
    void release_memory_in(MovedPorts &ports);
    std::int32_t take(NameSpace &names, std::uint32_t name, std::uint32_t disposition, std::vector<Passed> &passed);
    std::int32_t take_all(NameSpace &names, Outgoing &out, std::vector<Passed> &passed);
    std::int32_t copy(TaskId task, std::uint32_t name, std::vector<Passed> &passed);
    Done settled(TaskId task, std::vector<Passed> passed, const Done &done);
    void put_in_slot(const Request &request, const Carried &carried, const Done &done);
    void bring_back(TaskId task, std::vector<Passed> passed, bool lost);
    void discard(const Carried &carried);
    void discard_all(const Message &message);
    std::uint32_t name_for(NameSpace &names, const Carried &carried);
    // Makes every right of the message this node's as well, and its memory; those that are dead become so in it.
    void admit(const std::shared_ptr<Message> &message, std::function<void()> then);
    void admit_one(const Carried &carried, PortRefs::Then then);
    // The contrary: they are `owner`'s alone again.
    void expel(const Message &message, dsm::NodeId owner, const std::function<void()> &then);
    void expel_one(const Carried &carried, dsm::NodeId owner, const std::function<void()> &then);
    void move_receiver(const Carried &receive, dsm::NodeId to, PortRefs::Then then);
    enum class Receiver : std::uint8_t { moves, also, no_more }; // Op::port_attach
    void tell_of_receiver(const Carried &receive, dsm::NodeId node, Receiver what, const Done &done);
    void alone(const std::vector<Carried> &receivers, dsm::NodeId other, std::function<void()> then);
    void not_arrived(const Expected &expected);
    bool is_gone(const Right &right) const { return refs_.is_dead(right) || lost_[node_of(right.task)]; }
    struct Receiving {
        Waiter who;
        std::uint32_t name;
        Key receive;
        dsm::NodeId home;
        std::uint64_t number;
        Trailer trailer;
        Done done;
    };
    bool has_right(const Receiving &receiving) const;
    void received(const Receiving &receiving, const Reply &reply);
    void give_message(const Receiving &receiving, const Message &message);
    void settle(dsm::NodeId home, std::uint64_t delivery, bool kept);
    void send_until_told(const Right &place, Request request, const Done &done);
    struct Asking;
    void replied(const std::shared_ptr<Asking> &asking, const Reply &reply);
    void tell_exceptions(const std::vector<HeldRight> &held, std::uint64_t mask, const Right &to, const Done &done);
    bool still_waits(const Waiter &who, std::uint64_t number) const;
    std::int32_t end_wait(const Waiter &who, std::uint64_t number); // why it was aborted, or KERN_SUCCESS
    void give_up(const Wait &wait);
    void port_died(const Right &right);
    void forget(dsm::NodeId node);
    void notify(const Right &place, std::int32_t id, std::uint32_t value);
    void run(PortEvents events);
    void answer_send(const PortEvent &event);
    void answer_receive(const PortEvent &event);
    void start_timer(const Ticket &who, std::int64_t timeout_ms);
    std::optional<Carried> receive_right_of(const Request &request) const;

    dsm::NodeId self_;
    PortLinks links_;
    PortHome home_;
    PortRefs refs_;
    std::map<Ticket, Pending> pending_;
    std::map<Waiter, Wait> waits_;
    std::multiset<TaskId> changing_;
    std::map<TaskId, Expected> expected_;
    NameServers services_; // of the nodes whose name servers are here, each right with a reference
    std::uint64_t last_number_ = 0;
    dsm::NodeSet lost_;                // what was made on these nodes
    bool handed_over_ = false;         // the ports here are about to be the successor's
    std::vector<dsm::NodeId> unheard_; // who has died since then
};

} // namespace norma::rt
