// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/restoration.hpp"

#include "norma/mach.h"
#include "runtime/server/wire.hpp"

#include <algorithm>

namespace norma::rt {

namespace {

// No node has it: so no thread that starts later is taken for one that was there before.
std::uint64_t identity_of(std::size_t place) {
    return sync_identity(dsm::kMaxNodes, static_cast<pid_t>(place));
}

} // namespace

// Once all tasks have been made.
std::string Restoration::name_tasks() {
    std::size_t threads = 0, first = 0;
    for (const auto &made : tasks_) {
        first += made.image.first ? 1 : 0;
        if (!names_.emplace(made.saved.id, made.child).second) {
            return "the checkpoint has a task twice";
        }
        for (const auto &thread : made.saved.threads) {
            identities_[thread.identity] = identity_of(++threads);
        }
    }
    for (const auto &[id, end] : ends_) { // one that has moved is still called what it was, too
        const auto successor = new_task_of(end.successor);
        const auto now = node_.add_ended(end.status);
        if (successor.kind != Right::Kind::none) {
            auto &ended = node_.ended.at(now.task);
            ended.successor = successor;
            ended.threads_moved = end.threads_moved;
        }
        names_.emplace(id, now);
    }
    return first == 1 ? "" : "the checkpoint has no first task";
}

// Of one that has moved, perhaps more than once, and has no name of its own yet: who it has become.
Right Restoration::new_task_of(TaskId old) const {
    for (std::size_t moves = 0; moves <= ends_.size(); ++moves) {
        if (const auto now = names_.find(old); now != names_.end()) {
            return now->second;
        }
        const auto moved = ends_.find(old);
        if (moved == ends_.end()) {
            break;
        }
        old = moved->second.successor;
    }
    return {};
}

Right Restoration::renamed(const Right &right) {
    switch (right.kind) {
    case Right::Kind::task:
    case Right::Kind::thread: {
        auto task = new_task_of(right.task);
        if (task.kind == Right::Kind::none) { // nobody knows any more how it ended
            task = names_[right.task] = node_.add_ended(0);
        }
        return right.kind == Right::Kind::task
                   ? task
                   : Right{.kind = right.kind, .task = task.task, .thread = right.thread, .key = right.key};
    }
    case Right::Kind::object:
    case Right::Kind::object_name: {
        const Stretch old{.object = {.home = node_of(right.task),
                                     .incarnation = static_cast<std::uint16_t>(right.task >> 32),
                                     .serial = right.thread},
                          .number = right.task & 0xffffffff};
        const auto found = memory_.find(old);
        constexpr std::uint64_t kNever = std::uint64_t{1} << 62; // an object's serial number
        auto now = found != memory_.end()
                       ? right_of(found->second.stretch, right.kind)
                       : Right{.kind = right.kind, .task = TaskId{0}, .thread = kNever + ++unknown_objects_};
        now.key = right.key;
        return now;
    }
    case Right::Kind::names:
        return name_server(checkpoint::new_place(node_of(right.task), node_.count));
    default:
        return {};
    }
}

// Empty: done.
std::string Restoration::rename(Made &made) {
    auto &[saved, image, where, child] = made;
    const auto now = [this](Stretch &stretch) {
        const auto found = memory_.find(stretch);
        if (found == memory_.end()) {
            return false;
        }
        stretch = found->second.stretch;
        return true;
    };
    const bool known = std::ranges::all_of(image.entries, [&](MapEntry &entry) { return now(entry.stretch); }) &&
                       std::ranges::all_of(image.stretches, [&](SharedStretch &shared) { return now(shared.stretch); });
    if (!known) {
        return "the checkpoint has not all memory of its tasks";
    }
    for (auto &[slot, held] : image.slots) {
        held.right = renamed(held.right);
    }
    std::erase_if(image.slots, [](const auto &slot) { return slot.second.right.kind == Right::Kind::none; });
    for (auto &name : saved.names) {
        name.right = renamed(name.right);
    }
    std::erase_if(saved.names, [](const auto &name) { return name.right.kind == Right::Kind::none; });
    for (auto &thread : saved.threads) {
        thread.identity = identities_.at(thread.identity);
    }
    if (saved.child_node) {
        saved.child_node = checkpoint::new_place(*saved.child_node, node_.count);
    }
    return "";
}

// A task that is over has been forgotten by its barriers, and a thread by its locks.
void Restoration::rename(SavedSync &object) const {
    std::map<std::uint64_t, std::uint16_t> users;
    for (const auto &[old, node] : object.users) {
        if (const auto task = new_task_of(old); task.kind != Right::Kind::none) {
            users[task.task] = node_of(task.task);
        }
    }
    object.users = std::move(users);
    if (!object.holder) {
        return;
    }
    const auto task = new_task_of(object.holder->task);
    const auto thread = identities_.find(object.holder->thread);
    if (task.kind == Right::Kind::none || thread == identities_.end()) {
        object.holder.reset();
        object.tainted = true;
    } else {
        object.holder = Waiter{.node = node_of(task.task), .task = task.task, .thread = thread->second, .call = 0};
    }
}

} // namespace norma::rt
