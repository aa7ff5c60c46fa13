// SPDX-License-Identifier: BSD-3-Clause
// Stopping all tasks of the node, with the means by which a task is moved (docs/migration.md): each thread leaves its
// state on its stack, and waits in calls are withdrawn. Calls that are not waits are not held up, or threads on other
// nodes could not come to their end.
#include "norma/mach.h"
#include "norma/mach_exception.h"
#include "runtime/log.hpp"
#include "runtime/server/checkpointing.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <memory>

namespace norma::rt {

using Step = launch::CheckpointStep;

namespace {

using namespace std::chrono_literals;
constexpr auto kPatience = 5s; // with threads that are in a library
constexpr auto kPause = 1ms;   // between two looks at them

bool is_saved(const Right &right) {
    switch (right.kind) {
    case Right::Kind::none:
    case Right::Kind::task:
    case Right::Kind::thread:
    case Right::Kind::host:
    case Right::Kind::names:
    case Right::Kind::object:
    case Right::Kind::object_name:
        return true;
    case Right::Kind::port:
    case Right::Kind::dead:
    case Right::Kind::ledger:
    case Right::Kind::host_priv:
        break;
    }
    return false;
}

bool has_other_rights(const Task &task) {
    return std::ranges::any_of(task.names.entries(),
                               [](const auto &name) { return !name.second.fixed && !is_saved(name.second.right); }) ||
           std::ranges::any_of(task.names.slots(), [](const auto &slot) { return !is_saved(slot.second.right); });
}

bool has_exception_port(const Task &task, std::uint64_t thread) {
    for (std::uint32_t type = 1; type < EXC_TYPES_COUNT; ++type) {
        if (task.names.slot(exception_slot(thread, type)).right.kind != Right::Kind::none) {
            return true;
        }
    }
    return false;
}

// What keeps the task out of a checkpoint; empty: nothing.
std::string obstacle(const Node &node, const Task &task) {
    if (auto why = task.bound_to_process(); !why.empty()) {
        return why;
    }
    if (task.open_files != 0 || std::ranges::any_of(task.groups, [](GroupId group) { return group != 0; })) {
        return "it shares open files, directories or signal actions (CLONE_FILES, CLONE_FS, CLONE_SIGHAND)";
    }
    const auto *process = node.families.find(task.kin.identity);
    if (task.kin.parent != 0 || (process != nullptr && !process->children.empty())) {
        return "it is a process with a parent or children (norma_clone)";
    }
    if (has_other_rights(task)) {
        return "it has rights to ports or ledgers";
    }
    if (task.ledgers != node.ledgers.roots()) {
        return "it draws from a ledger of its own";
    }
    for (const auto &[number, thread] : task.threads) {
        if (!thread.ended && has_exception_port(task, number)) {
            return "a thread of it has exception ports of its own";
        }
    }
    return "";
}

// It is about to be there, to be somewhere else, or to be gone.
bool is_in_between(const Task &task) {
    return task.state != Task::State::running || task.threads_moved || task.awaited_by || (task.moving && !task.held) ||
           std::ranges::any_of(task.threads,
                               [](const auto &thread) { return !thread.second.ended && thread.second.tid == 0; });
}

std::string about(const Task &task, std::string_view why) {
    return fmt::format("task {} of {}: {}", format_task(task.id), task.program.path, why);
}

} // namespace

void Checkpointing::stop() {
    if (!node_.homes_stay) {
        node_.homes_stay = true;
        deadline_ = Clock::now() + kPatience;
    }
    look();
}

void Checkpointing::look() {
    still_runs_.clear();
    refused_.clear();
    if (std::ranges::any_of(node_.objects, [](const auto &object) { return object.second.file.has_value(); })) {
        reached(Step::stop, "memory of files is in use");
        return;
    }
    for (const auto &[id, task] : node_.tasks) {
        if (const auto why = is_in_between(*task) ? "" : obstacle(node_, *task); !why.empty()) {
            reached(Step::stop, about(*task, why));
            return;
        }
    }
    for (const auto &[id, task] : node_.tasks) {
        if (is_in_between(*task)) {
            look_again(about(*task, "it, or a thread of it, is being made, moved or ended"));
            return;
        }
    }
    if (node_.rehoming.is_busy()) {
        look_again("the home of an object is moving");
        return;
    }
    open_ = node_.tasks.size() + 1;
    for (auto &[id, task] : node_.tasks) {
        gather(*task);
    }
    asked_all();
}

void Checkpointing::look_again(const std::string &why_not) {
    if (Clock::now() >= deadline_) {
        reached(Step::stop, why_not);
        return;
    }
    node_.loop.at(Clock::now() + kPause, [this, turn = turn_] {
        if (turn == turn_) {
            look();
        }
    });
}

void Checkpointing::gather(Task &task) {
    const bool first = !std::exchange(task.held, true);
    node_.command(task, Command::gather, {first ? 1U : 0U, 1}, [this, turn = turn_, id = task.id](const Ack &ack) {
        if (turn == turn_) {
            gathered(id, ack);
            asked_all();
        }
    });
}

void Checkpointing::gathered(TaskId id, const Ack &ack) {
    const auto found = node_.tasks.find(id);
    if (found == node_.tasks.end() || found->second->state != Task::State::running) {
        still_runs_ = "a task is ending";
        return;
    }
    const auto &task = *found->second;
    if (ack.error == EAGAIN) {
        std::vector<StillRunning> running(ack.blob.size() / sizeof(StillRunning));
        std::memcpy(running.data(), ack.blob.data(), running.size() * sizeof(StillRunning));
        withdraw_waits(task, running);
        still_runs_ = about(task, "its threads do not stop");
        if (!running.empty()) {
            auto &where = running.front().where;
            where[sizeof where - 1] = 0;
            still_runs_ =
                about(task, fmt::format("a thread of it cannot be stopped: {}", static_cast<const char *>(where)));
        }
        return;
    }
    if (ack.error != 0) {
        refused_ = about(task, std::string_view(reinterpret_cast<const char *>(ack.blob.data()), ack.blob.size()));
        return;
    }
    rt::Stopped head{};
    const std::span blob(ack.blob);
    std::memcpy(&head, blob.data(), std::min(blob.size(), sizeof head));
    const auto rest = blob.subspan(std::min(blob.size(), sizeof head));
    const auto count = head.threads;
    if (count == 0 || count > rest.size() / sizeof(StoppedThread)) {
        refused_ = about(task, "it has no threads");
        return;
    }
    auto &stopped = stopped_[id];
    stopped.threads.resize(count);
    std::memcpy(stopped.threads.data(), rest.data(), count * sizeof(StoppedThread));
    stopped.registers = ack.value;
    const auto process = rest.subspan(count * sizeof(StoppedThread));
    stopped.process.assign(process.begin(), process.end());
}

// They are told to wait again once they go on.
void Checkpointing::withdraw_waits(const Task &task, std::span<const StillRunning> running) {
    for (const auto &thread : running) {
        const auto number = task.number_of(static_cast<pid_t>(thread.tid));
        for (dsm::NodeId home = 0; number != 0 && home < node_.count; ++home) {
            Request abort;
            abort.op = Op::abort_waits;
            abort.args = {task.threads.at(number).sync_identity, static_cast<std::uint64_t>(kWithdrawn)};
            node_.router.tell(home, std::move(abort));
        }
    }
}

// One of them has answered; after the last it is clear how it stands.
void Checkpointing::asked_all() {
    if (--open_ > 0) {
        return;
    }
    if (!refused_.empty()) {
        reached(Step::stop, refused_);
    } else if (!still_runs_.empty()) {
        look_again(still_runs_);
    } else {
        all_stopped();
    }
}

Checkpointing::Found Checkpointing::found() const {
    Found all;
    for (const auto &[id, stopped] : stopped_) {
        for (const auto &thread : stopped.threads) {
            all.emplace_back(id, thread.tid);
        }
    }
    return all;
}

// What this node has told others before is heard by them before their answer: nothing is on its way then.
void Checkpointing::all_stopped() {
    std::erase_if(stopped_, [this](const auto &stopped) { return !node_.tasks.contains(stopped.first); });
    auto now = found();
    const bool changed = now != last_found_;
    last_found_ = std::move(now);
    const auto open = std::make_shared<unsigned>(node_.count);
    for (dsm::NodeId other = 0; other < node_.count; ++other) {
        Request flush;
        flush.op = Op::checkpoint_flush;
        node_.router.call(other, std::move(flush), [this, turn = turn_, open, changed](const Reply &) {
            if (--*open == 0 && turn == turn_) {
                reached(Step::stop, "", changed);
            }
        });
    }
}

} // namespace norma::rt
