// SPDX-License-Identifier: BSD-3-Clause
// What tasks and threads are asked about: what they use, and how they stand.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <cerrno>
#include <cstring>

namespace norma::rt {

namespace {

constexpr std::uint64_t kMicroseconds = 1'000'000;

time_value_t time_of(std::uint64_t microseconds) {
    return {.seconds = static_cast<int>(microseconds / kMicroseconds),
            .microseconds = static_cast<int>(microseconds % kMicroseconds)};
}

template <class Info> Reply info_reply(const Info &info) {
    Reply reply;
    const auto bytes = std::as_bytes(std::span(&info, 1));
    reply.blob.assign(bytes.begin(), bytes.end());
    return reply;
}

std::optional<Usage> usage_of(const Ack &ack) {
    Usage usage{};
    if (ack.error != 0 || ack.blob.size() != sizeof usage) {
        return std::nullopt;
    }
    std::memcpy(&usage, ack.blob.data(), sizeof usage);
    return usage;
}

std::uint64_t allocated(const AddressMap &map) {
    std::uint64_t bytes = 0;
    for (const auto &entry : map.entries()) {
        bytes += entry.size;
    }
    return bytes;
}

int run_state(const Task &task, const Thread &thread, const Usage &usage) {
    if (thread.tid == 0 || thread.suspend_count > 0 || task.suspend_count > 0) {
        return TH_STATE_STOPPED;
    }
    switch (usage.state) {
    case 'R':
        return TH_STATE_RUNNING;
    case 'D':
        return TH_STATE_UNINTERRUPTIBLE;
    default:
        return TH_STATE_WAITING;
    }
}

thread_basic_info_data_t info_of(const Task &task, const Thread &thread, const Usage &usage) {
    return {.user_time = time_of(usage.user_us),
            .system_time = time_of(usage.system_us),
            .cpu_usage = 0,
            .policy = POLICY_TIMESHARE,
            .run_state = run_state(task, thread, usage),
            .flags = 0,
            .suspend_count = thread.suspend_count,
            .sleep_time = 0};
}

} // namespace

void op_task_set_child_node(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    const auto where = static_cast<std::int64_t>(request.args[0]);
    if (task == nullptr || where < -1 || where >= static_cast<std::int64_t>(node.count)) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    task->child_node = where == -1 ? std::nullopt : std::optional(static_cast<dsm::NodeId>(where));
    done(status_reply(KERN_SUCCESS));
}

void op_task_info(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task != nullptr && request.args[0] == TASK_SECURITY_TOKEN) {
        done(info_reply(task->token));
        return;
    }
    if (task == nullptr || request.args[0] != TASK_BASIC_INFO) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    node.command(*task, Command::usage, {}, [&node, id = task->id, done](const Ack &ack) {
        const auto found = node.tasks.find(id);
        const auto usage = usage_of(ack);
        if (!usage || found == node.tasks.end()) {
            done(status_reply(ack.error == 0 ? KERN_FAILURE : KERN_INVALID_TASK));
            return;
        }
        const auto &live = *found->second;
        // The window is reserved as a whole, so all of it counts for the kernel.
        const auto own = usage->virtual_bytes - std::min(usage->virtual_bytes, node.window.size);
        done(info_reply(task_basic_info_data_t{.suspend_count = live.suspend_count,
                                               .virtual_size = own + allocated(live.map),
                                               .resident_size = usage->resident_bytes,
                                               .user_time = time_of(usage->user_us),
                                               .system_time = time_of(usage->system_us),
                                               .policy = POLICY_TIMESHARE}));
    });
}

void op_thread_info(Node &node, const Request &request, Done done) {
    Task *task = nullptr;
    const auto *thread = target_thread(node, request, task, done);
    if (thread == nullptr) {
        return;
    }
    if (request.args[0] != THREAD_BASIC_INFO || thread->tid == 0) {
        done(request.args[0] != THREAD_BASIC_INFO ? status_reply(KERN_INVALID_ARGUMENT)
                                                  : info_reply(info_of(*task, *thread, {})));
        return;
    }
    node.command(*task, Command::usage, {static_cast<std::uint64_t>(thread->tid)},
                 [&node, id = task->id, number = request.target.thread, done](const Ack &ack) {
                     const auto found = node.tasks.find(id);
                     const auto usage = usage_of(ack);
                     if (!usage || found == node.tasks.end()) {
                         done(status_reply(ack.error == 0 ? KERN_FAILURE : thread_status(ack)));
                         return;
                     }
                     done(info_reply(info_of(*found->second, found->second->threads.at(number), *usage)));
                 });
}

} // namespace norma::rt
