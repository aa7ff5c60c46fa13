// SPDX-License-Identifier: BSD-3-Clause
// Exception ports, and how a node server asks one and waits for the reply.
#include "runtime/exception.hpp"
#include "runtime/server/port_service.hpp"

#include <algorithm>

namespace norma::rt {

// ---- asking ----

// A question has a reply port of its own, which is gone when the reply has come, or when nobody has a right to send to
// it any more: the message was destroyed, or who has received it has ended. All ways lead through replied().
struct PortService::Asking {
    Waiter who;
    Carried reply_port;
    std::uint64_t waits = 0; // number of the wait for the reply
    std::uint64_t sends = 0; // number of the send
    dsm::NodeId to = 0;
    bool sent = false;
    Answered answered;
};

void PortService::ask(const Waiter &who, const Right &to, Message message, const Answered &answered) {
    Carried port{.right = {}, .receive = links_.draw()};
    if (waits_.contains(who) || home_.create(links_.draw(), port.receive, self_, port.right) != KERN_SUCCESS) {
        answered(MACH_RCV_PORT_DIED, {});
        return;
    }
    refs_.hold(port.right, true, [](bool) {});
    home_.end_without_senders(port);
    const auto asking = std::make_shared<Asking>(Asking{.who = who,
                                                        .reply_port = port,
                                                        .waits = ++last_number_,
                                                        .sends = ++last_number_,
                                                        .to = node_of(to.task),
                                                        .answered = answered});
    waits_[who] = {.home = self_, .number = asking->waits, .question = true};
    auto receive = request_for(Op::port_receive, port.right);
    receive.args = {static_cast<std::uint64_t>(-1), asking->waits, kMaxMessageBytes + sizeof(mach_msg_trailer_t)};
    receive.blob = encode(port);
    links_.call(
        self_, std::move(receive), [this, asking](const Reply &reply) { replied(asking, reply); }, false);
    message.token = who.token;
    message.reply = {.right = port.right};
    auto send = request_for(Op::port_send, to);
    send.args = {static_cast<std::uint64_t>(-1), asking->sends};
    send.blob = encode(message);
    send_until_told(to, std::move(send), [this, asking](const Reply &) { // if it has not been sent, the port has no
        asking->sent = true;                                             // sender now
        refs_.drop(asking->reply_port.right);
    });
}

void PortService::replied(const std::shared_ptr<Asking> &asking, const Reply &reply) {
    const bool gone = !still_waits(asking->who, asking->waits); // the thread has ended
    const bool aborted = end_wait(asking->who, asking->waits) != KERN_SUCCESS;
    auto message = decode_message(reply.blob);
    const bool good = reply.status == MACH_MSG_SUCCESS && message;
    if (good) {
        settle(self_, reply.vals[0], true);
        each_right(*message, [this](const Carried &carried) {
            if (carried.receive.any()) {
                discard(carried);
            }
        });
    }
    if (!asking->sent) {
        give_up({.home = asking->to, .number = asking->sends});
    }
    if (reply.status != MACH_RCV_PORT_DIED) {
        discard(asking->reply_port);
    }
    asking->answered(good              ? MACH_MSG_SUCCESS
                     : aborted || gone ? MACH_SEND_INTERRUPTED
                                       : MACH_RCV_PORT_DIED,
                     good ? *message : Message{});
}

// ---- exception ports ----

void PortService::change_exceptions(const Request &request, std::uint32_t name, const Right &of, const Right &caller,
                                    const Done &done) {
    std::vector<Passed> passed;
    const auto task = request.caller.task;
    if (const auto status = copy(task, name, passed); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    auto change = request_for(of.kind == Right::Kind::task ? Op::task_exceptions : Op::thread_exceptions, of);
    change.args = {request.args[1], request.args[2], request.args[4], request.args[5]};
    change.blob = encode(std::vector{passed.back().carried.right, caller});
    links_.call(node_of(of.task), std::move(change), settled(task, passed, done), false);
}

void PortService::serve_exceptions(const Request &request, const Done &done) {
    const auto rights = decode_rights(request.blob, 2);
    const auto mask = request.args[0];
    const bool sets = (request.args[1] & kSetsExceptions) != 0, tells = (request.args[1] & kTellsExceptions) != 0;
    const HeldRight held{.right = rights ? rights->front() : Right{},
                         .behavior = static_cast<std::uint32_t>(request.args[2]),
                         .flavor = static_cast<std::uint32_t>(request.args[3])};
    const bool none = held.right.kind == Right::Kind::none;
    const bool can_tell = !tells || (rights && rights->back().kind == Right::Kind::task);
    if (!rights || !is_exception_mask(mask) || !can_tell ||
        (held.right.kind == Right::Kind::port && !is_exception_port(held))) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    if (!none && held.right.kind != Right::Kind::port) {
        done(status_reply(KERN_INVALID_CAPABILITY));
        return;
    }
    changing_.insert(request.target.task);
    refs_.hold(held.right, false,
               [this, held, task = request.target.task,
                thread = request.target.kind == Right::Kind::thread ? request.target.thread : 0, mask, sets, tells,
                to = rights->back(), done](bool alive) {
                   changing_.extract(task);
                   auto *names = links_.names(task);
                   if (!alive || names == nullptr) {
                       refs_.drop(held.right);
                       done(status_reply(alive ? KERN_INVALID_TASK : KERN_INVALID_CAPABILITY));
                       return;
                   }
                   std::vector<HeldRight> before(EXC_TYPES_COUNT);
                   Letting old;
                   for (std::uint32_t type = 0; type < EXC_TYPES_COUNT; ++type) {
                       const auto slot = exception_slot(thread, type);
                       if ((mask >> type & 1) == 0) {
                           continue;
                       }
                       before[type] = names->slot(slot);
                       if (tells) {
                           keep(before[type].right);
                       }
                       if (sets) {
                           keep(held.right);
                           names->set_slot(slot, held, old);
                       }
                   }
                   let_go(old);
                   refs_.drop(held.right);
                   if (tells) {
                       tell_exceptions(before, mask, to, done);
                   } else {
                       done({});
                   }
               });
}

// Gives the task `to` a right to each port, and answers with ExceptionPorts under the names it has them by. Of each
// right in `held` there is a reference, which goes.
void PortService::tell_exceptions(const std::vector<HeldRight> &held, std::uint64_t mask, const Right &to,
                                  const Done &done) {
    struct Telling {
        std::vector<HeldRight> ports; // each once
        std::vector<ExceptionPort> told;
        std::size_t open;
    };
    const auto telling = std::make_shared<Telling>();
    for (std::uint32_t type = 0; type < held.size(); ++type) {
        if ((mask >> type & 1) == 0) {
            continue;
        }
        const auto known = std::ranges::find(telling->ports, held[type]);
        const auto place = static_cast<std::size_t>(known - telling->ports.begin());
        if (known == telling->ports.end()) {
            telling->ports.push_back(held[type]);
            telling->told.push_back(
                {.mask = 0, .port = 0, .behavior = held[type].behavior, .flavor = held[type].flavor});
        }
        telling->told[place].mask |= 1U << type;
    }
    telling->open = 1 + telling->ports.size();
    const auto one = [telling, done] {
        if (--telling->open == 0) {
            Reply reply;
            const auto bytes = std::as_bytes(std::span(telling->told));
            reply.blob.assign(bytes.begin(), bytes.end());
            done(reply);
        }
    };
    for (std::size_t i = 0; i < telling->ports.size(); ++i) {
        hand(telling->ports[i].right, to, [telling, i, one](const Reply &reply) {
            telling->told[i].port = reply.status == KERN_SUCCESS ? static_cast<std::uint32_t>(reply.vals[0]) : 0;
            one();
        });
    }
    for (std::uint32_t type = 0; type < held.size(); ++type) {
        refs_.drop(held[type].right);
    }
    one();
}

} // namespace norma::rt
