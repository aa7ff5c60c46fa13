// SPDX-License-Identifier: BSD-3-Clause
// What tasks of this node ask of their ports. The other half, for nodes, is in port_requests.cpp.
#include "runtime/server/port_sending.hpp"

#include <algorithm>
#include <cassert>

namespace norma::rt {

PortService::PortService(dsm::NodeId self, std::uint32_t incarnation, PortLinks links)
    : self_(self), links_(std::move(links)), home_(self, incarnation),
      refs_(links_.call, [this](const Right &right) { port_died(right); }) {}

std::int32_t PortService::allocate(TaskId task, std::uint32_t kind, std::uint32_t &name) {
    auto &names = *links_.names(task);
    if (kind == MACH_PORT_RIGHT_DEAD_NAME) {
        return names.allocate_dead(name);
    }
    if (kind != MACH_PORT_RIGHT_RECEIVE) {
        return KERN_INVALID_VALUE;
    }
    if (name != MACH_PORT_NULL && !names.is_free(name)) {
        return MACH_PORT_VALID(name) ? KERN_NAME_EXISTS : KERN_INVALID_VALUE;
    }
    Carried receive{.right = {}, .receive = links_.draw()};
    if (const auto status = home_.create(links_.draw(), receive.receive, self_, receive.right);
        status != KERN_SUCCESS) {
        return status;
    }
    bool took = false;
    if (name == MACH_PORT_NULL) {
        name = names.add(receive).name;
    } else {
        names.add_as(name, receive, took);
    }
    return KERN_SUCCESS;
}

// ---- rights that leave their names, and come back ----

std::int32_t PortService::take(NameSpace &names, std::uint32_t name, std::uint32_t disposition,
                               std::vector<Passed> &passed) {
    Taken taken;
    Letting unasked;
    const auto status = names.take(name, disposition, taken, unasked);
    let_go(unasked);
    if (status != KERN_SUCCESS) {
        return status;
    }
    if (taken.needs_reference) {
        refs_.hold(taken.carried.right, disposition == MACH_MSG_TYPE_MAKE_SEND, [](bool) {});
    }
    passed.push_back({.name = name, .disposition = disposition, .carried = taken.carried});
    return KERN_SUCCESS;
}

// `lost`: nobody knows whether the other side had it already, so the home has to be told whose a receive right is.
void PortService::bring_back(TaskId task, std::vector<Passed> passed, bool lost) {
    for (; !passed.empty(); passed.pop_back()) {
        const auto &[name, disposition, carried] = passed.back();
        auto *names = links_.names(task);
        const bool copied = disposition == MACH_MSG_TYPE_COPY_SEND || disposition == MACH_MSG_TYPE_MAKE_SEND;
        if (copied || names == nullptr) {
            discard(carried);
            continue;
        }
        const bool is_port = carried.right.kind == Right::Kind::port;
        const bool alive = is_port ? !is_gone(carried.right) : carried.right.kind != Right::Kind::dead;
        const auto added = names->put_back(name, carried, alive);
        if (!carried.receive.any() && !added.took_reference) {
            refs_.drop(carried.right);
        }
        if (carried.receive.any() && lost) {
            move_receiver(carried, self_, [this, right = carried.right](bool moved) {
                if (!moved) {
                    port_died(right);
                }
            });
        }
    }
}

void PortService::discard(const Carried &carried) {
    if (!carried.receive.any()) {
        refs_.drop(carried.right);
        return;
    }
    auto request = request_for(Op::port_destroy, carried.right);
    request.blob = encode(carried);
    links_.call(
        node_of(carried.right.task), std::move(request), [](const Reply &) {}, true);
}

void PortService::let_go(const Letting &rights) {
    std::ranges::for_each(rights, [this](const Carried &carried) { discard(carried); });
}

void PortService::discard_all(const Message &message) {
    discard(message.reply);
    let_go(message.rights);
    release_memory(message);
}

std::uint32_t PortService::name_for(NameSpace &names, const Carried &carried) {
    const auto added = names.add(carried);
    if (!carried.receive.any() && !added.took_reference) {
        refs_.drop(carried.right);
    }
    return added.name;
}

// ---- sending ----

// The rights of a message, the one it goes to last. The descriptors come first: a message may move along the right to
// its own destination.
std::int32_t PortService::take_all(NameSpace &names, Outgoing &out, std::vector<Passed> &passed) {
    for (const auto &[name, disposition] : out.rights) {
        if (!MACH_PORT_VALID(name)) {
            const auto kind = name == MACH_PORT_NULL ? Right::Kind::none : Right::Kind::dead;
            out.message.rights.push_back({.right = {.kind = kind}});
            continue;
        }
        if (const auto status = take(names, name, disposition, passed); status != KERN_SUCCESS) {
            return status == KERN_INVALID_VALUE ? MACH_SEND_INVALID_TYPE : MACH_SEND_INVALID_RIGHT;
        }
        out.message.rights.push_back(passed.back().carried);
    }
    const auto take_one = [&](const NamedRight &right, std::int32_t refusal) -> std::int32_t {
        const bool receive = right.disposition == MACH_MSG_TYPE_MOVE_RECEIVE;
        const auto status = receive ? KERN_INVALID_VALUE : take(names, right.name, right.disposition, passed);
        return status == KERN_SUCCESS         ? MACH_MSG_SUCCESS
               : status == KERN_INVALID_VALUE ? MACH_SEND_INVALID_HEADER
                                              : refusal;
    };
    if (out.local.name != MACH_PORT_NULL) {
        if (const auto status = take_one(out.local, MACH_SEND_INVALID_REPLY); status != MACH_MSG_SUCCESS) {
            return status;
        }
        out.message.reply = passed.back().carried;
    }
    if (const auto status = take_one(out.remote, MACH_SEND_INVALID_DEST); status != MACH_MSG_SUCCESS) {
        return status;
    }
    const auto &to = passed.back().carried.right;
    const bool to_itself = std::ranges::any_of(out.message.rights, [&to](const Carried &carried) {
        return carried.receive.any() && carried.right == to; // nobody could ever receive it
    });
    return to.kind != Right::Kind::port ? MACH_SEND_INVALID_DEST
           : to_itself                  ? MACH_SEND_INVALID_RIGHT
                                        : MACH_MSG_SUCCESS;
}

void PortService::send(const Waiter &who, std::span<const std::byte> packet, std::int64_t timeout_ms,
                       const Done &done) {
    Outgoing out;
    const auto status = waits_.contains(who) ? MACH_SEND_INVALID_DATA : parse_message(packet, out);
    if (status != MACH_MSG_SUCCESS) {
        done(status_reply(status));
        return;
    }
    std::vector<Passed> passed;
    if (const auto taken = take_all(*links_.names(who.task), out, passed); taken != MACH_MSG_SUCCESS) {
        bring_back(who.task, std::move(passed), false);
        done(status_reply(taken));
        return;
    }
    const auto to = passed.back().carried.right;
    const auto number = ++last_number_;
    changing_.insert(who.task); // it may all come back
    out.message.token = who.token;
    const auto sending = std::make_shared<Sending>(Sending{.who = who,
                                                           .number = number,
                                                           .to = to,
                                                           .timeout_ms = timeout_ms,
                                                           .passed = std::move(passed),
                                                           .message = std::move(out.message),
                                                           .leaving = {},
                                                           .done = done});
    waits_[who] = {.home = node_of(to.task), .number = number};
    if (out.memory.empty()) {
        send_off(sending);
    } else {
        copy_memory(sending, out.memory);
    }
}

// ---- receiving ----

void PortService::receive(const Waiter &who, std::uint32_t name, std::uint64_t room, bool keep_large,
                          std::int64_t timeout_ms, const Done &done, Trailer trailer) {
    const auto *entry = links_.names(who.task)->find(name);
    if (entry == nullptr || !entry->receive.any() || waits_.contains(who)) {
        done(status_reply(waits_.contains(who) ? MACH_RCV_INVALID_DATA : MACH_RCV_INVALID_NAME));
        return;
    }
    const auto home = node_of(entry->right.task);
    auto request = request_for(Op::port_receive, entry->right);
    const auto number = ++last_number_;
    const auto more = std::min<std::uint64_t>(more_bytes(trailer), room);
    request.args = {static_cast<std::uint64_t>(timeout_ms), number, room - more, keep_large ? 1U : 0U};
    request.blob = encode(Carried{.right = entry->right, .receive = entry->receive});
    waits_[who] = {.home = home, .number = number};
    const Receiving receiving{.who = who,
                              .name = name,
                              .receive = entry->receive,
                              .home = home,
                              .number = number,
                              .trailer = trailer,
                              .done = done};
    links_.call(
        home, std::move(request), [this, receiving](const Reply &reply) { received(receiving, reply); }, false);
}

bool PortService::still_waits(const Waiter &who, std::uint64_t number) const {
    const auto found = waits_.find(who);
    return found != waits_.end() && found->second.number == number;
}

std::int32_t PortService::end_wait(const Waiter &who, std::uint64_t number) {
    const auto found = waits_.find(who);
    if (found == waits_.end() || found->second.number != number) {
        return KERN_SUCCESS;
    }
    const auto aborted = found->second.aborted;
    waits_.erase(found);
    return aborted;
}

bool PortService::has_right(const Receiving &receiving) const {
    const auto *names = links_.names(receiving.who.task);
    const auto *entry = names == nullptr ? nullptr : names->find(receiving.name);
    return entry != nullptr && entry->receive == receiving.receive;
}

// The message is the home's until it is settled: if the thread has ended on the way, another one gets it; also if the
// right to receive has gone on while the request was held back.
void PortService::received(const Receiving &receiving, const Reply &reply) {
    const auto &[who, name, receive, home, number, trailer, done] = receiving;
    if (!still_waits(who, number)) {
        if (reply.status == MACH_MSG_SUCCESS) {
            settle(home, reply.vals[0], false);
        }
        done(status_reply(MACH_RCV_INTERRUPTED));
        return;
    }
    auto decoded = decode_message(reply.blob);
    if (reply.status != MACH_MSG_SUCCESS || !decoded) {
        const auto aborted = end_wait(who, number);
        const bool given_up =
            aborted != KERN_SUCCESS && (reply.status == MACH_RCV_TIMED_OUT || reply.status == kWithdrawn);
        Reply failed = status_reply(reply.status == MACH_MSG_SUCCESS ? MACH_RCV_INVALID_DATA
                                    : reply.status == KERN_NODE_DOWN ? MACH_RCV_PORT_DIED
                                    : !given_up                      ? reply.status
                                    : aborted == kWithdrawn          ? kWithdrawn
                                                                     : MACH_RCV_INTERRUPTED);
        failed.vals[1] = reply.vals[1] + more_bytes(trailer);
        done(failed);
        return;
    }
    const auto message = std::make_shared<Message>(std::move(*decoded));
    admit(message, [this, receiving, delivery = reply.vals[0], message] {
        const auto from = receiving.home;
        const bool waits = still_waits(receiving.who, receiving.number);
        end_wait(receiving.who, receiving.number);
        if (!waits || !has_right(receiving)) {
            expel(*message, links_.server_of(from), [this, from, delivery] { settle(from, delivery, false); });
            receiving.done(status_reply(waits ? MACH_RCV_PORT_CHANGED : MACH_RCV_INTERRUPTED));
            return;
        }
        settle(from, delivery, true);
        give_message(receiving, *message);
    });
}

void PortService::give_message(const Receiving &receiving, const Message &message) {
    auto &names = *links_.names(receiving.who.task);
    ReceivedNames received;
    received.reply = name_for(names, message.reply);
    for (const auto &carried : message.rights) {
        received.rights.push_back(name_for(names, carried));
    }
    const auto deliver = [receiving, message](const ReceivedNames &given) {
        const auto is_missing = [](const CarriedMemory &memory, std::uint64_t address) {
            return memory.bytes > 0 && address == 0;
        };
        const bool whole = std::ranges::equal(message.memory, given.memory, std::not_fn(is_missing));
        auto reply = status_reply(whole ? MACH_MSG_SUCCESS : MACH_RCV_BODY_ERROR);
        reply.blob = lay_out(message, receiving.name, given, receiving.trailer);
        receiving.done(reply);
    };
    if (message.memory.empty()) {
        deliver(received);
        return;
    }
    links_.memory.give(receiving.who.task, message.memory, [deliver, received](std::vector<std::uint64_t> addresses) {
        auto all = received;
        all.memory = std::move(addresses);
        deliver(all);
    });
}

void PortService::settle(dsm::NodeId home, std::uint64_t delivery, bool kept) {
    auto request = request_for(Op::port_taken, {});
    request.args = {delivery, kept ? 1U : 0U};
    links_.call(
        home, std::move(request), [](const Reply &) {}, true);
}

void PortService::thread_gone(const Waiter &who) {
    const auto found = waits_.find(who);
    if (found == waits_.end()) {
        return;
    }
    const auto wait = found->second;
    waits_.erase(found);
    give_up(wait);
}

// The home answers as if its time were over, unless it has answered already.
void PortService::give_up(const Wait &wait) {
    auto request = request_for(Op::port_cancel, {});
    request.args[0] = wait.number;
    links_.call(
        wait.home, std::move(request), [](const Reply &) {}, true);
}

void PortService::call_off(const Right &place, std::uint64_t number) {
    give_up({.home = node_of(place.task), .number = number});
}

void PortService::abort(std::uint64_t thread, std::int32_t status) {
    std::vector<Wait> given_up;
    for (auto &[who, wait] : waits_) {
        const bool told = wait.aborted != KERN_SUCCESS || (wait.question && status == kWithdrawn);
        if (who.thread == thread && !told) {
            wait.aborted = status;
            given_up.push_back(wait);
        }
    }
    std::ranges::for_each(given_up, [this](const Wait &wait) { give_up(wait); });
}

// ---- the rest ----

void PortService::pass(TaskId task, std::uint32_t name, std::uint32_t disposition, const Right &to,
                       std::uint32_t wanted, const Done &done) {
    std::vector<Passed> passed;
    if (const auto status = take(*links_.names(task), name, disposition, passed); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    const auto carried = passed.back().carried;
    if (carried.right.kind == Right::Kind::dead) {
        bring_back(task, std::move(passed), false);
        done(status_reply(KERN_INVALID_RIGHT));
        return;
    }
    auto request = request_for(Op::port_put, to);
    request.args[0] = wanted;
    request.blob = encode(carried);
    const auto type = disposition == MACH_MSG_TYPE_MOVE_RECEIVE ? MACH_MSG_TYPE_PORT_RECEIVE : MACH_MSG_TYPE_PORT_SEND;
    links_.call(node_of(to.task), std::move(request),
                settled(task, passed,
                        [type, done](Reply reply) {
                            reply.vals[1] = type;
                            done(std::move(reply));
                        }),
                false);
}

// Brings the right back, or lets go of it as the other side has it by now; then `done`.
Done PortService::settled(TaskId task, std::vector<Passed> passed, const Done &done) {
    changing_.insert(task);
    return [this, task, passed = std::move(passed), done](const Reply &reply) {
        changing_.extract(task);
        if (reply.status != KERN_SUCCESS) {
            bring_back(task, passed, reply.status == KERN_NODE_DOWN || reply.status == KERN_OPERATION_TIMED_OUT);
        } else {
            for (const auto &right : passed) {
                if (!right.carried.receive.any()) {
                    refs_.drop(right.carried.right);
                }
            }
        }
        done(reply);
    };
}

void PortService::request_notification(const Request &request, const Done &done) {
    auto &names = *links_.names(request.caller.task);
    const auto name = static_cast<std::uint32_t>(request.args[0]), place = static_cast<std::uint32_t>(request.args[3]);
    const auto *entry = names.find(name);
    const bool no_senders = request.args[1] == MACH_NOTIFY_NO_SENDERS;
    if (entry == nullptr || (no_senders && !entry->receive.any())) {
        done(status_reply(entry == nullptr ? KERN_INVALID_NAME : KERN_INVALID_RIGHT));
        return;
    }
    std::vector<Passed> passed;
    if (place != MACH_PORT_NULL && take(names, place, MACH_MSG_TYPE_MAKE_SEND, passed) != KERN_SUCCESS) {
        done(status_reply(KERN_INVALID_CAPABILITY));
        return;
    }
    const auto to = passed.empty() ? Right{} : passed.back().carried.right;
    if (!no_senders) {
        const bool dead = entry->dead > 0;
        const bool late = dead && to.kind != Right::Kind::none;
        const bool sends = entry->sends > 0 && entry->right.kind == Right::Kind::port;
        const std::int32_t status = dead && request.args[2] == 0 ? KERN_INVALID_ARGUMENT
                                    : !dead && !sends            ? KERN_INVALID_RIGHT
                                                                 : KERN_SUCCESS;
        if (status != KERN_SUCCESS) {
            bring_back(request.caller.task, std::move(passed), false);
        } else if (late) {
            notify(to, MACH_NOTIFY_DEAD_NAME, name);
        } else if (!dead) {
            Letting previous;
            names.ask_for_death(name, to, previous);
            let_go(previous);
        }
        done(status_reply(status));
        return;
    }
    auto ask = request_for(Op::port_notify, entry->right);
    ask.args[0] = request.args[2];
    ask.blob = encode(Carried{.right = entry->right, .receive = entry->receive});
    const auto where = encode(Carried{.right = to});
    ask.blob.insert(ask.blob.end(), where.begin(), where.end());
    links_.call(
        node_of(entry->right.task), std::move(ask),
        [this, to, done](const Reply &reply) {
            refs_.drop(to); // the home has its own
            done(reply);
        },
        true);
}

void PortService::task_over(NameSpace &names, TaskId task) {
    for (auto wait = waits_.lower_bound({.task = task, .channel = 0}); wait != waits_.end() && wait->first.task == task;
         wait = waits_.lower_bound({.task = task, .channel = 0})) {
        thread_gone(wait->first);
    }
    Letting all;
    names.clear(all);
    let_go(all);
    if (const auto never = expected_.extract(task)) {
        not_arrived(never.mapped());
    }
}

} // namespace norma::rt
