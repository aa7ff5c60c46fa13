// SPDX-License-Identifier: BSD-3-Clause
// Ports that go to another node, since theirs leaves the job. They keep their names. Who waits is told to begin again,
// and does so there; what is in the queues goes along.
#include "runtime/node_sets.hpp"
#include "runtime/ports.hpp"

#include <cassert>
#include <utility>

namespace norma::rt {

namespace {

// right 33 | receive 16 | owners 2 | senders 2 | made 8 | sync 8 | notify 33 | fleeting 1 | queue 4
constexpr std::size_t kLeastPortBytes = 2 * kRightBytes + kKeyBytes + 25;
constexpr std::size_t kLeastMessageBytes = 4;

} // namespace

void PortHome::withdraw_all(std::int32_t status, PortEvents &out) {
    waiting_.clear();
    for (auto &[key, port] : ports_) {
        for (auto &sender : std::exchange(port.blocked, {})) {
            out.push_back({.kind = PortEvent::Kind::sent,
                           .to = sender.who,
                           .status = status,
                           .message = std::move(sender.message)});
        }
        for (const auto &receiver : std::exchange(port.receivers, {})) {
            out.push_back({.kind = PortEvent::Kind::received, .to = receiver.who, .status = status});
        }
    }
}

void PortHome::write(rpc::Writer &writer) const {
    assert(is_quiet());
    writer.put(static_cast<std::uint32_t>(ports_.size()));
    for (const auto &[key, port] : ports_) {
        put_right(writer, port.right);
        put_key(writer, port.receive);
        put_nodes(writer, port.owners);
        put_nodes(writer, port.senders);
        writer.put(port.made).put(port.sync);
        put_right(writer, port.notify);
        writer.put(std::uint8_t{port.fleeting}).put(static_cast<std::uint32_t>(port.queue.size()));
        for (const auto &message : port.queue) {
            writer.put_bytes(encode(*message));
        }
    }
}

bool PortHome::read(rpc::Reader &reader, unsigned nodes) {
    for (auto left = reader.get_count(kLeastPortBytes); left > 0; --left) {
        Port port;
        const bool named = get_right(reader, port.right);
        port.receive = get_key(reader);
        const bool had = get_nodes(reader, nodes, port.owners) && get_nodes(reader, nodes, port.senders);
        port.made = reader.get<std::uint64_t>();
        port.sync = reader.get<std::uint64_t>();
        const bool told = get_right(reader, port.notify);
        port.fleeting = reader.get<bool>();
        const bool sound = named && had && told && port.right.kind == Right::Kind::port &&
                           node_of(port.right.task) < nodes && port.right.key.any() && port.receive.any() &&
                           port.owners.any() && !ports_.contains(port.right.key);
        for (auto messages = reader.get_count(kLeastMessageBytes); messages > 0; --messages) {
            auto message = decode_message(reader.get_bytes());
            if (!message) {
                return false;
            }
            port.queue.push_back(std::make_shared<const Message>(std::move(*message)));
        }
        if (!sound || !reader.ok()) {
            return false;
        }
        ports_.emplace(port.right.key, std::move(port));
    }
    return reader.ok();
}

void PortHome::each_message(const VisitMessage &visit) {
    for (auto &[key, port] : ports_) {
        for (auto &message : port.queue) {
            visit(message);
        }
    }
}

void PortHome::each_port(const VisitPort &visit) const {
    for (const auto &[key, port] : ports_) {
        visit(port.right, port.notify);
    }
}

// Keys are unique in the job. What `from` has rights to send to stays known as its until it has left: by then this node
// has said that it has them.
void PortHome::merge(PortHome &&other, dsm::NodeId from, PortEvents &out) {
    for (auto &[key, port] : other.ports_) {
        if (port.owners[from]) {
            port.owners.reset(from);
            port.owners.set(node_);
        }
    }
    ports_.merge(other.ports_);
    for (dsm::NodeId node = 0; node < dsm::kMaxNodes; ++node) {
        if (down_[node]) {
            node_died(node, out);
        }
    }
}

} // namespace norma::rt
