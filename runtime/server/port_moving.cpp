// SPDX-License-Identifier: BSD-3-Clause
// The name space of a task that moves with all its threads (docs/migration.md). Both nodes have its rights from before
// the old process is given up until the new one goes on: so either node may die meanwhile, and no right is nobody's.
// The receive rights are known to be at both by their ports' homes; of send rights each node has references of its own.
#include "runtime/server/countdown.hpp"
#include "runtime/server/port_service.hpp"

#include <algorithm>

namespace norma::rt {

namespace {

bool is_dead(const Reply &reply) {
    return reply.status == KERN_INVALID_CAPABILITY || reply.status == KERN_NODE_DOWN;
}

// What a name space has without a name or besides a name's right.
template <class Visit> void each_send_right(const MovedNames &names, Visit visit) {
    for (const auto &[name, entry] : names.names) {
        if (entry.sends > 0) {
            visit(entry.right);
        }
        visit(entry.notify);
    }
    for (const auto &[slot, held] : names.slots) {
        visit(held.right);
    }
}

std::vector<Carried> receivers_of(const MovedNames &names) {
    std::vector<Carried> receivers;
    for (const auto &[name, entry] : names.names) {
        if (entry.receive.any()) {
            receivers.push_back({.right = entry.right, .receive = entry.receive});
        }
    }
    return receivers;
}

} // namespace

// ---- on the old node ----

std::vector<std::vector<std::byte>> PortService::leave(NameSpace &names) {
    names.set_leaving(true);
    return encode_moved(names);
}

// What has died meanwhile becomes known.
void PortService::stay(TaskId task, dsm::NodeId elsewhere, std::function<void()> then) {
    auto &names = *links_.names(task);
    names.set_leaving(false);
    std::set<Right> gone;
    std::vector<Carried> receivers;
    for (const auto &[name, entry] : names.entries()) {
        if (entry.right.kind == Right::Kind::port && is_gone(entry.right)) {
            gone.insert(entry.right);
        } else if (entry.receive.any()) {
            receivers.push_back({.right = entry.right, .receive = entry.receive});
        }
    }
    for (const auto &slots : {names.slots(), names.slots_of_threads()}) {
        for (const auto &[slot, held] : slots) {
            if (is_gone(held.right)) {
                gone.insert(held.right);
            }
        }
    }
    std::ranges::for_each(gone, [this](const Right &right) { port_died(right); });
    alone(receivers, elsewhere, std::move(then));
}

// Of two nodes that have these rights to receive one goes out.
void PortService::alone(const std::vector<Carried> &receivers, dsm::NodeId other, std::function<void()> then) {
    const auto left = countdown(1 + receivers.size(), std::move(then));
    for (const auto &receive : receivers) {
        tell_of_receiver(receive, other, Receiver::no_more, [this, left, receive](const Reply &reply) {
            if (is_dead(reply)) {
                port_died(receive.right);
            }
            left->one();
        });
    }
    left->one();
}

Letting PortService::part(NameSpace &names) {
    return names.surrender();
}

// ---- on the new one ----

void PortService::expect(TaskId task, dsm::NodeId from, std::span<const std::byte> record, const Done &done) {
    const auto names = decode_moved_names(record);
    if (!names) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto part = std::make_shared<Expected>(Expected{.from = from, .names = *names, .dead = {}});
    const auto status = std::make_shared<std::int32_t>(KERN_SUCCESS);
    std::vector<Right> sends;
    each_send_right(part->names, [&sends](const Right &right) { sends.push_back(right); });
    const auto receivers = receivers_of(part->names);
    const auto left = countdown(1 + sends.size() + receivers.size(), [this, task, part, status, done] {
        if (links_.names(task) == nullptr) {
            not_arrived(*part);
            done(status_reply(KERN_INVALID_TASK));
            return;
        }
        auto &all = expected_.try_emplace(task, Expected{.from = part->from, .names = {}, .dead = {}}).first->second;
        all.names.next = part->names.next;
        all.names.names.insert(all.names.names.end(), part->names.names.begin(), part->names.names.end());
        all.names.slots.merge(part->names.slots);
        all.dead.merge(part->dead);
        done(status_reply(*status));
    });
    for (const auto &right : sends) {
        refs_.hold(right, false, [left](bool) { left->one(); });
    }
    for (const auto &receive : receivers) {
        tell_of_receiver(receive, self_, Receiver::also, [left, part, status, receive](const Reply &reply) {
            if (is_dead(reply)) {
                part->dead.insert(receive.right);
            } else if (reply.status != KERN_SUCCESS) {
                *status = reply.status;
            }
            left->one();
        });
    }
    left->one();
}

// The task goes on where it was, or has ended with that node.
void PortService::not_arrived(const Expected &expected) {
    each_send_right(expected.names, [this](const Right &right) { refs_.drop(right); });
    for (const auto &receive : receivers_of(expected.names)) {
        if (!expected.dead.contains(receive.right)) {
            tell_of_receiver(receive, self_, Receiver::no_more, [](const Reply &) {});
        }
    }
}

void PortService::arrive(TaskId task, std::function<void()> then) {
    const auto arriving = expected_.extract(task);
    if (!arriving) {
        then();
        return;
    }
    const auto &[from, moved, dead] = arriving.mapped();
    auto &names = *links_.names(task);
    auto gone = dead;
    names.set_next_name(moved.next);
    for (const auto &[name, entry] : moved.names) {
        if (!names.adopt(name, entry)) { // a node that does as it likes has said it twice
            let_go({{.right = entry.sends > 0 ? entry.right : Right{}}, {.right = entry.notify}});
        }
        if (entry.right.kind == Right::Kind::port && is_gone(entry.right)) {
            gone.insert(entry.right);
        }
    }
    Letting unwanted;
    for (const auto &[slot, held] : moved.slots) {
        names.set_slot(slot, held, unwanted);
        if (is_gone(held.right)) {
            gone.insert(held.right);
        }
    }
    let_go(unwanted);
    std::ranges::for_each(gone, [this](const Right &right) { port_died(right); });
    auto receivers = receivers_of(moved);
    std::erase_if(receivers, [&gone](const Carried &receive) { return gone.contains(receive.right); });
    alone(receivers, from, std::move(then));
}

} // namespace norma::rt
