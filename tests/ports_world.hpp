// SPDX-License-Identifier: BSD-3-Clause
// Node servers of ports in one process: the production PortService and Router of each node, over links that keep the
// order between two nodes and nothing else. Nodes die or leave, and the others hear of it one by one.
#pragma once

#include "norma/mach.h"
#include "runtime/server/port_service.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <vector>

namespace norma::rt::test {

// A message with a right, and a number for the judge.
struct Packet {
    mach_msg_header_t head;
    mach_msg_body_t body;
    mach_msg_port_descriptor_t port;
    std::uint64_t number;
};

class PortWorld {
  public:
    PortWorld(std::uint64_t seed, unsigned nodes);

    unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
    unsigned nodes() const { return static_cast<unsigned>(nodes_.size()); }
    bool alive(dsm::NodeId node) const { return !nodes_[node]->down; }
    bool is_in_job(dsm::NodeId node) const { return alive(node) && !left_[node]; }
    PortService &service(dsm::NodeId node) { return *nodes_[node]->service; }
    TaskId add_task(dsm::NodeId node);
    NameSpace *names(TaskId task); // null: has ended, or its node
    void end_task(TaskId task);
    // As runtime/server/ops_migrate does, for a task whose threads have stopped.
    void move(TaskId task, dsm::NodeId where);
    bool has_stopped(TaskId task) const { return stopped_.contains(task); }
    TaskId now(TaskId task) const; // what it is by now
    unsigned moves = 0, stays = 0;
    bool no_deaths = false; // then names are the same on the new node
    void kill(dsm::NodeId node);
    // As runtime/server/leaving and runtime/launcher_drain do, for a node without tasks.
    void leave(dsm::NodeId node, dsm::NodeId successor);
    bool has_tasks(dsm::NodeId node) const { return !nodes_[node]->tasks.empty(); }
    std::optional<dsm::NodeId> departing() const { return departure_ ? std::optional(departure_->node) : std::nullopt; }
    unsigned departures = 0, failures = 0;

    bool step();    // something on its way arrives, or a timer goes off; false: all is quiet
    void settle() { // until all is quiet
        while (step()) {
        }
    }

    struct Traits {
        std::size_t ports = 0, references = 0, waiting = 0, delivering = 0;
    };
    Traits left() const; // on the nodes that live

  private:
    struct Node {
        bool down = false;
        Loop loop{WaitMode::block, std::chrono::nanoseconds(0)};
        std::unique_ptr<Router> router;
        std::unique_ptr<PortService> service;
        std::map<TaskId, NameSpace> tasks;
        std::map<std::uint64_t, std::function<void()>> timers;
        std::shared_ptr<MovedPorts> entrusted; // by the node that leaves
    };
    using Delivery = std::function<void()>;
    struct Departure { // as the launcher knows it, and the node
        dsm::NodeId node, successor;
        bool serving = false, ended = false;
        unsigned looks = 0;
    };
    static constexpr dsm::NodeId kLauncher = dsm::kMaxNodes;

    PortLinks links(dsm::NodeId self);
    void call(dsm::NodeId from, dsm::NodeId to, Request request, const Done &done);
    void serve(dsm::NodeId at, const Request &request, const Done &done);
    struct Move;
    void give_names(const std::shared_ptr<Move> &move);
    void stay(const Move &move);
    void carry_on(const std::shared_ptr<Move> &move);
    bool serve_move(dsm::NodeId at, const Request &request, const Done &done); // false: it is no part of one
    void end_awaited(dsm::NodeId at, dsm::NodeId dead);
    void deliver(dsm::NodeId at, dsm::NodeId from, std::span<const std::byte> record);
    void hear(dsm::NodeId at, dsm::NodeId dead);
    void tell_of_death(dsm::NodeId node);

    // ---- ports_world_leaves.cpp ----
    bool is_quiet(dsm::NodeId node) const;
    void later(void (PortWorld::*again)());
    void hold_all(Hold what, void (PortWorld::*then)());
    void wait_until_quiet();
    void wait_for_the_rest();
    void hand_over();
    void stay_in_job();
    void leaves();
    void serve_for();
    void departed();
    bool dies_in_departure(dsm::NodeId node); // true: it has left, or is about to
    void serve_hold(dsm::NodeId at, const Request &request, const Done &done);
    void forget_entrusted(dsm::NodeId at, dsm::NodeId from);

    std::mt19937_64 random_;
    std::vector<std::unique_ptr<Node>> nodes_;
    std::map<std::pair<dsm::NodeId, dsm::NodeId>, std::deque<Delivery>> wires_;
    std::optional<Departure> departure_;
    dsm::NodeSet left_;
    std::set<TaskId> stopped_;                 // to move; until they have, or stay
    std::map<TaskId, TaskId> moved_, arrived_; // from the old node's point of view, and in fact
    std::map<TaskId, dsm::NodeId> awaited_;    // the node whose task it is to become
    std::map<TaskId, std::vector<std::vector<std::byte>>> as_they_were_; // the names that it is to have
    std::uint64_t last_timer_ = 0, last_key_ = 0, attempt_ = 0;
    std::uint32_t last_task_ = 0;
};

} // namespace norma::rt::test
