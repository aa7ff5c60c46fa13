// SPDX-License-Identifier: BSD-3-Clause
// A task that moves with all its threads (docs/migration.md). First a child is made, as for a teleport but without
// memory, which is what takes long; then they are stopped, and the child gets the memory and a thread for each. Nothing
// can fail any more when the parent's process is ended; until then the threads can go on where they are.
#include "runtime/log.hpp"
#include "runtime/server/moved_task.hpp"
#include "runtime/server/ops.hpp"

#include "norma/mach.h"
#include "norma/mach_exception.h"
#include "norma/norma.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <string>

namespace norma::rt {

namespace {

using namespace std::chrono_literals;
constexpr auto kPatience = 8s; // with threads that are in a library
constexpr auto kPause = 1ms;   // between two looks at them
constexpr auto kGrace = 20ms;  // for a process whose threads have moved

// One move under way.
struct Migration {
    TaskId parent = 0;
    dsm::NodeId where = 0;
    Request request;
    Done done; // null: a thread of the task has asked, and has stopped like the others
    Clock::time_point deadline;
    Right child{};
    MovedTask moved;
    std::vector<std::vector<std::byte>> names; // to be given, the last one first
    Letting receivers;                         // that it has parted with
    bool shared_files = false;                 // before it began
    std::uint64_t registers = 0;
    std::vector<std::byte> process;
};
using SharedMigration = std::shared_ptr<Migration>;

void answer(const SharedMigration &move, Reply reply) {
    if (auto done = std::exchange(move->done, nullptr)) {
        done(std::move(reply));
    }
}

// What this node's records say that keeps a task from moving; empty: nothing.
std::string obstacle(const Task &task) {
    if (auto why = task.bound_to_process(); !why.empty()) {
        return why;
    }
    return std::ranges::any_of(task.groups, [](GroupId group) { return group != 0; })
               ? "it shares directories or signal actions (CLONE_FS, CLONE_SIGHAND)"
               : "";
}

void log_why(const Task &task, std::uint64_t where, std::string_view why) {
    log_error("a task of {} does not move to node {}: {}", task.program.path, where, why);
}

void go_on(Node &node, const SharedMigration &move, std::int32_t status, const std::string &why) {
    if (const auto found = node.tasks.find(move->parent); found != node.tasks.end()) {
        auto &task = *found->second;
        log_why(task, move->where, why);
        task.moving = task.gathering = false;
        if (!move->shared_files && task.open_files != 0) {
            node.open_files.end_move(task);
        }
        node.command(task, Command::go_on, {static_cast<std::uint64_t>(status), task.open_files != 0 ? 1U : 0U},
                     [](const Ack &) {});
    }
    answer(move, reply_with(status, why));
}

// The threads go on where they are, when its rights to ports are this node's alone again.
void fail(Node &node, const SharedMigration &move, std::int32_t status, const std::string &why) {
    if (move->child.kind != Right::Kind::none) {
        abandon(node, move->child);
    }
    const auto found = node.tasks.find(move->parent);
    if (found == node.tasks.end() || !found->second->names.is_leaving()) {
        go_on(node, move, status, why);
        return;
    }
    node.ports.stay(move->parent, move->where, [&node, move, status, why] { go_on(node, move, status, why); });
}

// The parent has ended before it could move.
void give_up(Node &node, const SharedMigration &move) {
    if (move->child.kind != Right::Kind::none) {
        abandon(node, move->child);
    }
    answer(move, status_reply(KERN_INVALID_TASK));
}

// If nothing can go on with the ports of the task, they end with it.
void end_ports_if_lost(Node &node, const SharedMigration &move, const Reply &reply) {
    if (reply.status != KERN_SUCCESS && reply.status != KERN_OPERATION_TIMED_OUT) {
        node.ports.let_go(std::exchange(move->receivers, {}));
    }
}

// Whoever has asked something of the task is answered there. The old process has yet to be ended. The kernel takes the
// longer for that the more memory it has, and needs the core of this node server, of which the threads want the pages
// with which they go on; so that waits a moment.
void arrived(Node &node, const SharedMigration &move, Reply reply) {
    end_ports_if_lost(node, move, reply);
    if (const auto left = node.tasks.find(move->parent); left != node.tasks.end()) {
        left->second->gathering = false;
        node.loop.at(Clock::now() + kGrace, [&node, parent = move->parent] {
            if (const auto still = node.tasks.find(parent); still != node.tasks.end()) {
                node.kill_task(*still->second, [] {});
            }
        });
    } else if (const auto ended = node.ended.find(move->parent); ended != node.ended.end()) {
        ended->second.arriving = false;
    }
    answer(move, std::move(reply));
}

// From here on the parent's threads stay where they are until their process ends.
void finish(Node &node, const SharedMigration &move, Task &parent) {
    parent.successor = move->child;
    parent.threads_moved = true;
    move->receivers = node.ports.part(parent.names);
    node.following.end(parent.id);
    Move last{.parent = parent.id,
              .first = parent.first,
              .kin = parent.kin,
              .child = move->child,
              .thread = 0,
              .all_threads = true,
              .onward = {},
              .done = [&node, move](Reply reply) { arrived(node, move, std::move(reply)); },
              .late = [&node, move](const Reply &reply) { end_ports_if_lost(node, move, reply); }};
    last.onward.op = Op::carry_on;
    last.onward.blob = encode(move->moved);
    parent.state = Task::State::ending;
    finish_move(node, last);
}

void make_room(Node &node, const SharedMigration &move) {
    Request room;
    room.op = Op::make_room;
    room.target = move->child;
    room.args = {move->moved.threads.size(), move->registers};
    room.blob = move->process;
    node.router.call(move->where, std::move(room), [&node, move](const Reply &reply) {
        const auto found = node.tasks.find(move->parent);
        auto *parent = found == node.tasks.end() ? nullptr : node.running(found->second->own_right());
        if (parent == nullptr) {
            give_up(node, move);
        } else if (reply.status != KERN_SUCCESS) {
            fail(node, move, reply.status,
                 reply.status == KERN_NOT_SUPPORTED ? "the processor there has other registers"
                                                    : "its threads cannot be made there");
        } else {
            finish(node, move, *parent);
        }
    });
}

// A table that is nobody else's goes over; else the child is one more that has it.
void give_files(Node &node, const SharedMigration &move) {
    const auto found = node.tasks.find(move->parent);
    if (found == node.tasks.end()) {
        give_up(node, move);
        return;
    }
    const auto &parent = *found->second;
    if (parent.open_files == 0) {
        make_room(node, move);
        return;
    }
    Request enter;
    enter.op = Op::files_enter;
    enter.target = move->child;
    enter.args = {parent.open_files, node.open_files.is_alone(parent) ? 1U : 0U};
    node.router.call(move->where, std::move(enter), [&node, move](const Reply &reply) {
        if (reply.status == KERN_SUCCESS && reply.vals[1] == 0) {
            make_room(node, move);
        } else {
            fail(node, move, reply.status == KERN_SUCCESS ? KERN_RESOURCE_SHORTAGE : reply.status,
                 "it cannot have its open files there");
        }
    });
}

// As many records as they need, then the rest.
void give_names(Node &node, const SharedMigration &move) {
    if (move->names.empty()) {
        give_files(node, move);
        return;
    }
    Request names;
    names.op = Op::give_names;
    names.target = move->child;
    names.blob = std::move(move->names.back());
    move->names.pop_back();
    node.router.call(move->where, std::move(names), [&node, move](const Reply &reply) {
        if (reply.status == KERN_SUCCESS) {
            give_names(node, move);
        } else {
            fail(node, move, reply.status, "it cannot have its rights to ports there");
        }
    });
}

void give_memory(Node &node, const SharedMigration &move, const Task &parent) {
    auto image = image_of(node, parent, true);
    image.teleported = true;
    furnish_child(node, parent.id, std::move(image), move->child, [&node, move](const Reply &reply) {
        const auto found = node.tasks.find(move->parent);
        if (found == node.tasks.end()) {
            give_up(node, move);
        } else if (reply.status == KERN_SUCCESS) {
            move->names = node.ports.leave(found->second->names);
            give_names(node, move);
        } else {
            fail(node, move, reply.status, "it cannot have its memory there");
        }
    });
}

void gather(Node &node, const SharedMigration &move, bool first);

bool is_starting(const std::map<std::uint64_t, Thread>::value_type &entry) {
    return !entry.second.ended && entry.second.tid == 0;
}

// All threads have stopped: nothing of the task changes by itself any more.
void stopped(Node &node, const SharedMigration &move, Task &parent, const Ack &ack) {
    const bool changes = node.ports.is_changing(parent.id);
    if (changes || std::ranges::any_of(parent.threads, is_starting)) { // from outside: it will be over soon
        node.loop.at(Clock::now() + kPause, [&node, move] { gather(node, move, false); });
        return;
    }
    Stopped head{};
    const std::span blob(ack.blob);
    std::memcpy(&head, blob.data(), std::min(blob.size(), sizeof head));
    const auto count = head.threads;
    const auto rest = blob.subspan(std::min(blob.size(), sizeof head));
    const auto why = obstacle(parent); // which may have come since it was asked
    if (count == 0 || count > rest.size() / sizeof(StoppedThread) || !why.empty()) {
        fail(node, move, why.empty() ? KERN_FAILURE : KERN_NOT_SUPPORTED, why.empty() ? "it has no threads" : why);
        return;
    }
    if ((head.shares_files != 0) != (parent.open_files != 0)) {
        fail(node, move, KERN_RESOURCE_SHORTAGE, "the node server cannot have its open files");
        return;
    }
    for (std::uint64_t i = 0; i < count; ++i) {
        StoppedThread told{};
        std::memcpy(&told, rest.data() + i * sizeof told, sizeof told);
        const auto tid = static_cast<pid_t>(told.tid);
        const auto known = parent.number_of(tid);
        const auto number = known != 0 ? known : parent.add_thread(tid, node.self);
        const auto &thread = parent.threads.at(number);
        move->moved.threads.push_back({.number = number,
                                       .state = told.state,
                                       .identity = thread.sync_identity,
                                       .stack = thread.stack,
                                       .stack_bytes = thread.stack_bytes,
                                       .key = thread.key});
    }
    for (dsm::NodeId been = 0; been < node.count; ++been) {
        if (been == node.self || parent.been[been]) {
            move->moved.been.push_back(been);
        }
    }
    move->moved.lazy = (move->request.args[1] & NORMA_MIGRATE_LAZY) != 0;
    move->moved.next_thread = parent.next_thread;
    move->moved.child_node = parent.child_node ? std::uint64_t{*parent.child_node} : MovedTask::kAnyNode;
    move->registers = ack.value;
    const auto process = rest.subspan(count * sizeof(StoppedThread));
    move->process.assign(process.begin(), process.end());
    give_memory(node, move, parent);
}

// Those that wait for something are told to wait again, once the task has moved or stays.
void withdraw_waits(Node &node, const SharedMigration &move, const Task &parent,
                    std::span<const StillRunning> running) {
    for (const auto &thread : running) {
        const auto number = parent.number_of(static_cast<pid_t>(thread.tid));
        if (number == 0) {
            continue;
        }
        const auto identity = parent.threads.at(number).sync_identity;
        if (identity == move->request.caller.thread) {
            answer(move, status_reply(kWithdrawn));
            continue;
        }
        for (dsm::NodeId home = 0; home < node.count; ++home) {
            Request abort;
            abort.op = Op::abort_waits;
            abort.args = {identity, static_cast<std::uint64_t>(kWithdrawn)};
            node.router.tell(home, std::move(abort));
        }
    }
}

void look_again(Node &node, const SharedMigration &move, const Task &parent, const Ack &ack) {
    std::vector<StillRunning> running(ack.blob.size() / sizeof(StillRunning));
    std::memcpy(running.data(), ack.blob.data(), running.size() * sizeof(StillRunning));
    if (Clock::now() >= move->deadline) {
        std::string why = "its threads do not stop";
        if (!running.empty()) {
            auto &where = running.front().where;
            where[sizeof where - 1] = 0;
            why = fmt::format("a thread of it cannot be stopped: {}", static_cast<const char *>(where));
        }
        fail(node, move, KERN_OPERATION_TIMED_OUT, why);
        return;
    }
    withdraw_waits(node, move, parent, running);
    node.loop.at(Clock::now() + kPause, [&node, move] { gather(node, move, false); });
}

void gather(Node &node, const SharedMigration &move, bool first) {
    const auto found = node.tasks.find(move->parent);
    if (found == node.tasks.end()) {
        give_up(node, move);
        return;
    }
    node.command(*found->second, Command::gather, {first ? 1U : 0U}, [&node, move](const Ack &ack) {
        const auto again = node.tasks.find(move->parent);
        if (again == node.tasks.end() || node.running(again->second->own_right()) == nullptr) {
            give_up(node, move);
        } else if (ack.error == 0) {
            stopped(node, move, *again->second, ack);
        } else if (ack.error == EAGAIN) {
            look_again(node, move, *again->second, ack);
        } else {
            fail(node, move, KERN_NOT_SUPPORTED,
                 std::string(reinterpret_cast<const char *>(ack.blob.data()), ack.blob.size()));
        }
    });
}

void begin_to_gather(Node &node, const SharedMigration &move) {
    if (const auto found = node.tasks.find(move->parent); found != node.tasks.end()) {
        found->second->gathering = true;
    }
    move->deadline = Clock::now() + kPatience;
    gather(node, move, true);
}

void prepare(Node &node, const SharedMigration &move, const Task &parent) {
    auto image = image_of(node, parent, false);
    image.slots.clear();
    image.first = parent.first;
    image.teleported = true;
    make_child(node, parent.id, std::move(image), parent.kin, move->where, [&node, move](const Reply &reply) {
        if (reply.status == KERN_SUCCESS) {
            move->child = reply.rights.front();
        }
        const auto found = node.tasks.find(move->parent);
        if (found == node.tasks.end() || node.running(found->second->own_right()) == nullptr) {
            give_up(node, move);
        } else if (reply.status != KERN_SUCCESS) {
            fail(node, move, reply.status, "no process can be made there");
        } else {
            if ((move->request.args[1] & NORMA_MIGRATE_PRECOPY) != 0) {
                copy_ahead(node, move->parent, move->child, [&node, move] { begin_to_gather(node, move); });
            } else {
                begin_to_gather(node, move);
            }
        }
    });
}

} // namespace

void op_task_migrate(Node &node, const Request &request, Done done) {
    auto *parent = node.running(request.target);
    auto status = parent == nullptr || parent->moving ? KERN_INVALID_TASK : check_node(node, request.args[0]);
    if (status == KERN_SUCCESS && request.args[1] > NORMA_MIGRATE_PRECOPY) {
        status = KERN_INVALID_ARGUMENT;
    }
    if (status != KERN_SUCCESS || request.args[0] == node.self) {
        done(status_reply(status));
        return;
    }
    if (const auto why = obstacle(*parent); !why.empty()) {
        log_why(*parent, request.args[0], why);
        done(reply_with(KERN_NOT_SUPPORTED, why));
        return;
    }
    parent->moving = true;
    prepare(node,
            std::make_shared<Migration>(Migration{.parent = parent->id,
                                                  .where = static_cast<dsm::NodeId>(request.args[0]),
                                                  .request = request,
                                                  .done = std::move(done),
                                                  .deadline = {},
                                                  .child = {},
                                                  .moved = {},
                                                  .names = {},
                                                  .receivers = {},
                                                  .shared_files = parent->open_files != 0,
                                                  .registers = 0,
                                                  .process = {}}),
            *parent);
}

namespace {

// The task that is to go on here, as its parent's node says; or null with the reply already given.
Task *awaited(Node &node, const Request &request, const Done &done) {
    auto *task = node.running(request.target);
    if (task == nullptr || task->awaited_by != request.caller.node) {
        done(status_reply(KERN_INVALID_TASK));
        return nullptr;
    }
    return task;
}

} // namespace

void op_give_names(Node &node, const Request &request, Done done) {
    if (const auto *task = awaited(node, request, done)) {
        node.ports.expect(task->id, request.caller.node, request.blob, done);
    }
}

void op_make_room(Node &node, const Request &request, Done done) {
    auto *task = awaited(node, request, done);
    if (task == nullptr) {
        return;
    }
    if (request.args[0] > kMaxCommandBlob / sizeof(std::uint64_t) || request.blob.size() > kMaxCommandBlob) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    node.command(
        *task, Command::make_threads, {request.args[0], request.args[1]},
        [done](const Ack &ack) {
            done(status_reply(ack.error == 0       ? KERN_SUCCESS
                              : ack.error == EXDEV ? KERN_NOT_SUPPORTED
                                                   : KERN_RESOURCE_SHORTAGE));
        },
        -1, request.blob);
}

void take_threads(Task &task, std::uint64_t next_thread, const std::vector<MovedThread> &threads) {
    task.next_thread = next_thread;
    for (const auto &thread : threads) {
        auto &mine = task.threads[thread.number];
        mine.key = thread.key;
        mine.sync_identity = thread.identity;
        mine.stack = thread.stack;
        mine.stack_bytes = thread.stack_bytes;
    }
}

void let_threads_go_on(Node &node, Task &task, std::vector<MovedThread> threads,
                       std::function<void(Task *task, int error)> done) {
    std::vector<std::byte> states;
    for (const auto &thread : threads) {
        const auto state = std::as_bytes(std::span(&thread.state, 1));
        states.insert(states.end(), state.begin(), state.end());
    }
    const auto heard = [&node, id = task.id, threads = std::move(threads), done = std::move(done)](const Ack &ack) {
        const auto found = node.tasks.find(id);
        auto *there = found == node.tasks.end() ? nullptr : found->second.get();
        const bool sound = ack.error == 0 && ack.blob.size() == threads.size() * sizeof(std::uint64_t);
        for (std::size_t i = 0; sound && there != nullptr && i < threads.size(); ++i) {
            std::uint64_t tid = 0;
            std::memcpy(&tid, ack.blob.data() + i * sizeof tid, sizeof tid);
            there->threads.at(threads[i].number).tid = static_cast<pid_t>(tid);
        }
        done(there, sound || ack.error != 0 ? ack.error : EPROTO);
    };
    node.command(task, Command::carry_on, {}, heard, -1, std::move(states));
}

namespace {

void start_threads(Node &node, Task &task, const MovedTask &moved, const Done &done) {
    let_threads_go_on(node, task, moved.threads, [&node, lazy = moved.lazy, done](Task *there, int error) {
        if (error != 0 && there != nullptr) {
            log_error("threads that have moved here cannot go on: {}", std::strerror(error));
            node.kill_task(*there, [] {}); // the parent they could go back to is gone
        }
        if (error == 0 && !lazy && there != nullptr) {
            node.following.begin(*there);
        }
        done(status_reply(error == 0 ? KERN_SUCCESS : KERN_FAILURE));
    });
}

} // namespace

void op_carry_on(Node &node, const Request &request, Done done) {
    auto *task = take_place(node, request, done);
    if (task == nullptr) {
        return;
    }
    const auto moved = decode_moved_task(request.blob, node.count);
    if (!moved) {
        node.kill_task(*task, [] {});
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    take_threads(*task, moved->next_thread, moved->threads);
    for (const auto been : moved->been) {
        task->been.set(been);
    }
    if (moved->child_node < node.count) {
        task->child_node = static_cast<dsm::NodeId>(moved->child_node);
    }
    node.ports.arrive(task->id, [&node, id = task->id, moved = *moved, done] {
        const auto found = node.tasks.find(id);
        if (found == node.tasks.end()) {
            done(status_reply(KERN_FAILURE));
            return;
        }
        node.tell_of_exceptions(*found->second);
        start_threads(node, *found->second, moved, done);
    });
}

} // namespace norma::rt
