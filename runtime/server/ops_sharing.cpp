// SPDX-License-Identifier: BSD-3-Clause
// Tables that tasks share (sharing.hpp). A change is made in two steps, at the home of the group, in its turn: every
// member prepares it, and may refuse; if nobody does, every member commits it. Then it is answered, so whoever has made
// it knows that all have it. Members that have died, or whose node has, have no say.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <cerrno>

namespace norma::rt {

namespace {

constexpr std::uint64_t kOtherError = EIO; // a node or task that does not do as it should

std::uint64_t table_number(Table table) {
    return static_cast<std::uint64_t>(table);
}

std::uint64_t error_in(const Reply &reply) {
    switch (reply.status) {
    case KERN_SUCCESS:
        return reply.vals[1];
    case KERN_INVALID_TASK:
    case KERN_NODE_DOWN:
        return 0;
    case KERN_OPERATION_TIMED_OUT:
        return ETIMEDOUT;
    default:
        return kOtherError;
    }
}

struct Change {
    GroupId group;
    Table table;
    TaskId asker;
    std::vector<std::byte> what;
    Done done;
};
using SharedChange = std::shared_ptr<const Change>;

// What the members have said so far; when the last one has, `done` gets an error if any has refused, or what was there
// before the change, as the one says who has asked for it.
struct Poll {
    explicit Poll(Done finish) : done(std::move(finish)) {}
    std::size_t open = 1; // 1: not all have been asked
    Reply outcome;
    Done done;

    void count() {
        if (--open == 0) {
            done(std::move(outcome));
        }
    }
};

void ask_members(Node &node, const Change &change, TableStep step, Done done) {
    const auto poll = std::make_shared<Poll>(std::move(done));
    const auto members = node.groups.find(change.group)->members; // a copy: an answer may end some
    for (const auto &[id, member] : members) {
        Request request;
        request.op = Op::table_step;
        request.target = member;
        request.args = {table_number(change.table), static_cast<std::uint64_t>(step)};
        if (step == TableStep::prepare) {
            request.blob = change.what;
        }
        ++poll->open;
        // Who has prepared it will commit it, so that has no deadline.
        node.router.call(
            node_of(id), std::move(request),
            [poll, asked_for = id == change.asker](const Reply &reply) {
                if (const auto error = error_in(reply); error != 0) {
                    poll->outcome.vals[1] = error;
                } else if (asked_for) {
                    poll->outcome.blob = reply.blob;
                }
                poll->count();
            },
            step != TableStep::commit);
    }
    poll->count();
}

void finish(Node &node, const SharedChange &change, Reply reply) {
    node.groups.end_turn(change->group);
    change->done(std::move(reply));
}

void make_change(Node &node, const SharedChange &change) {
    ask_members(node, *change, TableStep::prepare, [&node, change](const Reply &prepared) {
        if (prepared.vals[1] != 0) {
            // Not waited for: whoever does not answer is asked for the next change after it.
            ask_members(node, *change, TableStep::drop, [](const Reply &) {});
            finish(node, change, prepared);
            return;
        }
        ask_members(node, *change, TableStep::commit,
                    [&node, change](Reply made) { finish(node, change, std::move(made)); });
    });
}

// Of a task that is in no group, or whose group has ended with its home.
void change_alone(Node &node, TaskId id, Table table, const std::vector<std::byte> &change, Done done) {
    const auto task = node.tasks.find(id);
    if (task == node.tasks.end()) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    Request request;
    request.op = Op::table_step;
    request.target = task->second->own_right();
    request.args = {table_number(table), static_cast<std::uint64_t>(TableStep::make)};
    request.blob = change;
    node.router.call(node.self, std::move(request), std::move(done));
}

// A task that joins a group begins with what a member has.
struct Entry {
    GroupId group;
    Table table;
    Right member, newcomer;
    Done done;
};
using SharedEntry = std::shared_ptr<const Entry>;

void finish(Node &node, const SharedEntry &entry, const Reply &reply) {
    node.groups.end_turn(entry->group);
    entry->done(reply);
}

void hand_over(Node &node, const SharedEntry &entry, std::vector<std::byte> content) {
    Request request;
    request.op = Op::table_join;
    request.target = entry->newcomer;
    request.args = {table_number(entry->table), entry->group};
    request.blob = std::move(content);
    node.router.call(node_of(entry->newcomer.task), std::move(request), [&node, entry](const Reply &reply) {
        if (reply.status == KERN_SUCCESS && reply.vals[1] == 0) {
            node.groups.add(entry->group, entry->newcomer);
        }
        finish(node, entry, reply);
    });
}

void let_in(Node &node, const SharedEntry &entry) {
    Request request;
    request.op = Op::table_read;
    request.target = entry->member;
    request.args[0] = table_number(entry->table);
    node.router.call(node_of(entry->member.task), std::move(request), [&node, entry](Reply reply) {
        if (reply.status == KERN_SUCCESS && reply.vals[1] == 0) {
            hand_over(node, entry, std::move(reply.blob));
        } else {
            finish(node, entry, reply);
        }
    });
}

// The task that a request is about, if it is one of tables; else null with the reply already given.
Task *target_of(Node &node, const Request &request, const Done &done) {
    auto *task = node.running(request.target);
    const bool good = request.args[0] < kTables && request.blob.size() <= kMaxCommandBlob;
    if (task == nullptr || !good) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return nullptr;
    }
    return task;
}

Reply reply_of(const Ack &ack) {
    if (ack.error == ESRCH) {
        return status_reply(KERN_INVALID_TASK);
    }
    auto reply = errno_reply(ack.error);
    reply.blob = ack.blob;
    return reply;
}

} // namespace

void join_group(Node &node, const Right &member, Table table, const Right &newcomer, Done done) {
    auto *task = node.running(member);
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    auto &group = task->groups.at(table_number(table));
    if (group == 0) {
        group = node.groups.make(table, member);
    }
    Request request;
    request.op = Op::group_join;
    request.args[0] = group;
    request.blob = encode(std::vector{member, newcomer});
    node.router.call(home_of_group(group), std::move(request), std::move(done));
}

void Node::leave_groups(const Task &task) {
    for (const auto group : task.groups) {
        if (group != 0) {
            Request request;
            request.op = Op::group_left;
            request.args = {group, task.id};
            router.tell(home_of_group(group), std::move(request));
        }
    }
}

// Groups with their home there are no more: each member goes on with what it has.
void Node::end_groups_of(dsm::NodeId home) {
    groups.node_down(home);
    for (auto &[id, task] : tasks) {
        for (std::size_t table = 0; table < kTables; ++table) {
            auto &group = task->groups.at(table);
            if (group != 0 && home_of_group(group) == home) {
                group = 0;
                command(*task, Command::table_step, {table, static_cast<std::uint64_t>(TableStep::drop)},
                        [](const Ack &) {});
            }
        }
    }
}

void op_table_change(Node &node, const Request &request, Done done) {
    const auto task = node.tasks.find(request.caller.task);
    if (task == node.tasks.end() || request.args[0] >= kTables) {
        done(status_reply(task == node.tasks.end() ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    const auto table = static_cast<Table>(request.args[0]);
    const auto group = task->second->groups.at(request.args[0]);
    if (group == 0) {
        change_alone(node, task->first, table, request.blob, std::move(done));
        return;
    }
    Request change;
    change.op = Op::group_change;
    change.caller = request.caller;
    change.args[0] = group;
    change.blob = request.blob;
    node.router.call(
        home_of_group(group), std::move(change),
        [&node, id = task->first, table, what = request.blob, done](Reply reply) {
            if (reply.status == KERN_NODE_DOWN) {
                change_alone(node, id, table, what, done);
            } else {
                done(std::move(reply));
            }
        },
        false);
}

void op_group_change(Node &node, const Request &request, Done done) {
    const auto group = request.args[0];
    if (!node.groups.has_member(group, request.caller.task) || request.blob.size() > kMaxCommandBlob) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto change = std::make_shared<const Change>(Change{.group = group,
                                                              .table = node.groups.find(group)->table,
                                                              .asker = request.caller.task,
                                                              .what = request.blob,
                                                              .done = std::move(done)});
    node.groups.in_turn(group, [&node, change] { make_change(node, change); });
}

void op_group_join(Node &node, const Request &request, Done done) {
    const auto group = request.args[0];
    const auto rights = decode_rights(request.blob, 2);
    const auto is_task = [&node](const Right &right) {
        return right.kind == Right::Kind::task && node_of(right.task) < node.count;
    };
    if (!rights || !std::ranges::all_of(*rights, is_task) || !node.groups.has_member(group, rights->front().task)) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto entry = std::make_shared<const Entry>(Entry{.group = group,
                                                           .table = node.groups.find(group)->table,
                                                           .member = rights->front(),
                                                           .newcomer = rights->back(),
                                                           .done = std::move(done)});
    node.groups.in_turn(group, [&node, entry] { let_in(node, entry); });
}

void op_group_left(Node &node, const Request &request, Done done) {
    if (node_of(request.args[1]) == request.caller.node) {
        node.groups.leave(request.args[0], request.args[1]);
    }
    done(status_reply(KERN_SUCCESS));
}

void op_table_read(Node &node, const Request &request, Done done) {
    if (auto *task = target_of(node, request, done)) {
        node.command(*task, Command::table_read, {request.args[0]},
                     [done = std::move(done)](const Ack &ack) { done(reply_of(ack)); });
    }
}

void op_table_join(Node &node, const Request &request, Done done) {
    auto *newcomer = target_of(node, request, done);
    if (newcomer == nullptr) {
        return;
    }
    if (const auto home = home_of_group(request.args[1]);
        home >= node.count || !node.router.may_speak_for(request.caller.node, home)) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto joined = [&node, request, done](const Ack &ack) {
        const auto task = node.tasks.find(request.target.task);
        if (ack.error == 0 && task != node.tasks.end()) {
            task->second->groups.at(request.args[0]) = request.args[1];
        }
        done(reply_of(ack));
    };
    node.command(*newcomer, Command::table_join, {request.args[0]}, joined, -1, request.blob);
}

void op_table_step(Node &node, const Request &request, Done done) {
    if (auto *task = target_of(node, request, done)) {
        node.command(
            *task, Command::table_step, {request.args[0], request.args[1]},
            [done = std::move(done)](const Ack &ack) { done(reply_of(ack)); }, -1, request.blob);
    }
}

} // namespace norma::rt
