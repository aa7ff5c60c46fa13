// SPDX-License-Identifier: BSD-3-Clause
// clone: a child that shares memory with its parent or has a copy of all of it, is known to its parent's home, and runs
// a function on a stack that its parent has chosen. Nothing runs before the home knows of it, so no end is missed.
#include "runtime/server/ops.hpp"
#include "runtime/sockets.hpp"

#include "norma/clone.h"

#include <cerrno>

namespace norma::rt {

namespace {

constexpr std::uint64_t kSignalMask = 0xff;
constexpr std::uint64_t kFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_PID;

// A child on its way.
struct Birth {
    Birth(Kin what, dsm::NodeId node, const Request &request) : kin(what), where(node), asked(request) {}
    Birth(const Birth &) = delete;
    Birth &operator=(const Birth &) = delete;
    ~Birth() { close_if_open(parcel); }

    Kin kin;
    dsm::NodeId where;
    Request asked;
    int parcel = -1;   // its open files, if they are the parent's own and it is on the same node; or
    TableId files = 0; // those of its parent, if that shares them
    Right child{};
};
using SharedBirth = std::shared_ptr<Birth>;

// Below the top there must be memory that the child will have, too.
std::int32_t check_clone(const Node &node, const Task &parent, const Request &request) {
    const auto &[flags, where, entry, top, argument, unused] = request.args;
    if ((flags & ~(kFlags | kSignalMask)) != 0 || !is_signal(flags & kSignalMask) || entry == 0 || top == 0 ||
        request.blob.size() > kMaxCommandBlob || ((flags & CLONE_FILES) != 0 && parent.open_files == 0)) {
        return KERN_INVALID_ARGUMENT;
    }
    if (parent.map.check_mapped((top - 1) / kMapPage * kMapPage, kMapPage) != KERN_SUCCESS) {
        return KERN_INVALID_ARGUMENT;
    }
    return check_node(node, where);
}

void tell_home_of_parent(Node &node, Op op, const Birth &birth, Done done) {
    Request request;
    request.op = op;
    put_kin(request, birth.kin);
    request.args[4] = birth.where;
    node.router.call(home_of(birth.kin.parent), std::move(request), std::move(done));
}

// Whatever has failed, there is no child, and there was none.
void give_up(Node &node, const Birth &birth, const Reply &why, const Done &done) {
    tell_home_of_parent(node, Op::child_unborn, birth, [](const Reply &) {});
    abandon(node, birth.child);
    auto reply = status_reply(why.status);
    reply.vals[0] = why.vals[0];
    done(reply);
}

void start(Node &node, const SharedBirth &birth, const Done &done) {
    if (const auto child = node.tasks.find(birth->child.task); child != node.tasks.end()) {
        child->second->parcel = std::exchange(birth->parcel, -1);
    }
    Request request;
    request.op = Op::clone_start;
    request.target = birth->child;
    request.args = {birth->asked.args[2], birth->asked.args[4], birth->asked.args[3]};
    request.blob = birth->asked.blob;
    node.router.call(birth->where, std::move(request), [&node, birth, done](const Reply &reply) {
        if (reply.status != KERN_SUCCESS) {
            give_up(node, *birth, reply, done);
            return;
        }
        Reply born;
        born.vals[0] = static_cast<std::uint64_t>(birth->kin.pid);
        done(born);
    });
}

// Of a step that tells of what has failed by an errno value, as a clone tells of it.
Reply failure_of(const Reply &step) {
    auto why = status_reply(step.status == KERN_SUCCESS ? KERN_RESOURCE_SHORTAGE : step.status);
    why.vals[0] = step.vals[1];
    return why;
}

// The tables that it shares with its parent, from this one on; then it starts.
void join_groups(Node &node, const SharedBirth &birth, std::size_t table, const Done &done) {
    while (table < kTables && (birth->asked.args[0] & kTableFlags.at(table)) == 0) {
        ++table;
    }
    if (table == kTables) {
        start(node, birth, done);
        return;
    }
    join_group(node, birth->asked.target, static_cast<Table>(table), birth->child,
               [&node, birth, table, done](const Reply &joined) {
                   if (joined.status == KERN_SUCCESS && joined.vals[1] == 0) {
                       join_groups(node, birth, table + 1, done);
                   } else {
                       give_up(node, *birth, failure_of(joined), done);
                   }
               });
}

void make_known(Node &node, const SharedBirth &birth, const Done &done) {
    tell_home_of_parent(node, Op::child_born, *birth, [&node, birth, done](const Reply &known) {
        if (known.status == KERN_SUCCESS) {
            join_groups(node, birth, 0, done);
        } else {
            give_up(node, *birth, known, done);
        }
    });
}

void give_files(Node &node, const SharedBirth &birth, const Done &done) {
    if (birth->files == 0) {
        make_known(node, birth, done);
        return;
    }
    Request request;
    request.op = Op::files_enter;
    request.target = birth->child;
    request.args = {birth->files, (birth->asked.args[0] & CLONE_FILES) == 0 ? 1U : 0U};
    node.router.call(birth->where, std::move(request), [&node, birth, done](const Reply &reply) {
        if (reply.status == KERN_SUCCESS && reply.vals[1] == 0) {
            make_known(node, birth, done);
        } else {
            give_up(node, *birth, failure_of(reply), done);
        }
    });
}

void bear(Node &node, TaskId parent, TaskImage image, const SharedBirth &birth, const Done &done) {
    make_child(node, parent, std::move(image), birth->kin, birth->where, [&node, birth, done](const Reply &made) {
        if (made.status != KERN_SUCCESS) {
            done(made);
            return;
        }
        birth->child = made.rights.front();
        birth->kin.identity = static_cast<Pid>(made.vals[0]);
        birth->kin.pid = birth->kin.pid == 0 ? birth->kin.identity : birth->kin.pid;
        give_files(node, birth, done);
    });
}

// A copy of all memory, whatever its inheritance attributes, which go on to the child.
void copy_memory(Node &node, TaskImage image, std::function<void(std::int32_t status, TaskImage image)> done) {
    std::vector<vm_inherit_t> attributes;
    for (auto &entry : image.entries) {
        attributes.push_back(std::exchange(entry.inheritance, VM_INHERIT_COPY));
    }
    node.inherit(std::move(image),
                 [attributes = std::move(attributes), done = std::move(done)](std::int32_t status, TaskImage copied) {
                     for (std::size_t i = 0; i < copied.entries.size(); ++i) {
                         copied.entries[i].inheritance = attributes[i];
                     }
                     done(status, std::move(copied));
                 });
}

} // namespace

int take_offer(Node &node, const Caller &caller) {
    const auto task = node.tasks.find(caller.task);
    if (caller.node != node.self || task == node.tasks.end()) {
        return -1;
    }
    const auto offer = task->second->offered.extract(caller.channel);
    return offer ? offer.mapped() : -1;
}

void op_clone(Node &node, const Request &request, Done done) {
    const auto *parent = node.running(request.target);
    auto status = check_parent(parent);
    status = status == KERN_SUCCESS ? check_clone(node, *parent, request) : status;
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    const auto flags = request.args[0];
    const auto where = static_cast<dsm::NodeId>(request.args[1]);
    const Kin kin{.pid = (flags & CLONE_PID) != 0 ? parent->kin.pid : 0,
                  .parent = parent->kin.identity,
                  .exit_signal = static_cast<int>(flags & kSignalMask)};
    const auto birth = std::make_shared<Birth>(kin, where, request);
    birth->parcel = take_offer(node, request.caller);
    birth->files = parent->open_files;
    auto image = image_of(node, *parent, true);
    if ((flags & CLONE_VM) != 0) {
        bear(node, parent->id, std::move(image), birth, done);
        return;
    }
    copy_memory(node, std::move(image),
                [&node, id = parent->id, birth, done](std::int32_t copied, TaskImage image_of_child) {
                    if (copied == KERN_SUCCESS) {
                        bear(node, id, std::move(image_of_child), birth, done);
                    } else {
                        done(status_reply(copied));
                    }
                });
}

void op_clone_start(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr || request.blob.size() > kMaxCommandBlob) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    const auto number = task->add_thread(0, node.self);
    node.command(
        *task, Command::clone_start, {request.args[0], request.args[1], request.args[2]},
        [&node, id = task->id, number, done](const Ack &ack) {
            const auto found = node.tasks.find(id);
            if (found == node.tasks.end()) {
                done(status_reply(KERN_INVALID_TASK));
                return;
            }
            auto &live = *found->second;
            close_if_open(std::exchange(live.parcel, -1));
            if (ack.error != 0) {
                node.thread_ended(live, number);
                auto reply = status_reply(KERN_RESOURCE_SHORTAGE);
                reply.vals[0] = static_cast<std::uint64_t>(ack.error);
                done(reply);
                return;
            }
            node.thread_runs(live, number, static_cast<pid_t>(ack.value));
            auto &thread = live.threads.at(number);
            thread.sync_identity = sync_identity(node.self, thread.tid);
            node.thread_started(live, number, done);
        },
        task->parcel, request.blob);
}

} // namespace norma::rt
