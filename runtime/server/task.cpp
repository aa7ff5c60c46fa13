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

} // namespace norma::rt
