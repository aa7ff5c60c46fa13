// SPDX-License-Identifier: BSD-3-Clause
// The home of a table of open files: changes happen one after the other, each on all nodes and in all tasks before the
// next. A number that is not free in one of the tasks, for something of the task's own, is tried no further, and the
// next one is.
#include "runtime/server/node.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <cerrno>

namespace norma::rt {

namespace {

constexpr std::size_t kMostTableBytes = 60 * 1024; // go in one record

} // namespace

void FilesService::serve_decide(const Request &request, Done done) {
    const auto change = change_in(request);
    const auto table = request.args[3];
    const auto home = homes_.find(table);
    if (!change || home == homes_.end() || !home->second.nodes[request.caller.node]) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto asker = request.caller.node;
    switch (change->kind) {
    case FileChange::Kind::leave:
        if (node_of(change->subject) == asker) {
            leave(table, change->subject);
        }
        done(errno_reply(0));
        return;
    case FileChange::Kind::open:
        if (change->node != asker) {
            break;
        }
        [[fallthrough]];
    case FileChange::Kind::duplicate:
    case FileChange::Kind::close:
    case FileChange::Kind::set_flags:
        queue(table, [this, table, change = *change, done](bool alive) {
            if (alive) {
                make(table, change, done);
            } else {
                done(status_reply(KERN_INVALID_ARGUMENT));
            }
        });
        return;
    case FileChange::Kind::copy:
    case FileChange::Kind::end:
        break;
    }
    done(status_reply(KERN_INVALID_ARGUMENT));
}

void FilesService::serve_join(const Request &request, Done done) {
    const auto [table, task, other] = std::tuple(request.args[0], request.args[1], request.args[2]);
    const auto asker = request.caller.node;
    if (!homes_.contains(table) || node_of(task) != asker || (other != 0 && home_of_table(other) != asker)) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    queue(table, [this, table = table, task = task, other = other, asker, done](bool alive) {
        if (!alive) {
            done(status_reply(KERN_INVALID_TASK));
            return;
        }
        Reply reply;
        reply.blob = encode(copies_.at(table).table);
        if (reply.blob.size() > kMostTableBytes) {
            finish(table, done, status_reply(KERN_RESOURCE_SHORTAGE));
        } else if (other == 0) {
            homes_.at(table).members.insert(task);
            homes_.at(table).nodes.set(asker);
            finish(table, done, reply);
        } else {
            broadcast(table, {.kind = FileChange::Kind::copy, .subject = other},
                      [this, table, done, reply](Outcome) { finish(table, done, reply); });
        }
    });
}

void FilesService::queue(TableId table, Turn turn) {
    homes_.at(table).waiting.push_back(std::move(turn));
    next(table);
}

void FilesService::next(TableId table) {
    const auto found = homes_.find(table);
    if (found == homes_.end() || found->second.busy) {
        return;
    }
    auto &home = found->second;
    if (!home.waiting.empty()) {
        home.busy = true;
        const auto turn = std::move(home.waiting.front());
        home.waiting.pop_front();
        turn(true);
    } else if (home.members.empty()) {
        home.busy = true;
        end(table);
    }
}

void FilesService::finish(TableId table, const Done &done, const Reply &reply) {
    homes_.at(table).busy = false;
    done(reply);
    next(table);
}

void FilesService::end(TableId table) {
    broadcast(table, {.kind = FileChange::Kind::end}, [this, table](Outcome) {
        const auto home = homes_.extract(table);
        for (const auto &turn : home.mapped().waiting) {
            turn(false);
        }
    });
}

void FilesService::make(TableId table, FileChange change, const Done &done) {
    if (const int error = copies_.at(table).table.decide(change); error != 0) {
        finish(table, done, errno_reply(error));
        return;
    }
    broadcast(table, change, [this, table, change, done](Outcome outcome) {
        if (outcome.error == 0 || !change.makes_file()) {
            finish(table, done, errno_reply(outcome.error, change.number));
            return;
        }
        const FileChange undo{.kind = FileChange::Kind::close, .number = change.number};
        broadcast(table, undo, [this, table, change, done, outcome](Outcome) {
            if (outcome.error != EBUSY || change.exact) {
                finish(table, done, errno_reply(outcome.error));
                return;
            }
            auto again = change;
            const auto free = std::max<std::uint64_t>(outcome.free, change.number + 1);
            again.number = static_cast<std::uint32_t>(std::min<std::uint64_t>(free, kMostFiles));
            make(table, again, done);
        });
    });
}

void FilesService::broadcast(TableId table, const FileChange &change, Agreed done) {
    const auto poll = std::make_shared<Poll>(Poll{.done = std::move(done)});
    dsm::NodeSet nodes; // one may serve for others that have left
    for (dsm::NodeId node = 0; node < node_.count; ++node) {
        if (homes_.at(table).nodes[node]) {
            nodes.set(node_.router.server_of(node));
        }
    }
    for (dsm::NodeId node = 0; node < node_.count; ++node) {
        if (nodes[node]) {
            ++poll->open;
            node_.router.call(node, request_of(Op::files_apply, change, table), [poll](const Reply &reply) {
                const bool down = reply.status == KERN_NODE_DOWN;
                const bool sound = reply.status == KERN_SUCCESS && reply.vals[1] < 4096;
                poll->count(sound ? static_cast<int>(reply.vals[1]) : down ? 0 : EIO, sound ? reply.vals[0] : 0);
            });
        }
    }
    poll->count(0, 0);
}

void FilesService::leave(TableId table, TaskId task) {
    queue(table, [this, table, task](bool alive) {
        if (alive) {
            homes_.at(table).members.erase(task);
            broadcast(table, {.kind = FileChange::Kind::leave, .subject = task}, [this, table](Outcome) {
                finish(
                    table, [](const Reply &) {}, Reply{});
            });
        }
    });
}

} // namespace norma::rt
