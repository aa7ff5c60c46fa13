// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/sharing.hpp"

#include <utility>

namespace norma::rt {

GroupId Groups::make(Table table, const Right &first) {
    const GroupId id = GroupId{self_} << 48 | ++last_serial_;
    groups_[id] = {.table = table, .members = {{first.task, first}}};
    return id;
}

const Groups::Group *Groups::find(GroupId group) const {
    const auto found = groups_.find(group);
    return found == groups_.end() ? nullptr : &found->second;
}

bool Groups::has_member(GroupId group, TaskId task) const {
    const auto *found = find(group);
    return found != nullptr && found->members.contains(task);
}

void Groups::add(GroupId group, const Right &task) {
    if (const auto found = groups_.find(group); found != groups_.end()) {
        found->second.members[task.task] = task;
    }
}

void Groups::leave(GroupId group, TaskId task) {
    if (const auto found = groups_.find(group); found != groups_.end()) {
        found->second.members.erase(task);
        forget_if_over(found);
    }
}

void Groups::node_down(dsm::NodeId node) {
    for (auto group = groups_.begin(); group != groups_.end();) {
        const auto next = std::next(group);
        std::erase_if(group->second.members, [node](const auto &member) { return node_of(member.first) == node; });
        forget_if_over(group);
        group = next;
    }
}

void Groups::forget_if_over(std::map<GroupId, Group>::iterator group) {
    if (group->second.members.empty() && !group->second.busy) {
        groups_.erase(group);
    }
}

void Groups::in_turn(GroupId group, Turn turn) {
    auto &found = groups_.at(group);
    if (std::exchange(found.busy, true)) {
        found.waiting.push_back(std::move(turn));
    } else {
        turn();
    }
}

void Groups::end_turn(GroupId group) {
    const auto found = groups_.find(group);
    auto &[table, members, waiting, busy] = found->second;
    if (waiting.empty()) {
        busy = false;
        forget_if_over(found);
        return;
    }
    const auto next = std::move(waiting.front());
    waiting.pop_front();
    next();
}

} // namespace norma::rt
