// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/ports.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace norma::rt {

PortHome::PortHome(dsm::NodeId node, std::uint32_t incarnation, PortLimits limits)
    : node_(node), incarnation_(incarnation), limits_(limits) {}

PortHome::Port *PortHome::refuse() {
    ++refused_;
    return nullptr;
}

PortHome::Port *PortHome::find(const Right &right) {
    const auto found = ports_.find(right.key);
    return found != ports_.end() && found->second.right == right ? &found->second : refuse();
}

PortHome::Port *PortHome::find(const Carried &receive) {
    auto *port = find(receive.right);
    return port == nullptr || port->receive == receive.receive ? port : refuse();
}

kern_return_t PortHome::create(const Key &send, const Key &receive, dsm::NodeId node, Right &right) {
    if (ports_.size() >= limits_.ports) {
        return KERN_RESOURCE_SHORTAGE;
    }
    assert(send.any() && receive.any() && send != receive);
    right = {.kind = Right::Kind::port,
             .task = TaskId{node_} << 48 | TaskId{incarnation_ & 0xffff} << 32,
             .thread = 0,
             .key = send};
    const auto [made, is_new] = ports_.try_emplace(send, Port{.right = right, .receive = receive});
    assert(is_new);
    made->second.owners.set(node);
    return KERN_SUCCESS;
}

// ---- rights ----

bool PortHome::attach(const Right &right, dsm::NodeId node, bool made) {
    auto *port = find(right);
    if (port == nullptr || down_[node]) {
        return false;
    }
    port->senders.set(node);
    port->made += made ? 1 : 0;
    return true;
}

void PortHome::release(const Right &right, dsm::NodeId node, PortEvents &out) {
    const auto found = ports_.find(right.key); // which may have died meanwhile
    if (found != ports_.end() && found->second.senders[node]) {
        found->second.senders.reset(node);
        if (is_forsaken(found->second)) {
            die(found->first, out);
        } else {
            check_senders(found->second, out);
        }
    }
}

bool PortHome::move_receiver(const Carried &receive, dsm::NodeId to, PortEvents &out) {
    auto *port = find(receive);
    if (port == nullptr) {
        return false;
    }
    port->owners.reset();
    port->owners.set(to);
    for (const auto &receiver : std::exchange(port->receivers, {})) {
        waiting_.erase(receiver.who);
        out.push_back({.kind = PortEvent::Kind::received, .to = receiver.who, .status = MACH_RCV_PORT_CHANGED});
    }
    if (down_[to]) {
        die(port->right.key, out);
        return false;
    }
    return true;
}

bool PortHome::destroy(const Carried &receive, PortEvents &out) {
    const auto *port = find(receive);
    if (port == nullptr) {
        return false;
    }
    die(port->right.key, out);
    return true;
}

bool PortHome::share_receiver(const Carried &receive, dsm::NodeId with) {
    auto *port = find(receive);
    if (port == nullptr || down_[with]) {
        return false;
    }
    port->owners.set(with);
    return true;
}

bool PortHome::unshare_receiver(const Carried &receive, dsm::NodeId without, PortEvents &out) {
    auto *port = find(receive);
    if (port == nullptr) {
        return false;
    }
    port->owners.reset(without);
    if (port->owners.none()) {
        die(port->right.key, out);
        return false;
    }
    return true;
}

bool PortHome::on_no_senders(const Carried &receive, const Right &notify, std::uint64_t sync, Right &previous,
                             PortEvents &out) {
    auto *port = find(receive);
    if (port == nullptr) {
        return false;
    }
    previous = std::exchange(port->notify, notify);
    port->sync = sync;
    check_senders(*port, out);
    return true;
}

void PortHome::end_without_senders(const Carried &receive) {
    if (auto *port = find(receive)) {
        port->fleeting = true;
    }
}

void PortHome::check_senders(Port &port, PortEvents &out) {
    if (port.senders.none() && port.notify.kind != Right::Kind::none && port.made >= port.sync) {
        out.push_back(
            {.kind = PortEvent::Kind::no_senders, .number = port.made, .right = std::exchange(port.notify, Right{})});
    }
}

// ---- messages ----

void PortHome::send(const Right &right, const Ticket &who, std::shared_ptr<const Message> message, bool forced,
                    PortEvents &out) {
    auto *port = find(right);
    if (port == nullptr || waiting_.contains(who)) {
        out.push_back({.kind = PortEvent::Kind::sent,
                       .to = who,
                       .status = port == nullptr ? MACH_SEND_INVALID_DEST : MACH_SEND_INVALID_DATA,
                       .message = std::move(message)});
        return;
    }
    if (port->queue.size() >= limits_.queue && !forced) {
        port->blocked.push_back({.who = who, .message = std::move(message)});
        waiting_[who] = port->right.key;
        return;
    }
    port->queue.push_back(std::move(message));
    out.push_back({.kind = PortEvent::Kind::sent, .to = who, .status = MACH_MSG_SUCCESS});
    pump(*port, out);
}

void PortHome::receive(const Carried &receive, const Ticket &who, std::uint64_t room, bool keep_large,
                       PortEvents &out) {
    auto *port = find(receive);
    // A request that was held back, as the node was leaving where the port was, may come when the right has moved on.
    const bool changed = port != nullptr && !port->owners[who.node];
    if (port == nullptr || changed || waiting_.contains(who)) {
        out.push_back({.kind = PortEvent::Kind::received,
                       .to = who,
                       .status = port == nullptr ? MACH_RCV_PORT_DIED
                                 : changed       ? MACH_RCV_PORT_CHANGED
                                                 : MACH_RCV_INVALID_DATA});
        return;
    }
    port->receivers.push_back({.who = who, .room = room, .keep_large = keep_large});
    waiting_[who] = port->right.key;
    pump(*port, out);
}

// Messages meet receivers, and senders take the places that come free.
void PortHome::pump(Port &port, PortEvents &out) {
    while (!port.queue.empty() && !port.receivers.empty()) {
        const auto receiver = port.receivers.front();
        port.receivers.pop_front();
        waiting_.erase(receiver.who);
        const auto message = port.queue.front();
        const auto size = received_bytes(*message);
        if (size > receiver.room) {
            out.push_back(
                {.kind = PortEvent::Kind::received, .to = receiver.who, .status = MACH_RCV_TOO_LARGE, .number = size});
            if (receiver.keep_large) {
                continue;
            }
            out.push_back({.kind = PortEvent::Kind::destroyed, .message = message});
        } else {
            deliveries_[++last_delivery_] = {.node = receiver.who.node, .port = port.right.key, .message = message};
            out.push_back({.kind = PortEvent::Kind::received,
                           .to = receiver.who,
                           .status = MACH_MSG_SUCCESS,
                           .message = message,
                           .delivery = last_delivery_,
                           .number = size});
        }
        port.queue.pop_front();
        while (port.queue.size() < limits_.queue && !port.blocked.empty()) {
            auto sender = std::move(port.blocked.front());
            port.blocked.pop_front();
            waiting_.erase(sender.who);
            port.queue.push_back(std::move(sender.message));
            out.push_back({.kind = PortEvent::Kind::sent, .to = sender.who, .status = MACH_MSG_SUCCESS});
        }
    }
}

void PortHome::cancel(const Ticket &who, PortEvents &out) {
    const auto found = waiting_.find(who);
    if (found == waiting_.end()) {
        return;
    }
    auto &port = ports_.at(found->second);
    waiting_.erase(found);
    const auto is_who = [&who](const auto &waiter) { return waiter.who == who; };
    if (const auto sender = std::ranges::find_if(port.blocked, is_who); sender != port.blocked.end()) {
        out.push_back({.kind = PortEvent::Kind::sent,
                       .to = who,
                       .status = MACH_SEND_TIMED_OUT,
                       .message = std::move(sender->message)});
        port.blocked.erase(sender);
        return;
    }
    std::erase_if(port.receivers, is_who);
    out.push_back({.kind = PortEvent::Kind::received, .to = who, .status = MACH_RCV_TIMED_OUT});
}

bool PortHome::taken(dsm::NodeId node, std::uint64_t delivery, bool kept, PortEvents &out) {
    const auto found = deliveries_.find(delivery);
    if (found == deliveries_.end() || found->second.node != node) {
        return false;
    }
    const auto back = std::move(found->second);
    deliveries_.erase(found);
    const auto port = ports_.find(back.port);
    if (kept || port == ports_.end()) {
        out.push_back({.kind = kept ? PortEvent::Kind::taken : PortEvent::Kind::destroyed, .message = back.message});
        return true;
    }
    port->second.queue.push_front(back.message);
    pump(port->second, out);
    return true;
}

// ---- deaths ----

void PortHome::die(const Key &key, PortEvents &out) {
    auto found = ports_.extract(key);
    auto &port = found.mapped();
    for (auto &message : port.queue) {
        out.push_back({.kind = PortEvent::Kind::destroyed, .message = std::move(message)});
    }
    for (auto &sender : port.blocked) {
        waiting_.erase(sender.who);
        out.push_back({.kind = PortEvent::Kind::sent,
                       .to = sender.who,
                       .status = MACH_SEND_INVALID_DEST,
                       .message = std::move(sender.message)});
    }
    for (const auto &receiver : port.receivers) {
        waiting_.erase(receiver.who);
        out.push_back({.kind = PortEvent::Kind::received, .to = receiver.who, .status = MACH_RCV_PORT_DIED});
    }
    if (port.notify.kind != Right::Kind::none) { // nobody asks any more: a message without an address lets go of it
        Message unsaid;
        unsaid.reply = {.right = port.notify};
        out.push_back({.kind = PortEvent::Kind::destroyed, .message = std::make_shared<const Message>(unsaid)});
    }
    out.push_back({.kind = PortEvent::Kind::died, .right = port.right, .nodes = port.senders});
}

void PortHome::node_died(dsm::NodeId node, PortEvents &out) {
    down_.set(node);
    std::vector<Key> lost;
    for (auto &[key, port] : ports_) {
        const bool had = port.senders[node];
        port.senders.reset(node);
        port.owners.reset(node);
        if (port.owners.none() || (had && is_forsaken(port))) {
            lost.push_back(key);
        }
        for (auto sender = port.blocked.begin(); sender != port.blocked.end();) {
            if (sender->who.node != node) {
                ++sender;
                continue;
            }
            waiting_.erase(sender->who);
            out.push_back({.kind = PortEvent::Kind::destroyed, .message = std::move(sender->message)});
            sender = port.blocked.erase(sender);
        }
        for (auto receiver = port.receivers.begin(); receiver != port.receivers.end();) {
            if (receiver->who.node == node) {
                waiting_.erase(receiver->who);
                receiver = port.receivers.erase(receiver);
            } else {
                ++receiver;
            }
        }
        if (had && port.owners.any()) {
            check_senders(port, out);
        }
    }
    for (const auto &key : lost) {
        die(key, out);
    }
    for (auto delivery = deliveries_.begin(); delivery != deliveries_.end();) {
        if (delivery->second.node == node) {
            out.push_back({.kind = PortEvent::Kind::destroyed, .message = std::move(delivery->second.message)});
            delivery = deliveries_.erase(delivery);
        } else {
            ++delivery;
        }
    }
}

} // namespace norma::rt
