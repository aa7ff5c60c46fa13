// SPDX-License-Identifier: BSD-3-Clause
// Tasks: clone, teleport, their ends, suspension, waiting.
#include "runtime/log.hpp"
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <system_error>

namespace norma::rt {

namespace {

Reply right_reply(const Right &right) {
    Reply reply;
    reply.rights.push_back(right);
    return reply;
}

Right right_of(const Task &task) {
    return {.kind = Right::Kind::task, .task = task.id, .thread = 0};
}

TaskImage image_of(Node &node, const Task &parent, bool inherit) {
    TaskImage image;
    image.program = parent.program;
    if (inherit) {
        image.entries.assign(parent.map.entries().begin(), parent.map.entries().end());
        for (const auto &entry : image.entries) {
            const bool listed = std::any_of(image.objects.begin(), image.objects.end(),
                                            [&](const SharedObject &object) { return object.id == entry.object; });
            if (!listed) {
                image.objects.push_back({.id = entry.object, .pages = node.pager.pages(entry.object)});
            }
        }
    }
    return image;
}

// Makes the child on `where`. The parent's node holds every object of the image until the child's node has its own
// hold, so that none can die on the way even if the parent does.
void make_child(Node &node, TaskImage image, dsm::NodeId where, Done done) {
    Request request;
    request.op = Op::spawn;
    request.blob = encode(image);
    for (const auto &object : image.objects) {
        node.use(object.id);
    }
    node.router.call(where, std::move(request),
                     [&node, objects = std::move(image.objects), done = std::move(done)](Reply reply) {
                         for (const auto &object : objects) {
                             node.release(object.id);
                         }
                         done(std::move(reply));
                     });
}

std::int32_t check_node(const Node &node, std::uint64_t argument) {
    if (argument >= node.count) {
        return KERN_INVALID_ARGUMENT;
    }
    return node.router.is_down(static_cast<dsm::NodeId>(argument)) ? KERN_NODE_DOWN : KERN_SUCCESS;
}

void map_next(Node &node, TaskId id, std::shared_ptr<std::vector<MapEntry>> entries, std::size_t next, Done done) {
    const auto found = node.tasks.find(id);
    if (found == node.tasks.end()) {
        done(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    if (next == entries->size()) {
        if (found->second->first) {
            node.report_hosting();
        }
        done(right_reply(right_of(*found->second)));
        return;
    }
    node.map_entry(*found->second, (*entries)[next], [&node, id, entries, next, done](int error) {
        const auto task = node.tasks.find(id);
        if (error != 0 && task != node.tasks.end()) {
            node.kill_task(*task->second, [done] { done(status_reply(KERN_RESOURCE_SHORTAGE)); });
            return;
        }
        map_next(node, id, entries, next + 1, done);
    });
}

// The last steps of a teleport, when the child is complete and the parent's process is gone: what the synchronisation
// services know of the parent becomes the child's, and the thread that teleported itself goes on.
void finish_teleport(Node &node, TaskId parent, const Right &child, const Request &request, const Done &done) {
    const auto context = request.args[2];
    const auto thread = context == 0 ? 0 : request.caller.thread;
    auto open = std::make_shared<unsigned>(node.count);
    for (dsm::NodeId home = 0; home < node.count; ++home) {
        Request moved;
        moved.op = Op::sync_task_moved;
        moved.args = {parent, child.task, thread};
        node.router.call(home, std::move(moved), [&node, open, child, request, done, thread](const Reply &) {
            if (--*open > 0) {
                return;
            }
            if (request.args[2] == 0) {
                done(right_reply(child));
                return;
            }
            Request resume;
            resume.op = Op::resume_context;
            resume.target = child;
            resume.args = {request.args[2], request.args[3], thread};
            node.router.call(node_of(child.task), std::move(resume), done);
        });
    }
}

} // namespace

void op_task_clone(Node &node, const Request &request, Done done) {
    auto *parent = node.running(request.target);
    if (parent == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    if (const auto status = check_node(node, request.args[1]); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    make_child(node, image_of(node, *parent, request.args[0] != 0), static_cast<dsm::NodeId>(request.args[1]),
               std::move(done));
}

void op_task_teleport(Node &node, const Request &request, Done done) {
    auto *parent = node.running(request.target);
    if (parent == nullptr || parent->moving) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    if (const auto status = check_node(node, request.args[1]); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    const auto where = static_cast<dsm::NodeId>(request.args[1]);
    if (where == node.self) {
        done(right_reply(right_of(*parent)));
        return;
    }
    auto image = image_of(node, *parent, request.args[0] != 0);
    image.first = parent->first;
    image.teleported = true;
    parent->moving = true;
    make_child(node, std::move(image), where, [&node, id = parent->id, request, done](const Reply &reply) {
        const auto found = node.tasks.find(id);
        if (reply.status != KERN_SUCCESS) {
            if (found != node.tasks.end()) {
                found->second->moving = false;
            }
            done(reply);
            return;
        }
        const auto child = reply.rights.front();
        if (found == node.tasks.end()) { // the parent died meanwhile: the child takes over all the same
            node.ended[id].successor = child.task;
            finish_teleport(node, id, child, request, done);
            return;
        }
        found->second->successor = child.task;
        node.kill_task(*found->second,
                       [&node, id, child, request, done] { finish_teleport(node, id, child, request, done); });
    });
}

void op_spawn(Node &node, const Request &request, Done done) {
    auto image = decode_image(request.blob, node.window);
    if (!image) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    auto shared = std::make_shared<TaskImage>(std::move(*image));
    node.attach_all(shared->objects, [&node, shared, done](std::int32_t status) {
        if (status != KERN_SUCCESS) {
            done(status_reply(status));
            return;
        }
        auto id = std::make_shared<TaskId>(0);
        try {
            auto &task = node.start_process(shared->program, shared->first, [&node, shared, id, done](std::int32_t up) {
                if (up != KERN_SUCCESS) {
                    done(status_reply(up));
                    return;
                }
                auto entries = std::make_shared<std::vector<MapEntry>>(shared->entries);
                map_next(node, *id, entries, 0, done);
            });
            *id = task.id;
            if (shared->teleported) { // it takes over what its parent has at any of them
                task.sync_homes.set();
            }
            // From here on the task's record holds the objects, and gives them back when it ends.
            for (const auto &entry : shared->entries) {
                task.map.insert(entry);
            }
        } catch (const std::system_error &error) {
            log_error("a task of {} cannot be made: {}", shared->program.path, error.what());
            for (const auto &object : shared->objects) {
                node.release(object.id);
            }
            done(status_reply(KERN_RESOURCE_SHORTAGE));
        }
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
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
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
        if (found->second.successor != 0) {
            const auto successor = found->second.successor;
            auto follow = request;
            follow.target.task = successor;
            node.router.call(node_of(successor), std::move(follow), std::move(done), false);
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
    node.wait_in(found->second->waiters, static_cast<std::int64_t>(request.args[0]), std::move(done));
}

} // namespace norma::rt
