// SPDX-License-Identifier: BSD-3-Clause
// Tasks as processes: ids, signals, parents that wait. What is known of a process is at its home (families.hpp); a task
// itself knows what it is to its family, and its node tells the homes when it moves or ends.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <array>

namespace norma::rt {

namespace {

bool is_identity(const Node &node, std::uint64_t value) {
    return value <= INT32_MAX && home_of(static_cast<Pid>(value)) < node.count;
}

Reply value_reply(std::uint64_t value) {
    Reply reply;
    reply.vals[0] = value;
    return reply;
}

void send_signal(Node &node, const Right &task, std::uint64_t signal, Done done) {
    Request request;
    request.op = Op::deliver;
    request.target = task;
    request.args[0] = signal;
    node.router.call(node_of(task.task), std::move(request), std::move(done));
}

// Whoever waits for a child of this process looks again.
void wake_waiters(Node &node, Pid parent) {
    if (auto waiting = node.waits_for_children.extract(parent)) {
        for (const auto &waiter : waiting.mapped()) {
            waiter(status_reply(KERN_SUCCESS));
        }
    }
}

// Of a task that has been teleported away.
Right successor_of(const Node &node, const Right &task) {
    if (const auto left = node.tasks.find(task.task); left != node.tasks.end()) {
        return left->second->successor;
    }
    const auto ended = node.ended.find(task.task);
    return ended == node.ended.end() ? Right{} : ended->second.successor;
}

} // namespace

void put_kin(Request &request, const Kin &kin) {
    request.args[0] = static_cast<std::uint64_t>(kin.identity);
    request.args[1] = static_cast<std::uint64_t>(kin.pid);
    request.args[2] = static_cast<std::uint64_t>(kin.parent);
    request.args[3] = static_cast<std::uint64_t>(kin.exit_signal);
}

std::optional<Kin> kin_in(const Node &node, const Request &request) {
    const auto &args = request.args;
    if (!is_identity(node, args[0]) || args[1] > INT32_MAX || !is_identity(node, args[2]) || !is_signal(args[3])) {
        return std::nullopt;
    }
    return Kin{.identity = static_cast<Pid>(args[0]),
               .pid = static_cast<Pid>(args[1]),
               .parent = static_cast<Pid>(args[2]),
               .exit_signal = static_cast<int>(args[3])};
}

void Node::tell_family(Op op, const Kin &kin, std::uint64_t status, std::vector<std::byte> blob) {
    Request request;
    request.op = op;
    put_kin(request, kin);
    request.args[4] = status;
    request.blob = std::move(blob);
    const auto home = home_of(kin.identity);
    router.tell(home, request);
    if (kin.parent != 0 && home_of(kin.parent) != home) {
        router.tell(home_of(kin.parent), request);
    }
}

void Node::family_news(const Families::News &news) {
    const auto *parent = families.find(news.parent);
    if (parent != nullptr && news.signal != 0) {
        send_signal(*this, parent->where, static_cast<std::uint64_t>(news.signal), [](const Reply &) {});
    }
    wake_waiters(*this, news.parent);
}

void op_process_signal(Node &node, const Request &request, Done done) {
    const auto *process =
        is_identity(node, request.args[0]) ? node.families.find(static_cast<Pid>(request.args[0])) : nullptr;
    if (process == nullptr || !is_signal(request.args[1])) {
        done(status_reply(process == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    send_signal(node, process->where, request.args[1], std::move(done));
}

// A task that is on its way gets its signals where it goes to.
void op_deliver(Node &node, const Request &request, Done done) {
    const auto *task = node.running(request.target);
    const auto successor = successor_of(node, request.target);
    if (task == nullptr && successor.kind == Right::Kind::task) {
        send_signal(node, successor, request.args[0], std::move(done));
        return;
    }
    if (task == nullptr || !is_signal(request.args[0])) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    const auto signal = static_cast<int>(request.args[0]);
    if (signal != 0 && task->is_attached()) {
        node.processes.signal_through(task->pidfd, signal);
    } else if (signal != 0) {
        node.processes.signal(task->pid, signal);
    }
    done(status_reply(KERN_SUCCESS));
}

void op_process_wait(Node &node, const Request &request, Done done) {
    const auto kinds = request.args[1];
    if (kinds > static_cast<std::uint64_t>(Kinds::all)) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto parent = static_cast<Pid>(request.args[3]);
    bool any = false;
    const auto ended =
        node.families.take_ended(parent, static_cast<Pid>(request.args[0]), static_cast<Kinds>(kinds), any);
    if (ended) {
        auto reply = value_reply(static_cast<std::uint64_t>(ended->pid));
        reply.vals[1] = static_cast<std::uint64_t>(ended->status);
        done(reply);
        return;
    }
    if (!any || request.args[2] != 0) {
        done(any ? value_reply(0) : status_reply(KERN_INVALID_VALUE));
        return;
    }
    node.wait_in(node.waits_for_children[parent], -1, request.caller.thread, [&node, request, done](Reply reply) {
        if (reply.status == KERN_SUCCESS) {
            op_process_wait(node, request, done);
        } else {
            done(std::move(reply));
        }
    });
}

void op_process_parent(Node &node, const Request &request, Done done) {
    const auto parent = static_cast<Pid>(request.args[0]);
    if (parent == 0) {
        done(value_reply(kNobody));
        return;
    }
    Request question;
    question.op = Op::process_pid;
    question.args[0] = static_cast<std::uint64_t>(parent);
    node.router.call(home_of(parent), std::move(question), [done](const Reply &reply) {
        done(value_reply(reply.status == KERN_SUCCESS ? reply.vals[0] : kNobody));
    });
}

void op_process_pid(Node &node, const Request &request, Done done) {
    const auto *process =
        is_identity(node, request.args[0]) ? node.families.find(static_cast<Pid>(request.args[0])) : nullptr;
    done(process == nullptr ? status_reply(KERN_INVALID_TASK) : value_reply(static_cast<std::uint64_t>(process->pid)));
}

void op_child_born(Node &node, const Request &request, Done done) {
    const auto kin = kin_in(node, request);
    if (!kin || kin->identity == 0 || request.args[4] >= node.count) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto where = static_cast<dsm::NodeId>(request.args[4]);
    if (node.router.is_down(where)) {
        done(status_reply(KERN_NODE_DOWN));
        return;
    }
    done(status_reply(node.families.add_child(*kin, where) ? KERN_SUCCESS : KERN_INVALID_TASK));
}

void op_child_unborn(Node &node, const Request &request, Done done) {
    if (const auto kin = kin_in(node, request)) {
        node.families.forget_child(kin->parent, kin->identity);
    }
    done(status_reply(KERN_SUCCESS));
}

void op_process_moved(Node &node, const Request &request, Done done) {
    const auto kin = kin_in(node, request);
    const auto rights = decode_rights(request.blob, 1);
    if (!kin || !rights || rights->front().kind != Right::Kind::task ||
        node_of(rights->front().task) != request.caller.node) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    node.families.set_place(kin->identity, rights->front());
    node.families.child_moved(kin->parent, kin->identity, request.caller.node);
    done(status_reply(KERN_SUCCESS));
}

void op_process_ended(Node &node, const Request &request, Done done) {
    const auto kin = kin_in(node, request);
    if (!kin) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    node.families.remove(kin->identity);
    wake_waiters(node, kin->identity);
    const auto status = static_cast<int>(request.args[4]);
    if (const auto news = node.families.child_ended(kin->parent, kin->identity, status)) {
        node.family_news(*news);
    }
    done(status_reply(KERN_SUCCESS));
}

} // namespace norma::rt
