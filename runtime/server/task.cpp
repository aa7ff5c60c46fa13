// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/task.hpp"

#include "runtime/server/keys.hpp"

#include <algorithm>

namespace norma::rt {

Task::Task(TaskId number, const Window &window, Program what)
    : id(number), key(draw_key()), program(std::move(what)), map(window, program.data),
      names(kFirstName, {{kNameTaskSelf, own_right()}, {kNameHost, {.kind = Right::Kind::host, .task = id}}}) {
    Letting none;
    names.set_slot(kSlotBootstrap, {.right = name_server(0)}, none);
}

Right Task::own_right() const {
    return {.kind = Right::Kind::task, .task = id, .thread = 0, .key = key};
}

Right Task::thread_right(std::uint64_t number) const {
    return {.kind = Right::Kind::thread, .task = id, .thread = number, .key = threads.at(number).key};
}

std::uint32_t Task::name(const Right &right) {
    return names.add({.right = right}).name;
}

Right Task::right(std::uint32_t name) const {
    const auto *entry = names.find(name);
    return entry == nullptr || entry->right.kind == Right::Kind::dead ? Right{} : entry->right;
}

std::uint64_t Task::add_thread(pid_t tid, dsm::NodeId node) {
    const auto number = next_thread++;
    threads[number].tid = tid;
    threads[number].key = draw_key();
    threads[number].sync_identity = tid == 0 ? 0 : rt::sync_identity(node, tid);
    return number;
}

Thread *Task::thread(std::uint64_t number) {
    const auto found = threads.find(number);
    return found == threads.end() ? nullptr : &found->second;
}

bool Task::has_met(pid_t tid) const {
    return std::any_of(threads.begin(), threads.end(), [tid](const auto &entry) { return entry.second.tid == tid; });
}

std::map<std::uint64_t, Loan>::iterator Task::loan_at(std::uint64_t address) {
    const auto next = loans.upper_bound(address);
    return next != loans.begin() && std::prev(next)->second.range().contains(address) ? std::prev(next) : loans.end();
}

std::uint64_t Task::number_of(pid_t tid) const {
    for (const auto &[number, thread] : threads) {
        if (thread.tid == tid && !thread.ended) {
            return number;
        }
    }
    return 0;
}

std::string Task::bound_to_process() const {
    if (is_attached()) {
        return "it has attached itself (docs/attach.md): norma has not started its process, and cannot start another";
    }
    if (program.data.size == 0) {
        return "it is not a whole program (docs/programs.md): its variables and its heap would stay behind";
    }
    if (suspend_count > 0) {
        return "it is suspended";
    }
    if (!wired.empty() || !exporter.empty()) {
        return "it has wired memory";
    }
    if (!files.empty()) {
        return "it has opened files as memory objects";
    }
    const auto stands_still = [](const auto &thread) {
        return !thread.second.ended && thread.second.suspend_count > 0;
    };
    return std::ranges::any_of(threads, stands_still) ? "a thread of it is suspended, or has not been started" : "";
}

} // namespace norma::rt
