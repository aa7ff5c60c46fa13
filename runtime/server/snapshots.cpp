// SPDX-License-Identifier: BSD-3-Clause
// Snapshots, at the home of the memory (docs/snapshots.md). A node that wants some says which stretches, waits until
// nobody writes in any of them, and then asks for the snapshots, which ends the freeze, or gives up. So whatever is
// made of them, on all their homes, is of one moment.
#include "runtime/server/node.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"
#include "runtime/log.hpp"

#include <algorithm>
#include <set>
#include <system_error>

namespace norma::rt {

namespace {

std::vector<Stretch> wanted_by(const Request &request) {
    rpc::Reader reader(request.blob);
    auto stretches = get_stretches(reader);
    if (!reader.done()) {
        stretches.clear();
    }
    return stretches;
}

// Whose the bytes of snapshots are.
LedgerMarks payers_in(const Request &request) {
    rpc::Reader reader(request.blob);
    LedgerMarks marks;
    return get_marks(reader, marks) && reader.done() ? marks : LedgerMarks{};
}

// What a node may ask to be frozen: it maps it, so it stays in use until the request has been dealt with.
bool may_freeze(const Node &node, dsm::NodeId asker, const Stretch &stretch) {
    if (node.rehoming.home_of(stretch.object) != node.self || !node.in_use(stretch)) {
        return false;
    }
    const auto &use = node.objects.at(stretch.object).stretches.at(stretch.number);
    return asker == node.self || use.mappers[asker];
}

} // namespace

void Node::serve_freeze(const Request &request, Done done) {
    const std::pair key(request.caller.node, request.args[0]);
    const auto wanted = wanted_by(request);
    const bool sound = !wanted.empty() && !freezes.contains(key) &&
                       std::all_of(wanted.begin(), wanted.end(), [&](const Stretch &stretch) {
                           return may_freeze(*this, request.caller.node, stretch);
                       });
    if (!sound) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    auto &freeze = freezes[key];
    const std::set stretches(wanted.begin(), wanted.end());
    freeze.wanted = wanted;
    freeze.stretches = freeze.awaited = stretches;
    freeze.done = std::move(done);
    freeze.timer = loop.at(Clock::now() + config.call_timeout, [this, key] {
        const auto found = freezes.find(key);
        const auto answer = std::exchange(found->second.done, nullptr);
        thaw(found);
        answer(status_reply(KERN_OPERATION_TIMED_OUT));
    });
    for (const auto &stretch : stretches) {
        use(stretch);
    }
    for (const auto &stretch : stretches) { // the last may be frozen at once, and all be over when this returns
        pager.freeze(stretch.object, stretch.number);
    }
}

// One may be frozen for several who want it.
void Node::frozen(const Stretch &stretch) {
    std::vector<Done> ready;
    for (auto &[key, freeze] : freezes) {
        freeze.awaited.erase(stretch);
        if (freeze.awaited.empty() && freeze.done) {
            loop.cancel(std::exchange(freeze.timer, 0));
            ready.push_back(std::exchange(freeze.done, nullptr));
        }
    }
    for (const auto &done : ready) {
        done(status_reply(KERN_SUCCESS));
    }
}

void Node::thaw(std::map<std::pair<dsm::NodeId, std::uint64_t>, Freeze>::iterator freeze) {
    loop.cancel(freeze->second.timer);
    const auto stretches = std::move(freeze->second.stretches);
    freezes.erase(freeze);
    for (const auto &stretch : stretches) {
        pager.thaw(stretch.object, stretch.number);
        release(stretch);
    }
}

void Node::serve_thaw(const Request &request, const Done &done) {
    const auto found = freezes.find({request.caller.node, request.args[0]});
    if (found == freezes.end()) { // it was never frozen, or no longer is
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    const auto answer = std::exchange(found->second.done, nullptr);
    thaw(found);
    if (answer) {
        answer(status_reply(KERN_ABORTED));
    }
    done(status_reply(KERN_SUCCESS));
}

// Ends the freeze in any case. The node that asks maps the snapshots from now on, all of them or none.
void Node::serve_snapshot(const Request &request, const Done &done) {
    const auto asker = request.caller.node;
    const auto found = freezes.find({asker, request.args[0]});
    if (found == freezes.end() || !found->second.awaited.empty()) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    std::uint64_t bytes = 0;
    for (const auto &stretch : found->second.wanted) {
        bytes += pager.pages(stretch.object) * kMapPage;
    }
    std::vector<Stretch> made;
    Ledgers payers;
    const bool room = ledgers.draw(payers_in(request), payers) && has_room(payers, bytes);
    bool complete = room;
    try {
        for (std::size_t i = 0; room && i < found->second.wanted.size(); ++i) {
            const auto &stretch = found->second.wanted[i];
            made.push_back({.object = stretch.object, .number = pager.snapshot(stretch.object, stretch.number)});
            pay(made.back(), payers);
            use(made.back());
        }
    } catch (const std::system_error &error) {
        log_error("a snapshot of {} bytes cannot be made: {}", bytes, error.what());
        complete = false;
    }
    thaw(found);
    rpc::Writer writer;
    for (const auto &stretch : made) {
        writer.put(stretch.number);
        if (complete && asker != self) {
            objects.at(stretch.object).stretches.at(stretch.number).mappers.set(asker);
        }
    }
    auto reply = status_reply(complete ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE);
    if (complete) {
        reply.blob = writer.bytes();
    }
    if (!complete || asker != self) { // the use of an asker here is its own
        for (const auto &stretch : made) {
            release(stretch);
        }
    }
    done(reply);
}

void Node::snapshot_unpaid(std::vector<Stretch> wanted,
                           std::function<void(std::int32_t, const std::vector<std::uint64_t> &)> done) {
    if (wanted.empty()) {
        done(KERN_SUCCESS, {});
        return;
    }
    Request freeze;
    freeze.op = Op::freeze;
    freeze.caller.node = self;
    freeze.args[0] = next_freeze_++;
    rpc::Writer writer;
    put_stretches(writer, wanted);
    freeze.blob = writer.bytes();
    serve_freeze(freeze, [this, number = freeze.args[0], wanted = std::move(wanted),
                          done = std::move(done)](const Reply &reply) {
        if (reply.status != KERN_SUCCESS) {
            done(reply.status, {});
            return;
        }
        auto status = KERN_SUCCESS;
        std::vector<std::uint64_t> made;
        try {
            for (const auto &stretch : wanted) {
                made.push_back(pager.snapshot(stretch.object, stretch.number));
                use({.object = stretch.object, .number = made.back()});
            }
        } catch (const std::system_error &error) {
            log_error("a snapshot cannot be made: {}", error.what());
            status = KERN_RESOURCE_SHORTAGE;
        }
        thaw(freezes.find({self, number}));
        for (std::size_t i = 0; status != KERN_SUCCESS && i < made.size(); ++i) {
            release({.object = wanted[i].object, .number = made[i]});
        }
        done(status, made);
    });
}

// Nobody is left who could go on with what that node had frozen.
void Node::thaw_all_of(dsm::NodeId node) {
    for (auto next = freezes.lower_bound({node, 0}); next != freezes.end() && next->first.first == node;) {
        thaw(next++);
    }
}

} // namespace norma::rt
