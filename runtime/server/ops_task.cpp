// SPDX-License-Identifier: BSD-3-Clause
// Tasks: clone, teleport, their ends, suspension, waiting.
#include "runtime/log.hpp"
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fmt/format.h>
#include <sys/wait.h>
#include <system_error>

namespace norma::rt {

namespace {

Reply right_reply(const Right &right) {
    Reply reply;
    reply.rights.push_back(right);
    return reply;
}

void let_go_of(Node &node, const Slots &slots) {
    for (const auto &[slot, held] : slots) {
        node.ports.let_go({{.right = held.right}});
    }
}

void release_all(Node &node, const std::vector<SharedStretch> &stretches) {
    for (const auto &shared : stretches) {
        node.release(shared.stretch);
    }
}

// The child that a node says it has made, or null.
const Right *child_of(const Reply &reply, dsm::NodeId where) {
    const bool is_child = reply.status == KERN_SUCCESS && reply.rights.size() == 1 &&
                          reply.rights.front().kind == Right::Kind::task && node_of(reply.rights.front().task) == where;
    return is_child ? &reply.rights.front() : nullptr;
}

} // namespace

TaskImage image_of(Node &node, const Task &parent, bool inherit) {
    TaskImage image;
    image.program = parent.program;
    image.slots = parent.names.slots();
    image.token = parent.token;
    image.ledgers = marks_of(parent.ledgers);
    if (inherit) {
        image.entries.assign(parent.map.entries().begin(), parent.map.entries().end());
        image.stretches = node.stretches_of(image.entries);
    }
    return image;
}

void abandon(Node &node, const Right &child) {
    Request request;
    request.op = Op::task_terminate;
    request.target = child;
    node.router.tell(node_of(child.task), std::move(request));
}

namespace {

// The parent's node holds all memory and ports of the image until the other node has its own hold, so that none can end
// on the way even if the parent does.
void send_image(Node &node, TaskId parent, TaskImage image, dsm::NodeId where, Request request, Done done, Done late) {
    request.blob = encode(image);
    const auto payer = node.tasks.find(parent);
    if (where != node.self && payer != node.tasks.end() &&
        !Node::pay_for_sending(*payer->second, 0, request.blob.size())) {
        done(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    for (const auto &shared : image.stretches) {
        node.use(shared.stretch);
    }
    for (const auto &[slot, held] : image.slots) {
        node.ports.keep(held.right);
    }
    node.router.call_to_the_end(
        where, std::move(request),
        [&node, held = std::move(image.stretches), slots = std::move(image.slots),
         done = std::move(done)](Reply reply) {
            release_all(node, held);
            let_go_of(node, slots);
            done(std::move(reply));
        },
        std::move(late));
}

} // namespace

// A child that comes when its parent has given up waiting is ended.
void make_child(Node &node, TaskId parent, TaskImage image, const Kin &kin, dsm::NodeId where, Done done) {
    Request request;
    request.op = Op::spawn;
    put_kin(request, kin);
    send_image(
        node, parent, std::move(image), where, std::move(request),
        [where, done = std::move(done)](Reply reply) {
            const bool sound = reply.status != KERN_SUCCESS || child_of(reply, where) != nullptr;
            done(sound ? std::move(reply) : status_reply(KERN_FAILURE));
        },
        [&node, where](const Reply &late) {
            if (const auto *child = child_of(late, where)) {
                abandon(node, *child);
            }
        });
}

void furnish_child(Node &node, TaskId parent, TaskImage image, const Right &child, Done done) {
    Request request;
    request.op = Op::furnish;
    request.target = child;
    send_image(node, parent, std::move(image), node_of(child.task), std::move(request), std::move(done),
               [](const Reply &) {});
}

std::int32_t check_node(const Node &node, std::uint64_t argument) {
    if (argument >= node.count) {
        return KERN_INVALID_ARGUMENT;
    }
    return node.router.is_down(static_cast<dsm::NodeId>(argument)) ? KERN_NODE_DOWN : KERN_SUCCESS;
}

namespace {

void map_next(Node &node, TaskId id, std::shared_ptr<const TaskImage> image, std::size_t next, Done done) {
    const auto found = node.tasks.find(id);
    if (found == node.tasks.end()) {
        done(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    if (next == image->entries.size()) {
        node.ports.adopt(id, image->slots, [&node, id, image, done] {
            const auto task = node.tasks.find(id);
            if (task == node.tasks.end()) {
                done(status_reply(KERN_RESOURCE_SHORTAGE));
                return;
            }
            node.tell_of_heap(*task->second);
            node.sampler.look_at(id);
            node.tell_of_exceptions(*task->second);
            if (!image->teleported) {
                task->second->awaited_by.reset();
            }
            auto reply = right_reply(task->second->own_right());
            reply.vals[0] = static_cast<std::uint64_t>(task->second->kin.identity);
            done(reply);
        });
        return;
    }
    node.map_entry(*found->second, image->entries[next], [&node, id, image, next, done](int error) {
        const auto task = node.tasks.find(id);
        if (error != 0 && task != node.tasks.end()) {
            node.kill_task(*task->second, [done] { done(status_reply(KERN_RESOURCE_SHORTAGE)); });
            return;
        }
        map_next(node, id, image, next + 1, done);
    });
}

// From here on the task's record holds the memory, and gives it back when it ends.
void begin_with(Node &node, Task &task, const TaskImage &image) {
    node.pay_for_shared(image.stretches, task.ledgers);
    for (const auto &entry : image.entries) {
        task.map.insert(entry);
    }
}

// The child goes on. Whichever way that fails, one node tells the launcher what became of a first task: the child's,
// or, if that is lost, this one, as the launcher believes the task to be here until the child's node says that it has
// it.
void let_go_on(Node &node, const Move &move) {
    const auto where = node_of(move.child.task);
    auto request = move.onward;
    request.target = move.child;
    const auto look_for_loss = [&node, where, first = move.first, kin = move.kin](const Reply &reply) {
        if (reply.status == KERN_NODE_DOWN) {
            node.tell_family(Op::process_ended, kin, SIGKILL);
        }
        if (first && reply.status == KERN_NODE_DOWN) {
            node.report_exit(W_EXITCODE(1, 0), fmt::format("the first task was lost with node {}", where));
        }
    };
    node.router.call_to_the_end(
        where, std::move(request),
        [look_for_loss, move](const Reply &reply) {
            look_for_loss(reply);
            move.done(reply.status == KERN_SUCCESS ? right_reply(move.child) : reply);
        },
        [look_for_loss, move](const Reply &reply) {
            look_for_loss(reply);
            if (move.late) {
                move.late(reply);
            }
        });
}

} // namespace

// What the synchronisation services know of the parent becomes the child's, then that goes on.
void finish_move(Node &node, const Move &move) {
    auto open = std::make_shared<unsigned>(node.count);
    for (dsm::NodeId home = 0; home < node.count; ++home) {
        Request moved;
        moved.op = Op::sync_task_moved;
        moved.args = {move.parent, move.child.task, move.thread, move.all_threads ? 1U : 0U};
        node.router.call(home, std::move(moved), [&node, open, move](const Reply &) {
            if (--*open == 0) {
                let_go_on(node, move);
            }
        });
    }
}

std::int32_t check_parent(const Task *parent) {
    return parent == nullptr ? KERN_INVALID_TASK : parent->is_attached() ? KERN_NOT_SUPPORTED : KERN_SUCCESS;
}

void op_task_clone(Node &node, const Request &request, Done done) {
    auto *parent = node.running(request.target);
    if (const auto status = check_parent(parent); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    if (const auto status = check_node(node, request.args[1]); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    make_child(node, parent->id, image_of(node, *parent, request.args[0] != 0), {},
               static_cast<dsm::NodeId>(request.args[1]), std::move(done));
}

namespace {

// As task_create has it: what the child gets of the memory is a matter of its inheritance attributes. It draws from
// `ledgers`, which are kept until it does itself.
void create(Node &node, const Task &parent, TaskImage image, const Ledgers &ledgers, dsm::NodeId where, Done done) {
    image.ledgers = marks_of(ledgers);
    node.inherit(std::move(image), [&node, id = parent.id, ledgers, where,
                                    done = std::move(done)](std::int32_t status, TaskImage inherited) {
        if (status == KERN_SUCCESS) {
            make_child(node, id, std::move(inherited), {}, where, done);
        } else {
            done(status_reply(status));
        }
    });
}

// The parent's ledgers, where the request names no other ones. False: it names what is none, or of another resource.
bool ledgers_for_child(Node &node, const Task &parent, std::span<const Right> named, Ledgers &ledgers) {
    ledgers = parent.ledgers;
    for (std::size_t i = 0; i < kResources; ++i) {
        const auto other = named[i].kind == Right::Kind::none ? ledgers[i] : ledger_of(node, named[i]);
        if (other == nullptr || other->resource() != i) {
            return false;
        }
        ledgers[i] = other;
    }
    return true;
}

void create_with(Node &node, const Request &request, std::span<const Right> named, Done done) {
    const auto *parent = node.running(request.target);
    if (const auto status = check_parent(parent); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    const auto where = parent->child_node.value_or(node.self);
    if (const auto status = check_node(node, where); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    Ledgers ledgers;
    if (!ledgers_for_child(node, *parent, named, ledgers)) {
        done(status_reply(KERN_INVALID_LEDGER));
        return;
    }
    auto image = image_of(node, *parent, request.args[0] != 0);
    if (named[kResources].kind != Right::Kind::none) {
        image.token = request.args[4];
    }
    create(node, *parent, std::move(image), ledgers, where, std::move(done));
}

} // namespace

// The blob: rights to ledgers, and to the privileged port if the token counts.
void op_task_create(Node &node, const Request &request, Done done) {
    const auto named = decode_rights(request.blob, kResources + 1);
    if (!named) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    if (named->back().kind == Right::Kind::none) {
        create_with(node, request, *named, std::move(done));
        return;
    }
    check_privilege(node, named->back(), [&node, request, named = *named, done = std::move(done)](std::int32_t status) {
        if (status == KERN_SUCCESS) {
            create_with(node, request, named, done);
        } else {
            done(status_reply(status));
        }
    });
}

void op_task_create_on(Node &node, const Request &request, Done done) {
    const auto *parent = node.running(request.target);
    auto status = check_parent(parent);
    status = status == KERN_SUCCESS ? check_node(node, request.args[1]) : status;
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    create(node, *parent, image_of(node, *parent, request.args[0] != 0), parent->ledgers,
           static_cast<dsm::NodeId>(request.args[1]), std::move(done));
}

void op_task_teleport(Node &node, const Request &request, Done done) {
    auto *parent = node.running(request.target);
    const auto sound = parent != nullptr && parent->moving ? KERN_INVALID_TASK : check_parent(parent);
    if (sound != KERN_SUCCESS) {
        done(status_reply(sound));
        return;
    }
    if (const auto status = check_node(node, request.args[1]); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    const auto where = static_cast<dsm::NodeId>(request.args[1]);
    if (where == node.self) {
        done(right_reply(parent->own_right()));
        return;
    }
    auto image = image_of(node, *parent, request.args[0] != 0);
    image.first = parent->first;
    image.teleported = true;
    parent->moving = true;
    make_child(node, parent->id, std::move(image), parent->kin, where,
               [&node, right = parent->own_right(), request, done](const Reply &reply) {
                   auto *left = node.running(right);
                   if (reply.status != KERN_SUCCESS) {
                       if (left != nullptr) {
                           left->moving = false;
                       }
                       done(reply);
                       return;
                   }
                   const auto child = reply.rights.front();
                   if (left == nullptr) { // who waits for its end is told of it: it must not go on elsewhere
                       abandon(node, child);
                       done(status_reply(KERN_INVALID_TASK));
                       return;
                   }
                   left->successor = child;
                   Move move{.parent = left->id,
                             .first = left->first,
                             .kin = left->kin,
                             .child = child,
                             .thread = request.args[2] == 0 ? 0 : request.caller.thread,
                             .all_threads = false,
                             .onward = {},
                             .done = done};
                   move.onward.op = Op::take_over;
                   move.onward.args = {request.args[2], request.args[3], request.caller.thread};
                   node.kill_task(*left, [&node, move] { finish_move(node, move); });
               });
}

void op_spawn(Node &node, const Request &request, Done done) {
    auto image = decode_image(request.blob, node.window, node.heap_parts);
    const auto kin = kin_in(node, request);
    if (!image || !kin) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    if (node.departure.is_under_way() && request.caller.node != node.self) {
        done(status_reply(KERN_NODE_DOWN));
        return;
    }
    const auto shared = std::make_shared<const TaskImage>(std::move(*image));
    const auto source = request.caller.node;
    node.attach_all(shared->stretches, [&node, shared, kin = *kin, source, done](std::int32_t status) {
        if (status != KERN_SUCCESS) {
            done(status_reply(status));
            return;
        }
        Ledgers ledgers;
        const bool down = node.router.is_down(source);
        if (down || !node.ledgers.draw(shared->ledgers, ledgers)) {
            release_all(node, shared->stretches);
            done(status_reply(down ? KERN_NODE_DOWN : KERN_RESOURCE_SHORTAGE));
            return;
        }
        auto id = std::make_shared<TaskId>(0);
        try {
            const auto ready = [&node, shared, id, done](std::int32_t up) {
                if (up != KERN_SUCCESS) {
                    done(status_reply(up));
                    return;
                }
                map_next(node, *id, shared, 0, done);
            };
            auto &task = node.start_process(shared->program, shared->first, kin, ready);
            *id = task.id;
            task.awaited_by = source;
            task.token = shared->token;
            task.ledgers = ledgers;
            if (shared->teleported) { // it takes over what its parent has at any of them
                task.sync_homes.set();
            }
            begin_with(node, task, *shared);
        } catch (const std::system_error &error) {
            log_error("a task of {} cannot be made: {}", shared->program.path, error.what());
            release_all(node, shared->stretches);
            auto reply = status_reply(KERN_RESOURCE_SHORTAGE);
            reply.vals[0] = EAGAIN;
            done(reply);
        }
    });
}

// A child that has been made without memory gets it, and its ports.
void op_furnish(Node &node, const Request &request, Done done) {
    const auto *child = node.running(request.target);
    if (child == nullptr || child->awaited_by != request.caller.node || !child->map.entries().empty()) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    auto image = decode_image(request.blob, node.window, node.heap_parts);
    if (!image || image->program.data != child->program.data) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto shared = std::make_shared<const TaskImage>(std::move(*image));
    node.attach_all(shared->stretches, [&node, shared, right = request.target, done](std::int32_t status) {
        auto *task = node.running(right);
        if (status != KERN_SUCCESS || task == nullptr || !task->map.entries().empty()) {
            if (status == KERN_SUCCESS) {
                release_all(node, shared->stretches);
            }
            done(status_reply(status == KERN_SUCCESS ? KERN_INVALID_TASK : status));
            return;
        }
        begin_with(node, *task, *shared);
        map_next(node, task->id, shared, 0, done);
    });
}

void op_task_terminate(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    task->terminated = true;
    node.kill_task(*task, [done] { done(status_reply(KERN_SUCCESS)); });
}

void op_task_suspend(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr || task->is_attached()) { // which may have threads that no signal reaches
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_NOT_SUPPORTED));
        return;
    }
    ++task->suspend_count;
    node.command(*task, Command::suspend_all, {},
                 [done](const Ack &ack) { done(status_reply(ack.error == 0 ? KERN_SUCCESS : KERN_INVALID_TASK)); });
}

void op_task_resume(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr || task->suspend_count == 0) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_FAILURE));
        return;
    }
    if (--task->suspend_count > 0) {
        done(status_reply(KERN_SUCCESS));
        return;
    }
    node.command(*task, Command::resume_all, {},
                 [done](const Ack &ack) { done(status_reply(ack.error == 0 ? KERN_SUCCESS : KERN_INVALID_TASK)); });
}

void op_task_wait(Node &node, const Request &request, Done done) {
    const auto id = request.target.task;
    if (const auto found = node.ended.find(id); found != node.ended.end()) {
        if (found->second.successor.kind != Right::Kind::none) {
            const auto successor = found->second.successor;
            auto follow = request;
            follow.target = successor;
            node.router.call(node_of(successor.task), std::move(follow), std::move(done), false);
            return;
        }
        Reply reply;
        reply.vals[0] = static_cast<std::uint64_t>(found->second.status);
        done(reply);
        return;
    }
    const auto found = node.tasks.find(id);
    if (found == node.tasks.end()) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    node.wait_in(found->second->waiters, static_cast<std::int64_t>(request.args[0]), request.caller.thread,
                 std::move(done));
}

} // namespace norma::rt
