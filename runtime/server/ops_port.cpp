// SPDX-License-Identifier: BSD-3-Clause
// Ports and messages, as tasks ask for them. A task's names are on its own node, so calls about another task's go
// there; what a task sends and receives begins and ends with its own names.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <algorithm>

namespace norma::rt {

namespace {

PortService::Waiter waiter_of(const Request &request) {
    return {.task = request.caller.task,
            .channel = request.caller.channel,
            .thread = request.caller.thread,
            .token = request.caller.token};
}

// Lets the names of the target do something, and lets go of what they then let go of.
template <class Act> void with_names(Node &node, const Request &request, const Done &done, Act act) {
    auto *task = node.running(request.target);
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    Reply reply;
    Letting gone;
    reply.status = act(task->names, name_in(request.args[0]), gone, reply.vals[0]);
    node.ports.let_go(gone);
    done(reply);
}

} // namespace

void op_port_allocate(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    auto name = name_in(request.args[1]);
    const auto kind = name_in(request.args[0]);
    auto reply = status_reply(node.ports.allocate(task->id, kind, name));
    reply.vals[0] = name;
    done(reply);
}

void op_port_deallocate(Node &node, const Request &request, Done done) {
    with_names(node, request, done, [](NameSpace &names, std::uint32_t name, Letting &gone, std::uint64_t &) {
        return names.deallocate(name, gone);
    });
}

void op_port_remove(Node &node, const Request &request, Done done) {
    with_names(node, request, done, [](NameSpace &names, std::uint32_t name, Letting &gone, std::uint64_t &) {
        return names.destroy(name, gone);
    });
}

void op_port_mod_refs(Node &node, const Request &request, Done done) {
    const auto kind = name_in(request.args[1]);
    const auto delta = static_cast<std::int32_t>(request.args[2]);
    with_names(node, request, done, [&](NameSpace &names, std::uint32_t name, Letting &gone, std::uint64_t &) {
        return names.mod_refs(name, kind, delta, gone);
    });
}

void op_port_get_refs(Node &node, const Request &request, Done done) {
    const auto kind = name_in(request.args[1]);
    with_names(node, request, done, [&](NameSpace &names, std::uint32_t name, Letting &, std::uint64_t &value) {
        const auto *entry = names.find(name);
        value = entry == nullptr ? 0 : NameSpace::refs(*entry, kind);
        return kind > MACH_PORT_RIGHT_DEAD_NAME ? KERN_INVALID_VALUE
               : entry == nullptr               ? KERN_INVALID_NAME
                                                : KERN_SUCCESS;
    });
}

void op_port_type(Node &node, const Request &request, Done done) {
    with_names(node, request, done, [](NameSpace &names, std::uint32_t name, Letting &, std::uint64_t &value) {
        value = names.types(name);
        return value == MACH_PORT_TYPE_NONE ? KERN_INVALID_NAME : KERN_SUCCESS;
    });
}

void op_port_insert(Node &node, const Request &request, Done done) {
    const auto to = node.tasks.at(request.caller.task)->right(name_in(request.args[0]));
    const auto name = name_in(request.args[1]);
    if (to.kind != Right::Kind::task || !MACH_PORT_VALID(name)) {
        done(status_reply(to.kind != Right::Kind::task ? KERN_INVALID_TASK : KERN_INVALID_VALUE));
        return;
    }
    node.ports.pass(request.caller.task, name_in(request.args[2]), name_in(request.args[3]), to, name,
                    [done](Reply reply) {
                        const bool has_none = reply.status == KERN_INVALID_NAME || reply.status == KERN_INVALID_RIGHT;
                        reply.status = has_none ? KERN_INVALID_CAPABILITY : reply.status;
                        done(std::move(reply));
                    });
}

// The other task's node passes the right on to the caller, who is named to it.
void op_port_extract(Node &node, const Request &request, Done done) {
    const auto &caller = *node.tasks.at(request.caller.task);
    const auto from = caller.right(name_in(request.args[0]));
    if (from.kind != Right::Kind::task) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    auto take = request_for(Op::port_take, from);
    take.args = {request.args[1], request.args[2]};
    take.blob = encode(Carried{.right = caller.right(kNameTaskSelf)});
    node.call_for(request.caller, std::move(take), std::move(done));
}

void op_port_take(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    const auto to = decode_carried(request.blob);
    if (task == nullptr || !to || to->right.kind != Right::Kind::task || node_of(to->right.task) >= node.count) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    if (request.args[2] != 0) {
        node.ports.hand(task->names.slot(request.args[2]).right, to->right, done);
        return;
    }
    node.ports.pass(task->id, name_in(request.args[0]), name_in(request.args[1]), to->right, MACH_PORT_NULL, done);
}

void op_port_ask(Node &node, const Request &request, Done done) {
    if (request.args[1] != MACH_NOTIFY_NO_SENDERS && request.args[1] != MACH_NOTIFY_DEAD_NAME) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    node.ports.request_notification(request, done);
}

void op_msg_send(Node &node, const Request &request, Done done) {
    node.ports.send(waiter_of(request), request.blob, static_cast<std::int64_t>(request.args[0]), done);
}

void op_msg_receive(Node &node, const Request &request, Done done) {
    node.ports.receive(waiter_of(request), name_in(request.args[1]), request.args[2], request.args[3] != 0,
                       static_cast<std::int64_t>(request.args[0]), done,
                       request.args[4] != 0 ? Trailer::sender : Trailer::least);
}

} // namespace norma::rt
