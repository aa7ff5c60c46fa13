// SPDX-License-Identifier: BSD-3-Clause
// Threads of a task: made and stopped by its service thread, counted here.
#include "runtime/log.hpp"
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace norma::rt {

namespace {

constexpr std::uint64_t kLeastStack = 64 * 1024;

Reply thread_reply(const Task &task, std::uint64_t number) {
    Reply reply;
    reply.rights.push_back(task.thread_right(number));
    return reply;
}

// The child has ended before it could take over: what has become its own goes on to nobody, and its end is the task's.
void take_over_dead(Node &node, const Request &request) {
    const auto found = node.ended.find(request.target.task);
    if (found == node.ended.end() || found->second.awaited_by != request.caller.node) {
        return;
    }
    found->second.awaited_by.reset();
    node.tell_family(Op::process_ended, found->second.kin, static_cast<std::uint64_t>(found->second.status));
    for (dsm::NodeId home = 0; home < node.count; ++home) {
        node.tell_of_end(home, request.target.task, false, std::nullopt);
    }
    if (found->second.first) {
        node.report_hosting();
        node.report_exit(found->second.status, "");
    }
}

} // namespace

std::int32_t thread_status(const Ack &ack) {
    return ack.error == 0 ? KERN_SUCCESS : (ack.error == ESRCH ? KERN_TERMINATED : KERN_RESOURCE_SHORTAGE);
}

Thread *target_thread(Node &node, const Request &request, Task *&task, const Done &done) {
    task = node.running(request.target);
    auto *thread = task == nullptr ? nullptr : task->thread(request.target.thread);
    if (thread == nullptr || thread->ended) {
        done(status_reply(KERN_TERMINATED));
        return nullptr;
    }
    return thread;
}

void op_thread_self(Node &node, const Request &request, Done done) {
    auto &task = *node.tasks.at(request.caller.task);
    for (const auto &[number, thread] : task.threads) {
        if (thread.sync_identity == request.caller.thread && !thread.ended) {
            done(thread_reply(task, number));
            return;
        }
    }
    done(status_reply(KERN_FAILURE));
}

void op_task_threads(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    node.command(*task, Command::list_threads, {}, [&node, id = task->id, done](const Ack &ack) {
        const auto found = node.tasks.find(id);
        if (ack.error != 0 || found == node.tasks.end()) {
            done(status_reply(KERN_INVALID_TASK));
            return;
        }
        auto &live = *found->second;
        std::vector<std::uint64_t> tids(ack.blob.size() / sizeof(std::uint64_t));
        std::memcpy(tids.data(), ack.blob.data(), tids.size() * sizeof(std::uint64_t));
        Reply reply;
        for (const auto tid : tids) { // threads the program made by itself are met here for the first time
            if (!live.has_met(static_cast<pid_t>(tid))) {
                live.add_thread(static_cast<pid_t>(tid), node.self);
            }
        }
        for (auto &[number, thread] : live.threads) {
            const bool alive =
                std::find(tids.begin(), tids.end(), static_cast<std::uint64_t>(thread.tid)) != tids.end();
            if (!thread.ended && (thread.tid == 0 || alive)) {
                reply.rights.push_back(live.thread_right(number));
            }
        }
        done(reply);
    });
}

void op_thread_create(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    const auto number = task->add_thread(0, node.self);
    task->threads.at(number).suspend_count = 1;
    done(thread_reply(*task, number));
}

void op_thread_start(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr || request.args[0] == 0) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    const auto number = task->add_thread(0, node.self);
    auto &thread = task->threads.at(number);
    thread.entry = request.args[0];
    thread.argument = request.args[1];
    thread.stack_bytes = request.args[2];
    node.start_thread(*task, number, [right = task->thread_right(number), done](Reply reply) {
        if (reply.status == KERN_SUCCESS) {
            reply.rights.push_back(right);
        }
        done(std::move(reply));
    });
}

// A stack of coherent memory whose lowest page is a guard, then the thread.
void Node::start_thread(Task &task, std::uint64_t number, Done done) {
    auto &thread = task.threads.at(number);
    const auto bytes = std::max(thread.stack_bytes == 0 ? config.stack_size : thread.stack_bytes, kLeastStack);
    const auto id = task.id;
    const auto fail = [this, id, number, done](std::int32_t status) {
        if (const auto found = tasks.find(id); found != tasks.end()) {
            thread_ended(*found->second, number);
        }
        done(status_reply(status));
    };
    make_stack(task, bytes,
               [this, id, number, done, fail](std::int32_t status, std::uint64_t stack, std::uint64_t stack_bytes) {
                   const auto found = tasks.find(id);
                   if (status != KERN_SUCCESS || found == tasks.end()) {
                       fail(status == KERN_SUCCESS ? KERN_INVALID_TASK : status);
                       return;
                   }
                   auto &live = *found->second;
                   auto &starting = live.threads.at(number);
                   starting.stack = stack;
                   starting.stack_bytes = stack_bytes;
                   command(live, Command::thread_start, {starting.entry, starting.argument, stack, stack_bytes},
                           [this, id, number, done, fail](const Ack &ack) {
                               const auto again = tasks.find(id);
                               if (ack.error != 0 || again == tasks.end()) {
                                   fail(thread_status(ack));
                                   return;
                               }
                               thread_runs(*again->second, number, static_cast<pid_t>(ack.value));
                               auto &started = again->second->threads.at(number);
                               started.sync_identity = sync_identity(self, started.tid);
                               thread_started(*again->second, number, done);
                           });
               });
}

void Node::make_stack(Task &task, std::uint64_t bytes,
                      std::function<void(std::int32_t, std::uint64_t, std::uint64_t)> done) {
    MapEntry entry;
    if (const auto status = allocate(task, {}, bytes, entry); status != KERN_SUCCESS) {
        done(status, 0, 0);
        return;
    }
    const auto id = task.id;
    map_entry(task, entry, [this, id, entry, done](int error) {
        const auto found = tasks.find(id);
        if (error != 0 || found == tasks.end()) {
            done(KERN_RESOURCE_SHORTAGE, 0, 0);
            return;
        }
        std::vector<ProtectionChange> changed;
        found->second->map.protect(entry.start, kMapPage, false, VM_PROT_NONE, changed);
        command(*found->second, Command::protect, {entry.start, kMapPage, VM_PROT_NONE}, [entry, done](const Ack &ack) {
            done(ack.error == 0 ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE, entry.start, entry.size);
        });
    });
}

void Node::thread_runs(Task &task, std::uint64_t number, pid_t tid) {
    task.threads.at(number).tid = tid;
    task.times.begin(static_cast<std::uint32_t>(tid), now());
}

void Node::thread_ended(Task &task, std::uint64_t number) {
    auto &thread = task.threads.at(number);
    thread.ended = true;
    task.times.end(static_cast<std::uint32_t>(thread.tid), now());
    for (dsm::NodeId home = 0; thread.sync_identity != 0 && home < count; ++home) {
        if (task.sync_homes[home]) {
            Request request;
            request.op = Op::sync_thread_died;
            request.args[0] = thread.sync_identity;
            router.tell(home, std::move(request));
        }
    }
    Letting ports_of_thread;
    task.names.thread_ended(number, ports_of_thread);
    ports.let_go(ports_of_thread);
    for (const auto &waiter : std::exchange(thread.waiters, {})) {
        waiter(status_reply(KERN_SUCCESS));
    }
    if (thread.stack != 0) {
        std::vector<MapEntry> pieces;
        task.map.remove(thread.stack, thread.stack_bytes, pieces);
        unmap_pieces(task, std::move(pieces), [] {});
    }
}

void op_thread_suspend(Node &node, const Request &request, Done done) {
    Task *task = nullptr;
    auto *thread = target_thread(node, request, task, done);
    if (thread == nullptr) {
        return;
    }
    ++thread->suspend_count;
    if (thread->tid == 0) {
        done(status_reply(KERN_SUCCESS));
        return;
    }
    node.command(*task, Command::suspend_thread, {static_cast<std::uint64_t>(thread->tid)},
                 [&node, id = task->id, number = request.target.thread, done](const Ack &ack) {
                     const auto found = node.tasks.find(id);
                     if (ack.error != 0 && found != node.tasks.end()) {
                         --found->second->threads.at(number).suspend_count;
                     }
                     done(status_reply(thread_status(ack)));
                 });
}

void op_thread_resume(Node &node, const Request &request, Done done) {
    Task *task = nullptr;
    auto *thread = target_thread(node, request, task, done);
    if (thread == nullptr) {
        return;
    }
    const bool startable = thread->tid != 0 || thread->entry != 0 || !thread->registers.empty();
    if (thread->suspend_count == 0 || !startable) {
        done(status_reply(startable ? KERN_FAILURE : KERN_INVALID_ARGUMENT));
        return;
    }
    if (--thread->suspend_count > 0) {
        done(status_reply(KERN_SUCCESS));
    } else if (thread->tid == 0) {
        node.start_thread(*task, request.target.thread, std::move(done));
    } else {
        node.command(*task, Command::resume_thread, {static_cast<std::uint64_t>(thread->tid)},
                     [done](const Ack &ack) { done(status_reply(thread_status(ack))); });
    }
}

void op_thread_terminate(Node &node, const Request &request, Done done) {
    Task *task = nullptr;
    auto *thread = target_thread(node, request, task, done);
    if (thread == nullptr) {
        return;
    }
    if (thread->tid == 0) {
        node.thread_ended(*task, request.target.thread);
        done(status_reply(KERN_SUCCESS));
        return;
    }
    node.command(*task, Command::terminate_thread, {static_cast<std::uint64_t>(thread->tid)},
                 [&node, id = task->id, number = request.target.thread, done](const Ack &ack) {
                     const auto found = node.tasks.find(id);
                     if (ack.error == 0 && found != node.tasks.end() && !found->second->threads.at(number).ended) {
                         node.thread_ended(*found->second, number);
                     }
                     done(status_reply(thread_status(ack)));
                 });
}

void op_thread_wait(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    auto *thread = task == nullptr ? nullptr : task->thread(request.target.thread);
    if (thread == nullptr || thread->ended) {
        done(status_reply(KERN_SUCCESS));
        return;
    }
    node.wait_in(thread->waiters, static_cast<std::int64_t>(request.args[0]), request.caller.thread, std::move(done));
}

Task *take_place(Node &node, const Request &request, const Done &done) {
    auto *task = node.running(request.target);
    if (task == nullptr || task->awaited_by != request.caller.node) {
        take_over_dead(node, request);
        done(status_reply(KERN_INVALID_TASK));
        return nullptr;
    }
    task->awaited_by.reset();
    node.tell_family(Op::process_moved, task->kin, 0, encode(std::array{task->own_right()}));
    if (task->first) {
        node.report_hosting();
    }
    return task;
}

// The thread that teleported itself, if one did, goes on in the child.
void op_take_over(Node &node, const Request &request, Done done) {
    auto *task = take_place(node, request, done);
    if (task == nullptr) {
        return;
    }
    if (request.args[0] == 0) {
        done(status_reply(KERN_SUCCESS));
        return;
    }
    const auto number = task->add_thread(0, node.self);
    // The thread keeps the identity under which it holds locks. It makes no call before its start is acknowledged.
    task->threads.at(number).sync_identity = request.args[2];
    node.command(*task, Command::thread_resume_context, {request.args[0], request.args[1]},
                 [&node, id = task->id, number, done](const Ack &ack) {
                     const auto found = node.tasks.find(id);
                     if (ack.error == 0 && found != node.tasks.end()) {
                         node.thread_runs(*found->second, number, static_cast<pid_t>(ack.value));
                     } else if (found != node.tasks.end()) {
                         log_error("a thread that has moved here cannot go on: {}", std::strerror(ack.error));
                         node.kill_task(*found->second, [] {}); // the parent it could go back to is gone
                     }
                     done(status_reply(thread_status(ack)));
                 });
}

} // namespace norma::rt
