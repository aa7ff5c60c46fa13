// SPDX-License-Identifier: BSD-3-Clause
// What node servers ask of each other while a checkpoint is made, and while a job goes on from one.
#include "runtime/checkpoint.hpp"
#include "runtime/server/keys.hpp"
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <algorithm>

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
    task->child_node = saved->child_node;
    take_threads(*task, saved->next_thread, saved->threads);
    for (const auto &name : saved->names) {
        task->names.adopt(name.name, {.right = name.right, .sends = name.sends});
    }
    let_threads_go_on(node, *task, saved->threads, [done](const Task *there, int error) {
        done(status_reply(there != nullptr && error == 0 ? KERN_SUCCESS : KERN_FAILURE));
    });
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
