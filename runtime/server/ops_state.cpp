// SPDX-License-Identifier: BSD-3-Clause
// What threads and tasks are asked about, and told, while they live: their registers, and to stop waiting.
#include "runtime/server/ops.hpp"
#include "runtime/thread_state.hpp"

#include <cstring>
#include <memory>

namespace norma::rt {

namespace {

// The thread of a request that may not be about its caller, or null with the reply already given.
Thread *other_thread(Node &node, const Request &request, Task *&task, const Done &done) {
    auto *thread = target_thread(node, request, task, done);
    if (thread != nullptr && thread->sync_identity == request.caller.thread) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return nullptr;
    }
    return thread;
}

std::vector<std::byte> state_before_start(const Thread &thread, std::uint64_t flavor) {
    std::vector<std::byte> state = thread.registers;
    state.resize(state_bytes(flavor));
    if (flavor == NORMA_THREAD_ENTRY) {
        const std::uint64_t entry[] = {thread.entry, thread.argument, thread.entry == 0 ? 0 : thread.stack_bytes};
        static_assert(sizeof entry == sizeof(norma_thread_entry_data_t));
        std::memcpy(state.data(), entry, sizeof entry);
    }
    return state;
}

// KERN_INVALID_ARGUMENT: no such flavor at this time of the thread's life.
std::int32_t check_flavor(const Thread &thread, std::uint64_t flavor) {
    if (state_bytes(flavor) == 0 || (flavor == x86_FLOAT_STATE64 && thread.tid == 0)) {
        return KERN_INVALID_ARGUMENT;
    }
    return flavor == NORMA_THREAD_ENTRY && thread.tid != 0 ? KERN_NOT_SUPPORTED : KERN_SUCCESS;
}

} // namespace

void op_thread_get_state(Node &node, const Request &request, Done done) {
    Task *task = nullptr;
    const auto *thread = other_thread(node, request, task, done);
    if (thread == nullptr) {
        return;
    }
    const auto flavor = request.args[0];
    Reply reply = status_reply(check_flavor(*thread, flavor));
    if (reply.status != KERN_SUCCESS || thread->tid == 0) {
        reply.blob = reply.status == KERN_SUCCESS ? state_before_start(*thread, flavor) : reply.blob;
        done(std::move(reply));
        return;
    }
    node.command(
        *task, Command::get_state, {static_cast<std::uint64_t>(thread->tid), flavor}, [flavor, done](const Ack &ack) {
            Reply told = status_reply(thread_status(ack));
            told.blob = ack.blob;
            done(told.status == KERN_SUCCESS && ack.blob.size() != state_bytes(flavor) ? status_reply(KERN_FAILURE)
                                                                                       : std::move(told));
        });
}

void op_thread_set_state(Node &node, const Request &request, Done done) {
    Task *task = nullptr;
    auto *thread = other_thread(node, request, task, done);
    if (thread == nullptr) {
        return;
    }
    const auto flavor = request.args[0];
    const auto status = valid_state(flavor, request.blob) ? check_flavor(*thread, flavor) : KERN_INVALID_ARGUMENT;
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
    } else if (thread->tid != 0) {
        node.command(
            *task, Command::set_state, {static_cast<std::uint64_t>(thread->tid), flavor},
            [done](const Ack &ack) { done(status_reply(thread_status(ack))); }, -1, request.blob);
    } else if (flavor == NORMA_THREAD_ENTRY) {
        const auto state = state_from<norma_thread_entry_data_t>(request.blob);
        thread->entry = reinterpret_cast<std::uint64_t>(state.entry);
        thread->argument = reinterpret_cast<std::uint64_t>(state.argument);
        thread->stack_bytes = state.stack_size;
        thread->registers.clear();
        done(status_reply(KERN_SUCCESS));
    } else {
        thread->entry = thread->argument = thread->stack_bytes = 0;
        thread->registers = request.blob;
        done(status_reply(KERN_SUCCESS));
    }
}

// The system call it is in comes first. The thread is stopped for that, so a norma call that it has begun has been
// sent; its request has been read when the other messages that came along have been, and is then broken off wherever it
// waits.
void op_thread_abort(Node &node, const Request &request, Done done) {
    Task *task = nullptr;
    const auto *thread = other_thread(node, request, task, done);
    if (thread == nullptr) {
        return;
    }
    if (thread->tid == 0) {
        done(status_reply(KERN_SUCCESS));
        return;
    }
    const auto tid = static_cast<std::uint64_t>(thread->tid);
    node.command(*task, Command::abort_call, {tid}, [&node, identity = thread->sync_identity, done](const Ack &ack) {
        if (ack.error != 0) {
            done(status_reply(thread_status(ack)));
            return;
        }
        node.loop.at(Clock::now(), [&node, identity, done] {
            auto open = std::make_shared<unsigned>(node.count);
            for (dsm::NodeId home = 0; home < node.count; ++home) {
                Request abort;
                abort.op = Op::abort_waits;
                abort.args = {identity, static_cast<std::uint64_t>(KERN_ABORTED)};
                node.router.call(home, std::move(abort), [open, done](const Reply &) {
                    if (--*open == 0) {
                        done(status_reply(KERN_SUCCESS));
                    }
                });
            }
        });
    });
}

void op_abort_waits(Node &node, const Request &request, Done done) {
    const bool withdrawn = static_cast<std::int32_t>(request.args[1]) == kWithdrawn;
    const auto status = withdrawn ? kWithdrawn : KERN_ABORTED;
    node.sync.abort(request.args[0], status);
    node.abort_waits(request.args[0], status);
    node.ports.abort(request.args[0], status);
    done(status_reply(KERN_SUCCESS));
}

// A thread that starts with registers waits for them inside the library.
void Node::thread_started(Task &task, std::uint64_t number, const Done &done) {
    auto &thread = task.threads.at(number);
    if (thread.registers.empty()) {
        done(status_reply(KERN_SUCCESS));
        return;
    }
    command(
        task, Command::set_state, {static_cast<std::uint64_t>(thread.tid), x86_THREAD_STATE64},
        [done](const Ack &ack) { done(status_reply(thread_status(ack))); }, -1, std::exchange(thread.registers, {}));
}

} // namespace norma::rt
