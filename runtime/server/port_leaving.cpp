// SPDX-License-Identifier: BSD-3-Clause
// The ports of a node that leaves the job, and the names that its name server has for ports, go to its successor
// (docs/draining.md). What is in them is the successor's as well before the node can leave: so neither's death loses
// anything but what was its own. Rights to ports that go along are known at the successor's home when the node has
// left, and are then its own.
#include "runtime/server/countdown.hpp"
#include "runtime/server/port_service.hpp"

#include <algorithm>

namespace norma::rt {

namespace {

constexpr std::chrono::milliseconds kUntilNews{2}; // between two looks whether this node has heard of who has left

// All rights in the queues, where they are to be told that there are no senders, and under names; each as often as
// there is a reference to it.
std::vector<Carried> rights_in(MovedPorts &ports) {
    std::vector<Carried> rights;
    ports.home.each_message([&rights](const std::shared_ptr<const Message> &message) {
        rights.push_back(message->reply);
        rights.insert(rights.end(), message->rights.begin(), message->rights.end());
    });
    ports.home.each_port([&rights](const Right &, const Right &notify) { rights.push_back({.right = notify}); });
    for (const auto &[server, services] : ports.servers) {
        for (const auto &[name, right] : services) {
            rights.push_back({.right = right});
        }
    }
    std::erase_if(rights, [](const Carried &carried) { return carried.right.kind != Right::Kind::port; });
    return rights;
}

} // namespace

void put_ports(rpc::Writer &writer, const PortsView &ports) {
    ports.home.write(writer);
    writer.put(static_cast<std::uint32_t>(ports.servers.size()));
    for (const auto &[server, services] : ports.servers) {
        writer.put(server).put(static_cast<std::uint32_t>(services.size()));
        for (const auto &[name, right] : services) {
            put_right(writer, right);
            writer.put_bytes(name);
        }
    }
}

bool get_ports(rpc::Reader &reader, unsigned nodes, MovedPorts &ports) {
    constexpr std::size_t kLeastServerBytes = 6, kLeastNameBytes = kRightBytes + 4;
    if (!ports.home.read(reader, nodes)) {
        return false;
    }
    for (auto servers = reader.get_count(kLeastServerBytes); servers > 0; --servers) {
        const auto server = reader.get<dsm::NodeId>();
        if (server >= nodes) {
            return false;
        }
        for (auto left = reader.get_count(kLeastNameBytes); left > 0; --left) {
            Right right;
            const bool known = get_right(reader, right) && right.kind != Right::Kind::none;
            const auto name = reader.get_bytes();
            if (!known || name.empty() || name.size() >= BOOTSTRAP_MAX_NAME_LEN) {
                return false;
            }
            ports.servers[server][{name.begin(), name.end()}] = right;
        }
    }
    return reader.ok();
}

// ---- at the node that leaves ----

void PortService::withdraw_all() {
    PortEvents events;
    home_.withdraw_all(kWithdrawn, events);
    run(std::move(events));
}

bool PortService::is_quiet() const {
    return home_.is_quiet() && pending_.empty() && waits_.empty() && changing_.empty() && expected_.empty();
}

void PortService::take_back() {
    handed_over_ = false;
    for (const auto node : std::exchange(unheard_, {})) {
        node_down(node);
    }
}

// ---- at its successor ----

void PortService::hold(const std::shared_ptr<MovedPorts> &ports, const Done &done) {
    const auto is_from = [this, from = ports->from](dsm::NodeId node) { return links_.server_of(node) == from; };
    dsm::NodeSet served, named; // not from there, as far as is known here: by the ports, and by all rights
    const auto note = [&](dsm::NodeSet &nodes, dsm::NodeId node) { nodes[node] = !is_from(node); };
    ports->home.each_port([&](const Right &port, const Right &) { note(served, node_of(port.task)); });
    for (const auto &[server, services] : ports->servers) {
        note(served, server);
    }
    auto rights = rights_in(*ports);
    for (const auto &carried : rights) {
        note(named, node_of(carried.right.task));
    }
    for (dsm::NodeId node = 0; node < dsm::kMaxNodes; ++node) {
        const bool leaves = (served[node] || named[node]) && links_.holds(links_.server_of(node));
        if (leaves && !ports->unwanted) { // has left, and this node has yet to hear of it
            links_.at(kUntilNews, [this, ports, done] { hold(ports, done); });
            return;
        }
    }
    if (served.any() || ports->unwanted) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    ports->begun = true;
    std::erase_if(rights, [&](const Carried &carried) { return is_from(node_of(carried.right.task)); });
    std::vector<std::shared_ptr<const Message> *> with_memory;
    ports->home.each_message([&with_memory](std::shared_ptr<const Message> &message) {
        if (!message->memory.empty()) {
            with_memory.push_back(&message);
        }
    });
    const auto left = countdown(1 + rights.size() + with_memory.size(), [this, ports, done] {
        ports->held = true;
        if (ports->unwanted) {
            release_memory_in(*ports);
        }
        done(status_reply(KERN_SUCCESS));
    });
    for (const auto &carried : rights) {
        if (carried.receive.any()) {
            tell_of_receiver(carried, self_, Receiver::also, [left](const Reply &) { left->one(); });
        } else {
            refs_.hold(carried.right, false, [left](bool) { left->one(); });
        }
    }
    for (auto *message : with_memory) {
        links_.memory.hold(pieces_of(**message), [left, message](bool alive) {
            if (!alive) {
                auto without = **message;
                std::ranges::for_each(without.memory, [](CarriedMemory &memory) { memory.pieces.clear(); });
                *message = std::make_shared<const Message>(std::move(without));
            }
            left->one();
        });
    }
    left->one();
}

// What the homes of the rights have still to answer is on its way to them, so this comes behind it.
void PortService::let_go(MovedPorts &ports) {
    ports.unwanted = true;
    if (!ports.begun) {
        return;
    }
    for (const auto &carried : rights_in(ports)) {
        if (links_.server_of(node_of(carried.right.task)) == ports.from) {
            continue;
        }
        if (carried.receive.any()) {
            tell_of_receiver(carried, self_, Receiver::no_more, [](const Reply &) {});
        } else {
            refs_.drop(carried.right);
        }
    }
    if (ports.held) { // else it is not known yet which memory there is
        release_memory_in(ports);
    }
}

void PortService::release_memory_in(MovedPorts &ports) {
    ports.home.each_message([this](const std::shared_ptr<const Message> &message) { release_memory(*message); });
}

// What is asked of the node that leaves waits until it has left. So the home here hears of these references behind what
// this node has said to the other one before, and before the other one's are gone.
void PortService::take_over(MovedPorts &ports) {
    for (const auto &carried : rights_in(ports)) {
        if (!carried.receive.any() && links_.server_of(node_of(carried.right.task)) == ports.from) {
            refs_.hold(carried.right, false, [](bool) {});
        }
    }
    for (auto &[server, services] : ports.servers) {
        std::erase_if(services, [this](const auto &service) {
            const bool gone = service.second.kind == Right::Kind::port && is_gone(service.second);
            if (gone) {
                refs_.drop(service.second);
            }
            return gone;
        });
        services_[server].merge(services);
    }
    PortEvents events;
    home_.merge(std::move(ports.home), ports.from, events);
    run(std::move(events));
}

} // namespace norma::rt
