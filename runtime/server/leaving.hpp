// SPDX-License-Identifier: BSD-3-Clause
// How this node leaves the job (docs/draining.md): its tasks move to other nodes, then the memory that is here and the
// homes of objects, then what its services know. Until the launcher says that it has left, it can stay.
#pragma once

#include "runtime/address_map.hpp"
#include "runtime/launch.hpp"
#include "runtime/server/router.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace norma::rt {

class Node;
struct ObjectUse;
struct Task;

class Leaving {
  public:
    explicit Leaving(Node &node) : node_(node) {}

    void begin(const launch::Drain &order);
    bool is_under_way() const { return order_.has_value(); } // nobody else makes processes here
    std::optional<dsm::NodeId> successor() const;            // of this node, if it leaves
    void node_down(dsm::NodeId node);

  private:
    struct Piece { // of memory, that is to go to a node
        Stretch stretch;
        dsm::NodeId to = 0;
        bool home = false;
    };
    void fail(const std::string &why);
    void later(void (Leaving::*step)());
    void tell_progress();

    void next_task();
    void move(const Task &task);
    dsm::NodeId next_place();
    void bring_memory_away();
    std::vector<Piece> pieces_left() const;
    std::optional<dsm::NodeId> next_home(const ObjectUse &object) const;
    void next_piece();
    void all_has_been_asked_for();
    std::optional<dsm::ObjectId> home_left() const;
    void try_files();
    void ask_all_to_hold(Hold what, void (Leaving::*then)());
    void wait_until_quiet();
    bool is_quiet() const;
    void look_again(void (Leaving::*step)());
    std::string what_stays() const;
    void close();
    void wait_for_the_rest();
    void hand_over();
    void next_part();

    Node &node_;
    std::optional<launch::Drain> order_;
    dsm::NodeId successor_ = 0;
    std::uint32_t attempt_ = 0;  // tells apart what belongs to an earlier one
    dsm::NodeId last_place_ = 0; // where a task has gone
    std::uint32_t moved_ = 0;    // tasks
    std::vector<Piece> pieces_;  // the last is under way
    std::set<Stretch> gone_;     // whose pages need not go any more
    bool closed_ = false;        // the others ask nothing of the services
    Clock::time_point deadline_; // for what is under way to end
    std::vector<std::byte> services_;
    std::size_t sent_ = 0; // of them
};

} // namespace norma::rt
