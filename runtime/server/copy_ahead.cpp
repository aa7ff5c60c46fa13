// SPDX-License-Identifier: BSD-3-Clause
// Copies of a task's memory that come to a node before the task does, in rounds while it runs: each has what it has
// written since the one before (docs/migration.md). Copies like those that faults bring: what is written again is
// invalidated, so nothing has to be undone if the task does not come.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"
#include "runtime/node_sets.hpp"

namespace norma::rt {

namespace {

constexpr unsigned kMostRounds = 8;
constexpr std::uint64_t kLittle = 256;       // pages that may be left: faults bring them within milliseconds
constexpr std::size_t kMostStretches = 1000; // of one request; what else there is follows when the task has moved

struct Rounds {
    TaskId parent = 0;
    Right child;
    std::uint64_t before = ~std::uint64_t{0}; // pages that came in the last round
    unsigned left = kMostRounds;
    std::function<void()> done;
};

Request next_round(Node &node, const Task &parent, const Right &child) {
    std::vector<Stretch> stretches;
    for (const auto &shared : node.stretches_of(parent.map.entries())) {
        if (stretches.size() < kMostStretches) {
            stretches.push_back(shared.stretch);
        }
    }
    auto from = parent.been;
    from.set(node.self);
    rpc::Writer writer;
    put_nodes(writer, from);
    put_stretches(writer, stretches);
    Request request;
    request.op = Op::copy_ahead;
    request.target = child;
    request.blob = writer.bytes();
    return request;
}

// It pays as long as each round has less than half of what the one before had: a task that writes as fast as copies
// come would go on for ever.
void go_round(Node &node, const std::shared_ptr<Rounds> &rounds) {
    const auto parent = node.tasks.find(rounds->parent);
    if (parent == node.tasks.end()) {
        rounds->done();
        return;
    }
    node.router.call(node_of(rounds->child.task), next_round(node, *parent->second, rounds->child),
                     [&node, rounds](const Reply &reply) {
                         const auto came = reply.vals[0];
                         const auto before = std::exchange(rounds->before, came);
                         const bool again = reply.status == KERN_SUCCESS && came > kLittle && came < before / 2;
                         if (again && --rounds->left > 0) {
                             go_round(node, rounds);
                         } else {
                             rounds->done();
                         }
                     });
}

} // namespace

void copy_ahead(Node &node, TaskId parent, const Right &child, std::function<void()> done) {
    auto rounds = std::make_shared<Rounds>();
    rounds->parent = parent;
    rounds->child = child;
    rounds->done = std::move(done);
    go_round(node, rounds);
}

void op_copy_ahead(Node &node, const Request &request, Done done) {
    const auto *task = node.running(request.target);
    if (task == nullptr || task->awaited_by != request.caller.node) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    rpc::Reader reader(request.blob);
    dsm::NodeSet from;
    const bool known = get_nodes(reader, node.count, from);
    const auto stretches = get_stretches(reader);
    if (!known || !reader.done()) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    std::vector<SharedStretch> wanted;
    for (const auto &stretch : stretches) {
        wanted.push_back({.stretch = stretch, .pages = 0});
    }
    node.attach_all(std::move(wanted), [&node, id = task->id, from, stretches, done](std::int32_t status) {
        if (status != KERN_SUCCESS) {
            done(status_reply(status));
            return;
        }
        node.following.copy(id, stretches, from, [&node, stretches, done](std::uint64_t pages) {
            for (const auto &stretch : stretches) {
                node.release(stretch);
            }
            Reply reply;
            reply.vals[0] = pages;
            done(reply);
        });
    });
}

} // namespace norma::rt
