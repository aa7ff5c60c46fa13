// SPDX-License-Identifier: BSD-3-Clause
// Where the homes of objects are, and their moves (docs/rehoming.md). A node fetches the home of an object that its
// tasks use; the pager moves the directory, this what the home knows of who uses the object.
#pragma once

#include "dsm/pager.hpp"
#include "runtime/ledgers.hpp"
#include "runtime/server/router.hpp"
#include "runtime/sharing.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace norma::rt {

class Node;

class Rehoming {
  public:
    explicit Rehoming(Node &node) : node_(node) {}

    // The home, as far as this node knows. Whoever asks a node that it is not is told kHomeMoved.
    dsm::NodeId home_of(const dsm::ObjectId &id) const;
    bool has_moved_from_here(const dsm::ObjectId &id) const;
    void learn(const dsm::ObjectId &id, dsm::NodeId home);
    // Does something as soon as this node knows where the homes are. What is said to a home before it moves is heard by
    // it, since a node stops asking for pages only afterwards, and it waits for that.
    void with_homes(std::vector<dsm::ObjectId> objects, std::function<void()> action);
    // Has the home of an object, which a task here uses, move here. KERN_FAILURE: it cannot move, or is used there.
    void fetch(const dsm::ObjectId &id, std::function<void(std::int32_t status)> done);
    // An object is no more.
    void forget(const dsm::ObjectId &id);

    void serve_fetch(const Request &request, Done done);
    void serve_given(const Request &request, const Done &done);
    void serve_is_here(const Request &request, const Done &done);
    void heard(const dsm::ObjectId &id, dsm::HomeNews news);
    // Tells a node that is new of the objects that have moved here. `done`: it knows them.
    void tell(dsm::NodeId newcomer, const std::function<void()> &done);
    void node_down(dsm::NodeId node);
    bool moves(const dsm::ObjectId &id) const { return moves_.contains(id); } // its home, from here
    bool is_busy() const { return !moves_.empty() || !given_.empty() || !waiting_.empty(); }

  private:
    struct Move { // of a home that is here
        dsm::NodeId to = 0;
        Done done;
        std::uint64_t timer = 0;
    };
    struct Given { // to a home that will be here
        dsm::NodeId from = 0;
        dsm::NodeSet mappers, holders;
        LedgerMarks payers;
        bool named = false;
    };
    bool may_move(const dsm::ObjectId &id, dsm::NodeId to) const;
    void hand_over(const dsm::ObjectId &id);
    void take_over(const dsm::ObjectId &id);
    void end(const dsm::ObjectId &id, std::int32_t status);

    Node &node_;
    std::map<dsm::ObjectId, dsm::NodeId> homes_; // of objects that have moved
    std::map<dsm::ObjectId, Move> moves_;
    std::map<dsm::ObjectId, Given> given_;
    std::map<dsm::ObjectId, std::vector<std::function<void()>>> waiting_; // for the home to be known
};

} // namespace norma::rt
