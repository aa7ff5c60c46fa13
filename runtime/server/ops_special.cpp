// SPDX-License-Identifier: BSD-3-Clause
// Ports that a task hands on to its children, and the name servers of the nodes.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

namespace norma::rt {

namespace {

// The name server that the arguments say, or kind none.
Right server_of(const Node &node, const Task &caller, const Request &request) {
    if (request.args[0] != MACH_PORT_DEAD) {
        const auto right = caller.right(name_in(request.args[0]));
        return right.kind == Right::Kind::names ? right : Right{};
    }
    return request.args[3] < node.count ? name_server(static_cast<dsm::NodeId>(request.args[3])) : Right{};
}

} // namespace

void op_special_get(Node &node, const Request &request, Done done) {
    const auto &caller = *node.tasks.at(request.caller.task);
    const auto of = caller.right(name_in(request.args[0]));
    if (of.kind != Right::Kind::task || !is_slot(request.args[1])) {
        done(status_reply(of.kind != Right::Kind::task ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    auto take = request_for(Op::port_take, of);
    take.args[2] = request.args[1];
    take.blob = encode(Carried{.right = caller.right(kNameTaskSelf)});
    node.call_for(request.caller, std::move(take), std::move(done));
}

void op_special_set(Node &node, const Request &request, Done done) {
    const auto of = node.tasks.at(request.caller.task)->right(name_in(request.args[0]));
    if (of.kind != Right::Kind::task || !is_slot(request.args[1])) {
        done(status_reply(of.kind != Right::Kind::task ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    const auto port = node.tasks.at(request.caller.task)->right(name_in(request.args[2]));
    if (request.args[1] == kSlotSample && request.args[2] != MACH_PORT_NULL && port.kind != Right::Kind::port) {
        done(status_reply(KERN_INVALID_CAPABILITY));
        return;
    }
    node.ports.set_slot(request.caller.task, name_in(request.args[2]), of, static_cast<std::uint32_t>(request.args[1]),
                        done);
}

void op_name_set(Node &node, const Request &request, Done done) {
    const auto server = server_of(node, *node.tasks.at(request.caller.task), request);
    if (server.kind == Right::Kind::none) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    node.ports.set_service(request.caller.task, name_in(request.args[1]), server, request.blob, request.args[2] != 0,
                           done);
}

void op_name_get(Node &node, const Request &request, Done done) {
    const auto &caller = *node.tasks.at(request.caller.task);
    const auto server = server_of(node, caller, request);
    if (server.kind == Right::Kind::none) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    auto find = request_for(Op::name_find, server);
    find.blob = encode(NamedService{.right = {.right = caller.right(kNameTaskSelf)}, .name = request.blob});
    node.call_for(request.caller, std::move(find), std::move(done));
}

} // namespace norma::rt
