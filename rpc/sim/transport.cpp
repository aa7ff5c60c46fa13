// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/sim/transport.hpp"

#include <cassert>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace norma::rpc::sim {

SimTransport::SimTransport(Network &network, const Options &options, Handlers handlers)
    : network_(network), options_(options), handlers_(std::move(handlers)),
      sessions_(options,
                {.message = [this](NodeId from, std::span<const std::byte> record,
                                   std::span<const std::byte> payload) { message(from, record, payload); },
                 .down = handlers_.down,
                 .dropped = handlers_.dropped},
                [this](NodeId peer) { disconnect(peer); }),
      pool_(StagingPool::make({})), event_fd_(network.attach(options.self, *this)) {}

SimTransport::~SimTransport() {
    *here_ = false;
    network_.detach(options_.self, *this);
}

std::vector<std::byte> SimTransport::address() const {
    std::vector<std::byte> bytes(sizeof(NodeId));
    std::memcpy(bytes.data(), &options_.self, sizeof options_.self);
    return bytes;
}

void SimTransport::connect(NodeId peer, std::uint32_t incarnation, std::span<const std::byte> address) {
    sessions_.check_peer(peer, incarnation);
    if (address.size() != sizeof(NodeId) || std::memcmp(address.data(), &peer, sizeof peer) != 0) {
        throw std::runtime_error(fmt::format("the address of node {} is no good", peer));
    }
    disconnect(peer);
    sessions_.open(peer, incarnation);
    network_.hooks().ready(event_fd_);
}

void SimTransport::send(NodeId peer, std::span<const std::byte> record, StagingPtr payload) {
    assert(record.size() <= kMaxRecordBytes && (!payload || payload->size <= kMaxPayloadBytes));
    if (!sessions_.connected(peer)) {
        return;
    }
    network_.hooks().sent(options_.self, peer, record);
    std::vector<std::byte> front;
    const auto bytes = payload ? std::span(payload->data, payload->size) : std::span<std::byte>{};
    sessions_.seal(peer, record, bytes.size(), front);
    network_.send(options_.self, peer, std::move(front), bytes);
}

void SimTransport::arrived(std::vector<std::byte> bytes, std::size_t front) {
    arrived_.push_back({.bytes = std::move(bytes), .front = front});
    network_.hooks().ready(event_fd_);
}

void SimTransport::lost(NodeId peer) {
    sessions_.mark_broken(peer, "the connection is gone");
    network_.hooks().ready(event_fd_);
}

bool SimTransport::progress() {
    bool happened = false;
    // What these make arrive comes in a later turn.
    for (auto count = arrived_.size(); count > 0; --count) {
        const auto arrival = std::move(arrived_.front());
        arrived_.pop_front();
        const std::span bytes(arrival.bytes);
        const auto fate = sessions_.accept(bytes.first(arrival.front), bytes.subspan(arrival.front));
        fates_.held += fate == Sessions::Fate::held ? 1 : 0;
        fates_.repeated += fate == Sessions::Fate::repeated ? 1 : 0;
        happened = true;
    }
    for (auto count = due_.size(); count > 0; --count) {
        auto late = kept_back_.extract(due_.front());
        due_.pop_front();
        hand_over(late.mapped());
        happened = true;
    }
    return sessions_.work() || happened;
}

void SimTransport::message(NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload) {
    if (!network_.hooks().order_free(record) || !network_.random().chance(network_.weather.free_order)) {
        handlers_.message(from, record, payload);
        return;
    }
    network_.count_kept_back();
    const auto number = next_kept_back_++;
    kept_back_.emplace(
        number,
        KeptBack{.from = from, .record = {record.begin(), record.end()}, .payload = {payload.begin(), payload.end()}});
    network_.scheduler().after(network_.random().below(network_.weather.lateness + 1), [this, number, here = here_] {
        if (*here) {
            due_.push_back(number);
            network_.hooks().ready(event_fd_);
        }
    });
}

void SimTransport::hand_over(const KeptBack &late) {
    if (sessions_.connected(late.from)) {
        handlers_.message(late.from, late.record, late.payload);
    }
}

} // namespace norma::rpc::sim
