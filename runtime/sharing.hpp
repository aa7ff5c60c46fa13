// SPDX-License-Identifier: BSD-3-Clause
// What the kernel keeps for each process by itself, and tasks share all the same: a group of them has one table, which
// is kept equal in all their processes. The node that has made a group is its home: it knows the members, and lets one
// of them change the table at a time. What a table is and how it is changed is the library's affair (client/tables).
#pragma once

#include "runtime/right.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <sched.h>
#include <vector>

namespace norma::rt {

enum class Table : std::uint8_t {
    actions,     // what is to be done with signals
    directories, // the current one and the root, and the umask
};
inline constexpr std::array kTableFlags{std::uint64_t{CLONE_SIGHAND}, std::uint64_t{CLONE_FS}};
inline constexpr std::size_t kTables = kTableFlags.size();

// What a member does about a change: commit only after prepare, which alone may fail. Both in one: make.
enum class TableStep : std::uint8_t { prepare, commit, drop, make };

using GroupId = std::uint64_t; // home node 16 | serial number 48; 0 is none
constexpr dsm::NodeId home_of_group(GroupId group) {
    return node_of(group);
}

class Groups {
  public:
    using Turn = std::function<void()>;
    struct Group {
        Table table{};
        std::map<TaskId, Right> members{};
        std::deque<Turn> waiting{};
        bool busy = false; // it is somebody's turn
    };

    explicit Groups(dsm::NodeId self) : self_(self) {}

    GroupId make(Table table, const Right &first);
    const Group *find(GroupId group) const; // null: its last member has left, or it never was
    bool has_member(GroupId group, TaskId task) const;
    void add(GroupId group, const Right &task);
    void leave(GroupId group, TaskId task);
    void node_down(dsm::NodeId node);

    // Of a group that there is: runs `turn` when nobody else's is under way, until end_turn().
    void in_turn(GroupId group, Turn turn);
    void end_turn(GroupId group);

    std::size_t size() const { return groups_.size(); }

    // For when it goes to another node as a whole (docs/draining.md), while it is nobody's turn.
    bool is_busy() const;
    void write(rpc::Writer &writer) const;
    bool read(rpc::Reader &reader); // into an empty one; false: it is no such thing
    void merge(Groups &&other) { groups_.merge(other.groups_); }

  private:
    void forget_if_over(std::map<GroupId, Group>::iterator group);

    dsm::NodeId self_;
    std::uint64_t last_serial_ = 0;
    std::map<GroupId, Group> groups_;
};

} // namespace norma::rt
