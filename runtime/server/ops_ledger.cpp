// SPDX-License-Identifier: BSD-3-Clause
// Ledgers, and what only the holder of the privileged port may do.
#include "runtime/server/keys.hpp"
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

namespace norma::rt {

namespace {

Reply right_reply(const Node &node, const LedgerPtr &ledger) {
    if (!ledger->key().any()) {
        ledger->set_key(draw_key());
    }
    Reply reply;
    reply.rights.push_back(
        {.kind = Right::Kind::ledger, .task = TaskId{node.self} << 48, .thread = ledger->id(), .key = ledger->key()});
    return reply;
}

// The ledger a request names besides its target; null as ledger_of().
LedgerPtr named_ledger(Node &node, const Request &request) {
    const auto named = decode_rights(request.blob, 1);
    return named ? ledger_of(node, named->front()) : nullptr;
}

} // namespace

LedgerPtr ledger_of(Node &node, const Right &right) {
    const bool here = right.kind == Right::Kind::ledger && node_of(right.task) == node.self;
    const auto ledger = here ? node.ledgers.find(right.thread) : nullptr;
    if (ledger != nullptr && (!right.key.any() || ledger->key() != right.key)) {
        ++node.bad_rights;
        return nullptr;
    }
    return ledger;
}

void op_task_ledger(Node &node, const Request &request, Done done) {
    const auto *task = node.running(request.target);
    if (task == nullptr || request.args[0] >= kResources) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    done(right_reply(node, task->ledgers[request.args[0]]));
}

void op_ledger_create(Node &node, const Request &request, Done done) {
    const auto parent = node.ledgers.find(request.target.thread);
    if (parent == nullptr || named_ledger(node, request) == nullptr) {
        done(status_reply(KERN_INVALID_LEDGER));
        return;
    }
    const auto made = node.ledgers.create(parent, request.args[0]);
    done(made == nullptr ? status_reply(KERN_RESOURCE_SHORTAGE) : right_reply(node, made));
}

void op_ledger_transfer(Node &node, const Request &request, Done done) {
    const auto from = node.ledgers.find(request.target.thread), to = named_ledger(node, request);
    const bool known = from != nullptr && to != nullptr && to->parent() == from;
    if (!known || to->granted() >= kNoLimit - request.args[0]) {
        done(status_reply(known ? KERN_INVALID_ARGUMENT : KERN_INVALID_LEDGER));
        return;
    }
    done(status_reply(from->transfer(*to, request.args[0]) ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE));
}

void op_ledger_read(Node &node, const Request &request, Done done) {
    const auto ledger = node.ledgers.find(request.target.thread);
    auto reply = status_reply(ledger == nullptr ? KERN_INVALID_LEDGER : KERN_SUCCESS);
    if (ledger != nullptr) {
        reply.vals = {ledger->balance(), ledger->limit()};
    }
    done(reply);
}

void op_ledger_terminate(Node &node, const Request &request, Done done) {
    const auto ledger = node.ledgers.find(request.target.thread);
    if (ledger == nullptr || ledger->parent() == nullptr) {
        done(status_reply(KERN_INVALID_LEDGER));
        return;
    }
    ledger->terminate();
    done(status_reply(KERN_SUCCESS));
}

void check_privilege(Node &node, const Right &right, std::function<void(std::int32_t)> done) {
    if (right.kind != Right::Kind::host_priv || node_of(right.task) >= node.count) {
        done(KERN_INVALID_SECURITY);
        return;
    }
    node.router.call(node_of(right.task), request_for(Op::host_priv_check, right),
                     [done = std::move(done)](const Reply &reply) { done(reply.status); });
}

void op_host_priv_check(Node & /*its key has been looked at*/, const Request &, Done done) {
    done(status_reply(KERN_SUCCESS));
}

void op_task_set_token(Node &node, const Request &request, Done done) {
    const auto named = decode_rights(request.blob, 1);
    check_privilege(node, named ? named->front() : Right{},
                    [&node, target = request.target, token = request.args[0], done = std::move(done)](auto status) {
                        auto *task = node.running(target);
                        if (status == KERN_SUCCESS && task != nullptr) {
                            task->token = token;
                        }
                        done(status_reply(status == KERN_SUCCESS && task == nullptr ? KERN_INVALID_TASK : status));
                    });
}

void op_host_priv(Node &node, const Request &request, Done done) {
    const auto caller = node.tasks.find(request.caller.task);
    if (caller == node.tasks.end() || !caller->second->first) {
        done(status_reply(KERN_INVALID_SECURITY));
        return;
    }
    if (!node.priv_key.any()) {
        node.priv_key = draw_key();
    }
    Reply reply;
    reply.rights.push_back(
        {.kind = Right::Kind::host_priv, .task = TaskId{node.self} << 48, .thread = 0, .key = node.priv_key});
    done(reply);
}

} // namespace norma::rt
