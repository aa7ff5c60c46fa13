// SPDX-License-Identifier: BSD-3-Clause
// Exceptions: who is told of them, and what becomes of a thread that has raised one (docs/exceptions.md).
#include "runtime/exception.hpp"
#include "runtime/server/ops.hpp"
#include "runtime/thread_state.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <memory>

namespace norma::rt {

namespace {

// An exception on its way through the ports that are to be told of it.
struct Raised {
    PortService::Waiter who;
    std::uint64_t thread; // its number
    Exception exception;
    bool thread_asked = false, task_asked = false;
    Done done;
};
using RaisedPtr = std::shared_ptr<Raised>;

// The kernel knows no holes in the window: what is not mapped there only allows nothing.
std::int64_t access_code(const Task &task, Range window, bool bus_error, std::uint64_t address, std::int64_t code) {
    const auto *region = task.map.region(address);
    const bool mapped = region != nullptr && region->start <= address;
    if (bus_error) {
        return mapped ? KERN_MEMORY_FAILURE : KERN_MEMORY_ERROR;
    }
    return window.contains(address) && !mapped ? KERN_INVALID_ADDRESS : code;
}

// The port that is to be asked next; right none: there is none.
HeldRight next_port(const Task &task, Raised &raised) {
    HeldRight port;
    if (!std::exchange(raised.thread_asked, true)) {
        port = task.names.slot(exception_slot(raised.thread, raised.exception.type));
    }
    if (port.right.kind == Right::Kind::none && !std::exchange(raised.task_asked, true)) {
        port = task.names.slot(exception_slot(0, raised.exception.type));
    }
    return port;
}

void ask_next(Node &node, const RaisedPtr &raised) {
    const auto found = node.tasks.find(raised->who.task);
    const auto port = found == node.tasks.end() ? HeldRight{} : next_port(*found->second, *raised);
    if (port.right.kind == Right::Kind::none) {
        raised->done(status_reply(KERN_FAILURE));
        return;
    }
    const auto &task = *found->second;
    auto message = exception_message(raised->exception, port, task.thread_right(raised->thread), task.own_right());
    node.ports.ask(raised->who, port.right, std::move(message),
                   [&node, raised, port](std::int32_t status, const Message &answer) {
                       if (status == MACH_SEND_INTERRUPTED) {
                           raised->done(status_reply(KERN_ABORTED));
                           return;
                       }
                       auto told = status == MACH_MSG_SUCCESS ? read_exception_reply(answer, port) : std::nullopt;
                       if (!told) {
                           ask_next(node, raised);
                           return;
                       }
                       Reply reply;
                       reply.vals[0] = told->flavor;
                       reply.blob = std::move(told->state);
                       raised->done(std::move(reply));
                   });
}

} // namespace

void op_exception_ports(Node &node, const Request &request, Done done) {
    const auto &caller = *node.tasks.at(request.caller.task);
    const auto of = caller.right(name_in(request.args[0]));
    const bool of_thread = (request.args[2] & kExceptionsOfThread) != 0;
    if (of.kind != (of_thread ? Right::Kind::thread : Right::Kind::task)) {
        done(status_reply(of_thread ? KERN_INVALID_ARGUMENT : KERN_INVALID_TASK));
        return;
    }
    node.ports.change_exceptions(request, name_in(request.args[3]), of, caller.right(kNameTaskSelf), done);
}

// Of a task, or of a thread. When it is done the task's library catches the signals.
void op_exceptions(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (request.target.kind == Right::Kind::task && task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    if (request.target.kind == Right::Kind::thread && target_thread(node, request, task, done) == nullptr) {
        return;
    }
    node.ports.serve_exceptions(request, [&node, target = request.target, done](const Reply &reply) {
        auto *live = node.running(target);
        if (live == nullptr || reply.status != KERN_SUCCESS) {
            done(reply);
            return;
        }
        const auto *thread = live->thread(target.thread);
        if (target.kind == Right::Kind::thread && (thread == nullptr || thread->ended)) { // meanwhile
            Letting gone;
            live->names.thread_ended(target.thread, gone);
            node.ports.let_go(gone);
        }
        node.command(*live, Command::catch_exceptions, {}, [reply, done](const Ack &) { done(reply); });
    });
}

void Node::tell_of_exceptions(Task &task) {
    const auto slots = task.names.slots();
    const bool task_has = std::ranges::any_of(slots, [](const auto &slot) { return is_exception_slot(slot.first); });
    if (task_has || !task.names.slots_of_threads().empty()) {
        command(task, Command::catch_exceptions, {}, [](const Ack &) {});
    }
}

void op_exception_raise(Node &node, const Request &request, Done done) {
    const auto &task = *node.tasks.at(request.caller.task);
    const auto type = request.args[0];
    const auto thread = std::ranges::find_if(task.threads, [&](const auto &entry) {
        return entry.second.sync_identity == request.caller.thread && !entry.second.ended;
    });
    if (thread == task.threads.end() || type == 0 || type >= EXC_TYPES_COUNT ||
        request.blob.size() != state_bytes(x86_THREAD_STATE64) + state_bytes(x86_FLOAT_STATE64)) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto raised = std::make_shared<Raised>();
    raised->who = {
        .task = task.id, .channel = request.caller.channel, .thread = request.caller.thread, .token = task.token};
    raised->thread = thread->first;
    auto &exception = raised->exception;
    exception.type = static_cast<std::uint32_t>(type);
    exception.code = {static_cast<std::int64_t>(request.args[1]), static_cast<std::int64_t>(request.args[2])};
    if (type == EXC_BAD_ACCESS) {
        exception.code[0] =
            access_code(task, node.window.range(), request.args[3] != 0, request.args[2], exception.code[0]);
    }
    const auto split = request.blob.begin() + static_cast<std::ptrdiff_t>(state_bytes(x86_THREAD_STATE64));
    exception.general.assign(request.blob.begin(), split);
    exception.floats.assign(split, request.blob.end());
    raised->done = std::move(done);
    ask_next(node, raised);
}

} // namespace norma::rt
