// SPDX-License-Identifier: BSD-3-Clause
// What node servers ask of each other while a checkpoint is made, and while a job goes on from one.
#include "runtime/checkpoint.hpp"
#include "runtime/server/keys.hpp"
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <cstring>

namespace norma::rt {

void op_checkpoint_flush(Node & /*node*/, const Request & /*request*/, Done done) {
    done(status_reply(KERN_SUCCESS));
}

// All or nothing is for the launcher to see to, which ends the job.
void op_restore_sync(Node &node, const Request &request, Done done) {
    const auto objects = checkpoint::decode_sync(request.blob);
    auto status = node.when_restored && objects ? KERN_SUCCESS : KERN_INVALID_VALUE;
    for (std::size_t i = 0; status == KERN_SUCCESS && i < objects->size(); ++i) {
        status = node.sync.restore((*objects)[i]);
    }
    done(status_reply(status));
}

void op_restore_end(Node &node, const Request & /*request*/, Done done) {
    if (const auto restored = std::exchange(node.when_restored, nullptr)) {
        restored();
        done(status_reply(KERN_SUCCESS));
    } else {
        done(status_reply(KERN_INVALID_VALUE));
    }
}

namespace {

// What the threads are called; where each has left its state.
std::vector<std::byte> adopt(Task &task, const checkpoint::SavedTask &saved) {
    task.next_thread = saved.next_thread;
    task.child_node = saved.child_node;
    std::vector<std::byte> states;
    for (const auto &thread : saved.threads) {
        auto &mine = task.threads[thread.number];
        mine.key = thread.key;
        mine.sync_identity = thread.identity;
        mine.stack = thread.stack;
        mine.stack_bytes = thread.stack_bytes;
        const auto state = std::as_bytes(std::span(&thread.state, 1));
        states.insert(states.end(), state.begin(), state.end());
    }
    for (const auto &name : saved.names) {
        task.names.adopt(name.name, {.right = name.right, .sends = name.sends});
    }
    return states;
}

bool is_sound(const checkpoint::SavedTask &saved, unsigned nodes) {
    return (!saved.child_node || *saved.child_node < nodes) &&
           std::ranges::all_of(saved.names, [](const auto &name) { return name.name >= kFirstName; });
}

} // namespace

void op_restore_resume(Node &node, const Request &request, Done done) {
    auto *task = take_place(node, request, done);
    if (task == nullptr) {
        return;
    }
    const auto saved = checkpoint::decode_task(request.blob);
    if (!saved || !is_sound(*saved, node.count)) {
        node.kill_task(*task, [] {});
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    auto states = adopt(*task, *saved);
    node.command(
        *task, Command::carry_on, {},
        [&node, id = task->id, threads = saved->threads, done](const Ack &ack) {
            const auto found = node.tasks.find(id);
            const bool sound = found != node.tasks.end() && ack.error == 0 &&
                               ack.blob.size() == threads.size() * sizeof(std::uint64_t);
            for (std::size_t i = 0; sound && i < threads.size(); ++i) {
                std::uint64_t tid = 0;
                std::memcpy(&tid, ack.blob.data() + i * sizeof tid, sizeof tid);
                found->second->threads.at(threads[i].number).tid = static_cast<pid_t>(tid);
            }
            done(status_reply(sound ? KERN_SUCCESS : KERN_FAILURE));
        },
        -1, std::move(states));
}

// It never ran here; who has a right to it learns how it ended.
Right Node::add_ended(int status) {
    const TaskId id = TaskId{self} << 48 | TaskId{incarnation & 0xffff} << 32 | ++next_task_;
    const auto key = draw_key();
    ended[id] = {.key = key,
                 .status = status,
                 .successor = {},
                 .threads_moved = false,
                 .arriving = false,
                 .awaited_by = {},
                 .first = false,
                 .kin = {}};
    return {.kind = Right::Kind::task, .task = id, .thread = 0, .key = key};
}

} // namespace norma::rt
