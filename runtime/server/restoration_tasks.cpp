// SPDX-License-Identifier: BSD-3-Clause
// Node 0 makes the tasks: each as a task that moves is made at its new node. None runs before all have their memory and
// room for their threads, and the objects of synchronisation are there.
#include "runtime/server/ops.hpp"
#include "runtime/server/restoration.hpp"

#include "norma/mach.h"

#include <fmt/format.h>
#include <memory>

namespace norma::rt {

void Restoration::make_tasks(Done done) {
    done_ = std::move(done);
    if (!job_ || node_.self != 0 || !node_.when_restored || tasks_.empty()) {
        done_("the checkpoint is damaged: it has no tasks");
        return;
    }
    each(0, &Restoration::make, &Restoration::name_and_furnish);
}

// One after the other.
void Restoration::each(std::size_t next, void (Restoration::*action)(Made &, const Done &),
                       void (Restoration::*then)()) {
    if (next == tasks_.size()) {
        (this->*then)();
        return;
    }
    (this->*action)(tasks_[next], [this, next, action, then](const std::string &why) {
        if (why.empty()) {
            each(next + 1, action, then);
        } else {
            done_(why);
        }
    });
}

void Restoration::make(Made &made, const Done &done) {
    auto bare = made.image;
    bare.entries.clear();
    bare.stretches.clear();
    bare.slots.clear();
    bare.ledgers = {};
    bare.teleported = true;
    make_child(node_, 0, std::move(bare), {}, made.where, [&made, done](const Reply &reply) {
        if (reply.status == KERN_SUCCESS) {
            made.child = reply.rights.front();
            done("");
        } else {
            done(fmt::format("no process of {} can go on where it was on node {} (error {})", made.image.program.path,
                             made.where, reply.status));
        }
    });
}

void Restoration::name_and_furnish() {
    auto why = name_tasks();
    for (auto &made : tasks_) {
        why = why.empty() ? rename(made) : why;
    }
    for (auto &[home, object] : sync_) {
        rename(object);
    }
    if (!why.empty()) {
        done_(why);
        return;
    }
    each(0, &Restoration::furnish, &Restoration::give_sync);
}

// This node has the memory itself until the task has it.
void Restoration::furnish(Made &made, const Done &done) {
    node_.attach_all(made.image.stretches, [this, &made, done](std::int32_t status) {
        if (status != KERN_SUCCESS) {
            done(fmt::format("memory of a task cannot be had (error {})", status));
            return;
        }
        auto image = made.image;
        image.ledgers = {};
        image.teleported = true;
        furnish_child(node_, 0, std::move(image), made.child, [this, &made, done](const Reply &reply) {
            for (const auto &shared : made.image.stretches) {
                node_.release(shared.stretch);
            }
            if (reply.status == KERN_SUCCESS) {
                make_room(made, done);
            } else {
                done(fmt::format("a task cannot have its memory on node {} (error {})", made.where, reply.status));
            }
        });
    });
}

void Restoration::make_room(const Made &made, const Done &done) {
    Request room;
    room.op = Op::make_room;
    room.target = made.child;
    room.args = {made.saved.threads.size(), made.saved.registers};
    room.blob = made.saved.process;
    node_.router.call(made.where, std::move(room), [&made, done](const Reply &reply) {
        if (reply.status == KERN_SUCCESS) {
            done("");
        } else if (reply.status == KERN_NOT_SUPPORTED) {
            done(fmt::format("the processor of node {} has other registers", made.where));
        } else {
            done(fmt::format("threads cannot be made on node {} (error {})", made.where, reply.status));
        }
    });
}

// All of them at once.
void Restoration::call_all(std::vector<std::pair<dsm::NodeId, Request>> requests, const char *what,
                           void (Restoration::*then)()) {
    const auto open = std::make_shared<std::size_t>(requests.size() + 1);
    const auto failed = std::make_shared<std::string>();
    const auto answered = [this, open, failed, what, then](dsm::NodeId node, const Reply &reply) {
        if (reply.status != KERN_SUCCESS) {
            *failed = fmt::format("node {} cannot {} (error {})", node, what, reply.status);
        }
        if (--*open > 0) {
            return;
        }
        failed->empty() ? (this->*then)() : done_(*failed);
    };
    for (auto &[node, request] : requests) {
        node_.router.call(node, std::move(request),
                          [answered, where = node](const Reply &reply) { answered(where, reply); });
    }
    answered(node_.self, status_reply(KERN_SUCCESS));
}

void Restoration::give_sync() {
    std::vector<std::pair<dsm::NodeId, Request>> requests;
    for (const auto &[home, object] : sync_) {
        Request request;
        request.op = Op::restore_sync;
        request.blob = checkpoint::encode(std::span<const SavedSync>(&object, 1));
        requests.emplace_back(home, std::move(request));
    }
    call_all(std::move(requests), "make an object of synchronisation", &Restoration::end_preparation);
}

void Restoration::end_preparation() {
    std::vector<std::pair<dsm::NodeId, Request>> requests;
    for (dsm::NodeId node = 0; node < node_.count; ++node) {
        Request request;
        request.op = Op::restore_end;
        requests.emplace_back(node, std::move(request));
    }
    call_all(std::move(requests), "end its preparation", &Restoration::resume_all);
}

void Restoration::resume_all() {
    std::vector<std::pair<dsm::NodeId, Request>> requests;
    for (auto &made : tasks_) {
        made.saved.image.clear();
        Request request;
        request.op = Op::restore_resume;
        request.target = made.child;
        request.blob = checkpoint::encode(made.saved);
        requests.emplace_back(made.where, std::move(request));
    }
    call_all(std::move(requests), "let a task go on", &Restoration::all_run);
}

void Restoration::all_run() {
    done_("");
}

} // namespace norma::rt
