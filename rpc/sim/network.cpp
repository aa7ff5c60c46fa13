// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/sim/network.hpp"

#include "rpc/record.hpp"
#include "rpc/sim/transport.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace norma::rpc::sim {

int Network::attach(NodeId node, SimTransport &transport) {
    assert(!transports_.contains(node));
    transports_[node] = &transport;
    ++lives_[node];
    return next_fd_++;
}

void Network::detach(NodeId node, const SimTransport &transport) {
    const auto found = transports_.find(node);
    if (found != transports_.end() && found->second == &transport) {
        transports_.erase(found);
    }
}

Nanoseconds Network::draw_delay(std::size_t bytes) {
    Nanoseconds delay = weather.latency + random_.below(weather.jitter + 1) + bytes / 4; // 4 bytes a nanosecond
    if (random_.chance(weather.lost)) {
        ++injected_.lost;
        delay += random_.between(1, 3) * 200 * kMicrosecond;
    }
    if (random_.chance(weather.late)) {
        ++injected_.late;
        delay += random_.below(weather.lateness);
    }
    return delay;
}

void Network::send(NodeId from, NodeId to, std::vector<std::byte> front, std::span<const std::byte> payload) {
    Packet packet{.from = from, .to = to, .front = front.size(), .life = lives_[to], .bytes = {}};
    packet.bytes = std::move(front);
    packet.bytes.insert(packet.bytes.end(), payload.begin(), payload.end());
    if (random_.chance(weather.garbage)) {
        ++injected_.garbage;
        launch(damaged(packet), draw_delay(0), false);
    }
    if (blocked(from, to)) {
        ++injected_.held_by_partition;
        held_.emplace(next_packet_++, std::move(packet));
        return;
    }
    if (random_.chance(weather.twice)) {
        ++injected_.twice;
        launch(packet, draw_delay(packet.bytes.size()) + random_.below(weather.lateness), false);
    }
    const bool overtaken = random_.chance(weather.overtaken);
    const auto delay = draw_delay(packet.bytes.size()) + (overtaken ? random_.below(weather.lateness) : 0) +
                       std::exchange(delay_of_this_, 0);
    injected_.overtaken += overtaken ? 1 : 0;
    launch(std::move(packet), delay, !overtaken);
}

void Network::launch(Packet packet, Nanoseconds delay, bool in_order) {
    auto when = scheduler_.now() + delay;
    if (in_order) {
        auto &last = last_arrival_[{packet.from, packet.to}];
        when = last = std::max(when, last + 1);
    }
    const auto number = next_packet_++;
    in_flight_.emplace(number, std::move(packet));
    scheduler_.after(when - scheduler_.now(), [this, number] { arrive(number); });
}

void Network::arrive(std::uint64_t number) {
    auto entry = in_flight_.extract(number);
    if (entry.empty()) {
        return; // it died with its sender
    }
    auto &packet = entry.mapped();
    const auto found = transports_.find(packet.to);
    if (found == transports_.end()) {
        return;
    }
    if (packet.life != lives_[packet.to] || !transports_.contains(packet.from)) {
        ++injected_.former_life;
    }
    // What does not fit the network's header comes in one piece.
    const auto front = random_.chance(200) ? 0 : packet.front;
    found->second->arrived(std::move(packet.bytes), front);
}

void Network::unblock(NodeId from, NodeId to) {
    blocked_.erase({from, to});
    for (auto entry = held_.begin(); entry != held_.end();) {
        if (entry->second.from == from && entry->second.to == to) {
            launch(std::move(entry->second), draw_delay(0), true);
            entry = held_.erase(entry);
        } else {
            ++entry;
        }
    }
}

void Network::cut_off(NodeId node) {
    std::map<NodeId, bool> cut;
    const auto keep = [&](const Packet &packet) {
        auto &over = cut[packet.to];
        over = over || random_.chance(300);
        injected_.cut_off += over ? 1 : 0;
        return !over;
    };
    std::erase_if(in_flight_, [&](const auto &entry) { return entry.second.from == node && !keep(entry.second); });
    std::erase_if(held_, [&](const auto &entry) { return entry.second.from == node || entry.second.to == node; });
    std::vector<std::uint64_t> stragglers; // what it said last may come when much has happened since
    for (const auto &[number, packet] : in_flight_) {
        if (packet.from == node && random_.chance(500)) {
            stragglers.push_back(number);
        }
    }
    for (const auto number : stragglers) {
        launch(std::move(in_flight_.extract(number).mapped()), random_.below(weather.lateness), false);
    }
}

void Network::report_down(NodeId observer, NodeId gone) {
    if (const auto found = transports_.find(observer); found != transports_.end()) {
        found->second->lost(gone);
    }
}

// Each of the ways in which a message can be none of ours. The body may be anything: nobody may look at it.
Network::Packet Network::damaged(Packet packet) {
    MessageHeader header;
    std::memcpy(&header, packet.bytes.data(), sizeof header);
    switch (random_.below(7)) {
    case 0:
        header.magic = static_cast<std::uint16_t>(random_.next() | 1);
        break;
    case 1:
        header.version += static_cast<std::uint16_t>(1 + random_.below(9));
        break;
    case 2:
        header.job_key ^= 1 + random_.below(255);
        break;
    case 3:
        header.source_incarnation += static_cast<std::uint32_t>(1 + random_.below(9));
        break;
    case 4:
        header.destination_incarnation += static_cast<std::uint32_t>(1 + random_.below(9));
        break;
    case 5:
        header.record_bytes += static_cast<std::uint32_t>(1 + random_.below(1000));
        break;
    default:
        packet.bytes.resize(random_.below(kHeaderBytes));
        packet.front = packet.bytes.size();
        for (auto &byte : packet.bytes) {
            byte = static_cast<std::byte>(random_.next());
        }
        return packet;
    }
    std::memcpy(packet.bytes.data(), &header, sizeof header);
    return packet;
}

} // namespace norma::rpc::sim
