// SPDX-License-Identifier: BSD-3-Clause
// What nodes ask of the ports that live here, and what becomes of ports and rights when somebody dies.
#include "runtime/server/countdown.hpp"
#include "runtime/server/port_service.hpp"

#include <algorithm>

namespace norma::rt {

namespace {

constexpr std::chrono::milliseconds kUntilNews{2}; // between two looks whether they have come

// The reply's right, those of the descriptors, the memory.
std::shared_ptr<Countdown> countdown_of(const Message &message, std::function<void()> then) {
    return countdown(2 + message.rights.size(), std::move(then));
}

} // namespace

// ---- rights of messages ----

void PortService::tell_of_receiver(const Carried &receive, dsm::NodeId node, Receiver what, const Done &done) {
    auto request = request_for(Op::port_attach, receive.right);
    request.args[1] = std::uint64_t{1} + node;
    request.args[2] = static_cast<std::uint64_t>(what);
    request.blob = encode(receive);
    links_.call(node_of(receive.right.task), std::move(request), done, true);
}

void PortService::move_receiver(const Carried &receive, dsm::NodeId to, PortRefs::Then then) {
    tell_of_receiver(receive, to, Receiver::moves,
                     [then = std::move(then)](const Reply &reply) { then(reply.status == KERN_SUCCESS); });
}

void PortService::admit_one(const Carried &carried, PortRefs::Then then) {
    if (carried.receive.any()) {
        move_receiver(carried, self_, std::move(then));
    } else {
        refs_.hold(carried.right, false, std::move(then));
    }
}

void PortService::admit(const std::shared_ptr<Message> &message, std::function<void()> then) {
    const auto left = countdown_of(*message, std::move(then));
    each_right(*message, [&](Carried &carried) {
        admit_one(carried, [this, left, message, &carried](bool alive) {
            if (!alive) {
                if (!carried.receive.any()) {
                    refs_.drop(carried.right);
                }
                carried = {.right = {.kind = Right::Kind::dead}};
            }
            left->one();
        });
    });
    if (message->memory.empty()) {
        left->one();
        return;
    }
    links_.memory.hold(pieces_of(*message), [left, message](bool alive) {
        for (auto &memory : message->memory) {
            if (!alive) {
                memory.pieces.clear();
            }
        }
        left->one();
    });
}

void PortService::expel_one(const Carried &carried, dsm::NodeId owner, const std::function<void()> &then) {
    if (!carried.receive.any()) {
        refs_.drop(carried.right);
        then();
        return;
    }
    move_receiver(carried, owner, [then](bool) { then(); });
}

void PortService::expel(const Message &message, dsm::NodeId owner, const std::function<void()> &then) {
    const auto left = countdown_of(message, then);
    auto rights = message;
    each_right(rights, [&](Carried &carried) { expel_one(carried, owner, [left] { left->one(); }); });
    release_memory(message);
    left->one();
}

std::optional<Carried> PortService::receive_right_of(const Request &request) const {
    const auto carried = decode_carried(std::span(request.blob).first(std::min(kCarriedBytes, request.blob.size())));
    return carried && carried->receive.any() && carried->right == request.target ? carried : std::nullopt;
}

void PortService::serve_attach(const Request &request, const Done &done) {
    PortEvents events;
    bool good = false;
    if (request.args[1] == 0) {
        good = home_.attach(request.target, request.caller.node, request.args[0] != 0);
    } else if (const auto receive = receive_right_of(request); receive && request.args[1] <= dsm::kMaxNodes) {
        const auto node = static_cast<dsm::NodeId>(request.args[1] - 1);
        switch (static_cast<Receiver>(request.args[2])) {
        case Receiver::moves:
            good = home_.move_receiver(*receive, node, events);
            break;
        case Receiver::also:
            good = home_.share_receiver(*receive, node);
            break;
        case Receiver::no_more:
            good = home_.unshare_receiver(*receive, node, events);
            break;
        }
    }
    run(std::move(events));
    done(status_reply(good ? KERN_SUCCESS : KERN_INVALID_CAPABILITY));
}

void PortService::serve_release(const Request &request, const Done &done) {
    PortEvents events;
    home_.release(request.target, request.caller.node, events);
    run(std::move(events));
    done(status_reply(KERN_SUCCESS));
}

void PortService::serve_destroy(const Request &request, const Done &done) {
    PortEvents events;
    const auto receive = receive_right_of(request);
    const bool good = receive && home_.destroy(*receive, events);
    run(std::move(events));
    done(status_reply(good ? KERN_SUCCESS : KERN_INVALID_CAPABILITY));
}

// Another node's task gives one of this node's a right.
void PortService::serve_put(const Request &request, const Done &done) {
    auto *names = links_.names(request.target.task);
    const auto carried = decode_carried(request.blob);
    const bool nothing = carried && carried->right.kind == Right::Kind::none && request.args[1] == 0;
    if (names == nullptr || !carried || nothing || carried->right.kind == Right::Kind::dead) {
        done(status_reply(names == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    if (request.args[1] != 0) {
        put_in_slot(request, *carried, done);
        return;
    }
    const auto name = static_cast<std::uint32_t>(request.args[0]);
    changing_.insert(request.target.task);
    admit_one(*carried, [this, carried = *carried, task = request.target.task, from = request.caller.node, name,
                         done](bool alive) {
        changing_.extract(task);
        auto *live = links_.names(task);
        Reply reply = status_reply(!alive            ? KERN_INVALID_CAPABILITY
                                   : live == nullptr ? KERN_INVALID_TASK
                                                     : KERN_SUCCESS);
        bool took = false;
        if (reply.status == KERN_SUCCESS) {
            reply.status = name == 0 ? KERN_SUCCESS : live->add_as(name, carried, took);
            reply.vals[0] = name != 0 ? name : name_for(*live, carried);
        }
        if (reply.status != KERN_SUCCESS) {
            expel_one(carried, from, [done, reply] { done(reply); });
            return;
        }
        if (name != 0 && !carried.receive.any() && !took) {
            refs_.drop(carried.right);
        }
        done(reply);
    });
}

// ---- messages ----

void PortService::start_timer(const Ticket &who, std::int64_t timeout_ms) {
    if (timeout_ms < 0) {
        return;
    }
    pending_.at(who).timer = links_.at(std::chrono::milliseconds(timeout_ms), [this, who] {
        auto &late = pending_.at(who);
        late.timer = 0;
        late.given_up = true;
        PortEvents events;
        home_.cancel(who, events);
        run(std::move(events));
    });
}

void PortService::serve_send(const Request &request, const Done &done) {
    const Ticket who{.node = request.caller.node, .number = request.args[1]};
    auto decoded = decode_message(request.blob);
    if (!decoded || pending_.contains(who)) {
        done(status_reply(MACH_SEND_INVALID_DATA));
        return;
    }
    pending_[who] = {.done = done};
    const auto message = std::make_shared<Message>(std::move(*decoded));
    const auto timeout = static_cast<std::int64_t>(request.args[0]);
    admit(message, [this, who, message, to = request.target, forced = request.args[2] != 0, timeout] {
        const auto found = pending_.find(who);
        if (found == pending_.end()) { // its node is down, and what is here is nobody else's
            discard_all(*message);
            return;
        }
        PortEvents events;
        if (found->second.given_up) {
            events.push_back(
                {.kind = PortEvent::Kind::sent, .to = who, .status = MACH_SEND_TIMED_OUT, .message = message});
        } else {
            home_.send(to, who, message, forced, events);
        }
        run(std::move(events));
        if (pending_.contains(who)) {
            start_timer(who, timeout);
        }
    });
}

void PortService::serve_receive(const Request &request, const Done &done) {
    const Ticket who{.node = request.caller.node, .number = request.args[1]};
    const auto receive = receive_right_of(request);
    if (!receive || pending_.contains(who)) {
        done(status_reply(receive ? MACH_RCV_INVALID_DATA : MACH_RCV_PORT_DIED));
        return;
    }
    pending_[who] = {.done = done};
    PortEvents events;
    home_.receive(*receive, who, request.args[2], request.args[3] != 0, events);
    run(std::move(events));
    if (pending_.contains(who)) {
        start_timer(who, static_cast<std::int64_t>(request.args[0]));
    }
}

void PortService::serve_cancel(const Request &request, const Done &done) {
    const Ticket who{.node = request.caller.node, .number = request.args[0]};
    if (const auto found = pending_.find(who); found != pending_.end()) {
        found->second.given_up = true;
    }
    PortEvents events;
    home_.cancel(who, events);
    run(std::move(events));
    done(status_reply(KERN_SUCCESS));
}

void PortService::serve_taken(const Request &request, const Done &done) {
    PortEvents events;
    const bool good = home_.taken(request.caller.node, request.args[0], request.args[1] != 0, events);
    run(std::move(events));
    done(status_reply(good ? KERN_SUCCESS : KERN_INVALID_ARGUMENT));
}

void PortService::serve_notify(const Request &request, const Done &done) {
    const auto receive = receive_right_of(request);
    const auto place = decode_carried(std::span(request.blob).subspan(std::min(kCarriedBytes, request.blob.size())));
    if (!receive || !place) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    refs_.hold(place->right, false, [this, receive = *receive, to = place->right, sync = request.args[0], done](bool) {
        PortEvents events;
        Right previous;
        const bool good = home_.on_no_senders(receive, to, sync, previous, events);
        refs_.drop(good ? previous : to);
        run(std::move(events));
        done(status_reply(good ? KERN_SUCCESS : KERN_INVALID_RIGHT));
    });
}

// ---- what comes of it ----

void PortService::answer_send(const PortEvent &event) {
    auto found = pending_.extract(event.to);
    if (found.empty()) { // its node is down
        if (event.message) {
            discard_all(*event.message);
        }
        return;
    }
    links_.cancel(found.mapped().timer);
    if (!event.message) {
        found.mapped().done(status_reply(event.status));
        return;
    }
    expel(*event.message, event.to.node,
          [done = found.mapped().done, status = event.status] { done(status_reply(status)); });
}

void PortService::answer_receive(const PortEvent &event) {
    auto found = pending_.extract(event.to);
    if (found.empty()) {
        return; // the delivery goes when its node does
    }
    links_.cancel(found.mapped().timer);
    Reply reply = status_reply(event.status);
    reply.vals = {event.delivery, event.number};
    if (event.message) {
        reply.blob = encode(*event.message);
    }
    found.mapped().done(reply);
}

void PortService::run(PortEvents events) {
    for (const auto &event : events) {
        switch (event.kind) {
        case PortEvent::Kind::sent:
            answer_send(event);
            break;
        case PortEvent::Kind::received:
            answer_receive(event);
            break;
        case PortEvent::Kind::destroyed:
            discard_all(*event.message);
            break;
        case PortEvent::Kind::taken: {
            auto message = *event.message;
            each_right(message, [this](Carried &carried) {
                if (!carried.receive.any()) {
                    refs_.drop(carried.right);
                }
            });
            release_memory(message);
            break;
        }
        case PortEvent::Kind::no_senders:
            notify(event.right, MACH_NOTIFY_NO_SENDERS, static_cast<std::uint32_t>(event.number));
            break;
        case PortEvent::Kind::died:
            for (dsm::NodeId node = 0; node < dsm::kMaxNodes; ++node) {
                if (event.nodes[node]) {
                    links_.call(
                        node, request_for(Op::port_dead, event.right), [](const Reply &) {}, true);
                }
            }
        }
    }
}

// Uses up one reference to the place.
void PortService::notify(const Right &place, std::int32_t id, std::uint32_t value) {
    Message message;
    message.id = id;
    const NDR_record_t ndr{0, 0, 0, 0, 1, 0, 0, 0};
    for (const auto bytes : {std::as_bytes(std::span(&ndr, 1)), std::as_bytes(std::span(&value, 1))}) {
        message.body.insert(message.body.end(), bytes.begin(), bytes.end());
    }
    std::uint64_t number = 0;
    post(place, message, true, number, [](const Reply &) {});
}

void PortService::post(const Right &place, const Message &message, bool forced, std::uint64_t &number,
                       const Done &done) {
    number = ++last_number_;
    auto request = request_for(Op::port_send, place);
    request.args = {static_cast<std::uint64_t>(-1), number, forced ? 1U : 0U};
    request.blob = encode(message);
    send_until_told(place, std::move(request), [this, place, done](const Reply &reply) {
        refs_.drop(place);
        done(reply);
    });
}

// It may have to begin again, as a task that sends.
void PortService::send_until_told(const Right &place, Request request, const Done &done) {
    auto once = request;
    links_.call(
        node_of(place.task), std::move(once),
        [this, place, request = std::move(request), done](const Reply &reply) {
            reply.status == kWithdrawn ? send_until_told(place, request, done) : done(reply);
        },
        false);
}

// ---- deaths ----

// Only its home knows. That may be the successor of a node that has left, of which this node has yet to hear.
void PortService::serve_dead(const Request &request, const Done &done) {
    const auto home = links_.server_of(node_of(request.target.task));
    if (home != request.caller.node && links_.holds(home)) {
        links_.at(kUntilNews, [this, request, done] { serve_dead(request, done); });
        return;
    }
    if (home == request.caller.node) {
        port_died(request.target);
    }
    done(status_reply(KERN_SUCCESS));
}

void PortService::port_died(const Right &right) {
    refs_.mark_dead(right);
    for (auto &[server, services] : services_) {
        std::erase_if(services, [this, &right](const auto &service) {
            if (service.second == right) {
                refs_.drop(right);
            }
            return service.second == right;
        });
    }
    links_.each_names([this, &right](NameSpace &names) {
        if (names.is_leaving()) {
            return;
        }
        Letting rights;
        const auto death = names.port_died(right, rights);
        let_go(rights);
        if (death.notify.kind != Right::Kind::none) {
            notify(death.notify, MACH_NOTIFY_DEAD_NAME, death.name);
        }
    });
}

void PortService::node_down(dsm::NodeId node) {
    if (handed_over_) { // what is to be said of ports here is for the successor to say
        unheard_.push_back(node);
        return;
    }
    dsm::NodeSet gone;
    for (dsm::NodeId made = 0; made < dsm::kMaxNodes; ++made) {
        gone[made] = links_.server_of(made) == node;
    }
    lost_ |= gone;
    forget(node);
    auto dead = refs_.made_on(gone);
    links_.each_names([&dead, &gone](NameSpace &names) {
        for (const auto &[name, entry] : names.entries()) {
            if (entry.right.kind == Right::Kind::port && gone[node_of(entry.right.task)]) {
                dead.push_back(entry.right);
            }
        }
    });
    for (const auto &right : dead) {
        port_died(right);
    }
}

// What was made there is at its successor.
void PortService::node_left(dsm::NodeId node) {
    forget(node);
}

// Nothing comes from there any more, and no right is there. What it has asked is answered for this node's router, which
// keeps an account of it.
void PortService::forget(dsm::NodeId node) {
    std::vector<Done> unanswered;
    for (auto entry = pending_.lower_bound({.node = node, .number = 0});
         entry != pending_.end() && entry->first.node == node; entry = pending_.erase(entry)) {
        links_.cancel(entry->second.timer);
        unanswered.push_back(std::move(entry->second.done));
    }
    for (const auto &done : unanswered) {
        done(status_reply(KERN_TERMINATED));
    }
    PortEvents events;
    home_.node_died(node, events);
    run(std::move(events));
}

} // namespace norma::rt
