// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/sharing.hpp"

#include <algorithm>
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

// ---- to another node ----

bool Groups::is_busy() const {
    return std::ranges::any_of(groups_, [](const auto &group) { return group.second.busy; });
}

void Groups::write(rpc::Writer &writer) const {
    writer.put(static_cast<std::uint32_t>(groups_.size()));
    for (const auto &[id, group] : groups_) {
        writer.put(id).put(group.table).put(static_cast<std::uint32_t>(group.members.size()));
        for (const auto &[task, right] : group.members) {
            put_right(writer, right);
        }
    }
}

bool Groups::read(rpc::Reader &reader) {
    constexpr std::size_t kGroupBytes = 13;
    for (auto left = reader.get_count(kGroupBytes); left > 0 && reader.ok(); --left) {
        auto &group = groups_[reader.get<GroupId>()];
        group.table = reader.get<Table>();
        for (auto members = reader.get_count(kRightBytes); members > 0; --members) {
            Right right;
            if (!get_right(reader, right) || right.kind != Right::Kind::task) {
                return false;
            }
            group.members[right.task] = right;
        }
        if (group.table > Table::directories) {
            return false;
        }
    }
    return reader.ok();
}

} // namespace norma::rt
