// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/task.hpp"

#include <algorithm>

namespace norma::rt {

std::uint32_t Task::name(const Right &right) {
    if (right.kind == Right::Kind::none) {
        return kNameNull;
    }
    if (right.kind == Right::Kind::task && right.task == id) {
        return kNameTaskSelf;
    }
    const auto [found, added] = name_of.try_emplace(right, static_cast<std::uint32_t>(kFirstName + names.size()));
    if (added) {
        names.push_back(right);
    }
    return found->second;
}

Right Task::right(std::uint32_t name) const {
    if (name == kNameTaskSelf) {
        return {.kind = Right::Kind::task, .task = id, .thread = 0};
    }
    if (name == kNameHost) {
        return {.kind = Right::Kind::host, .task = id, .thread = 0};
    }
    if (name >= kFirstName && name - kFirstName < names.size()) {
        return names[name - kFirstName];
    }
    return {};
}

std::uint64_t Task::add_thread(pid_t tid, dsm::NodeId node) {
    const auto number = next_thread++;
    threads[number].tid = tid;
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
