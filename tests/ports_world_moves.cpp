// SPDX-License-Identifier: BSD-3-Clause
// Tasks that move from node to node with their names: the steps of runtime/server/ops_migrate, without memory and
// threads.
#include "tests/ports_world.hpp"

#include <gtest/gtest.h>

namespace norma::rt::test {

struct PortWorld::Move {
    TaskId parent, child;
    std::vector<std::vector<std::byte>> names;
    Letting receivers;
};

TaskId PortWorld::now(TaskId task) const {
    const auto found = arrived_.find(task);
    return found == arrived_.end() ? task : now(found->second);
}

void PortWorld::move(TaskId task, dsm::NodeId where) {
    if (left_[where]) { // it makes no process for others any more: nothing of the task has been given away
        ++stays;
        return;
    }
    const auto child = add_task(where);
    awaited_[child] = node_of(task);
    stopped_.insert(task);
    auto records = service(node_of(task)).leave(*names(task));
    as_they_were_[child] = records;
    give_names(
        std::make_shared<Move>(Move{.parent = task, .child = child, .names = std::move(records), .receivers = {}}));
}

void PortWorld::give_names(const std::shared_ptr<Move> &move) {
    Request request;
    request.op = Op::give_names;
    request.target = {.kind = Right::Kind::task, .task = move->child, .thread = 0};
    request.blob = move->names.back();
    move->names.pop_back();
    call(node_of(move->parent), node_of(move->child), request, [this, move](const Reply &reply) {
        if (reply.status != KERN_SUCCESS || names(move->parent) == nullptr || below(8) == 0) { // or a later step fails
            stay(*move);
        } else if (!move->names.empty()) {
            give_names(move);
        } else {
            carry_on(move);
        }
    });
}

void PortWorld::stay(const Move &move) {
    Request abandon;
    abandon.op = Op::task_terminate;
    abandon.target = {.kind = Right::Kind::task, .task = move.child, .thread = 0};
    const auto here = node_of(move.parent), there = node_of(move.child);
    call(here, there, abandon, [](const Reply &) {});
    if (names(move.parent) == nullptr) {
        stopped_.erase(move.parent);
        return;
    }
    service(here).stay(move.parent, there, [this, task = move.parent] {
        stopped_.erase(task);
        ++stays;
    });
}

void PortWorld::carry_on(const std::shared_ptr<Move> &move) {
    const auto here = node_of(move->parent);
    move->receivers = service(here).part(*names(move->parent));
    Request request;
    request.op = Op::carry_on;
    request.target = {.kind = Right::Kind::task, .task = move->child, .thread = 0};
    request.args[0] = move->parent;
    call(here, node_of(move->child), request, [this, here, move](const Reply &reply) {
        moved_[move->parent] = move->child;
        stopped_.erase(move->parent);
        if (reply.status != KERN_SUCCESS) {
            service(here).let_go(move->receivers);
        }
        if (names(move->parent) != nullptr) {
            end_task(move->parent);
        }
    });
}

bool PortWorld::serve_move(dsm::NodeId at, const Request &request, const Done &done) {
    const auto task = request.target.task;
    Reply reply;
    switch (request.op) {
    case Op::give_names:
        if (names(task) == nullptr) {
            reply.status = KERN_INVALID_TASK;
            done(reply);
        } else {
            service(at).expect(task, request.caller.node, request.blob, done);
        }
        return true;
    case Op::carry_on:
        if (names(task) == nullptr) {
            reply.status = KERN_INVALID_TASK;
            done(reply);
            return true;
        }
        awaited_.erase(task);
        service(at).arrive(task, [this, task, parent = request.args[0], done] {
            arrived_[parent] = task;
            ++moves;
            if (no_deaths) {
                EXPECT_EQ(encode_moved(*names(task)), as_they_were_[task]);
            }
            done({});
        });
        return true;
    case Op::task_terminate:
        if (names(task) != nullptr) {
            end_task(task);
        }
        done({});
        return true;
    case Op::port_put:
        if (has_stopped(task)) {
            nodes_[at]->timers[++last_timer_] = [this, at, request, done] { serve(at, request, done); };
            return true;
        }
        if (const auto next = moved_.find(task); next != moved_.end()) {
            auto onward = request;
            onward.target.task = next->second;
            call(at, node_of(next->second), onward, done);
            return true;
        }
        return false;
    default:
        return false;
    }
}

// Whose parent has not let them go on.
void PortWorld::end_awaited(dsm::NodeId at, dsm::NodeId dead) {
    const auto awaited = awaited_;
    for (const auto &[task, by] : awaited) {
        if (by == dead && node_of(task) == at && names(task) != nullptr) {
            end_task(task);
        }
    }
}

} // namespace norma::rt::test
