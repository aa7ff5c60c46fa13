// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/verbs/transport.hpp"

#include <array>
#include <cassert>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace norma::rpc::verbs {

namespace {

// How long the destructor waits for the next message to leave.
constexpr std::chrono::milliseconds kDrainLimit{1000};
// Connection and device events need a system call to be seen, so a busy node looks for them every so often only.
constexpr unsigned kTurnsBetweenEvents = 32;

} // namespace

VerbsTransport::VerbsTransport(const Options &options, Handlers handlers, Provider &provider)
    : options_(options), engine_(provider, options.verbs), pool_(StagingPool::make(engine_.registrar())),
      sessions_(options, std::move(handlers), [this](NodeId peer) { disconnect(peer); }), peers_(kMaxNodes) {
    // A limit on locked memory should be found now rather than later.
    pool_->take().reset();
}

VerbsTransport::~VerbsTransport() {
    leaving_ = true;
    drain();
    for (auto &peer : peers_) {
        if (peer.link) {
            peer.link->revoke();
        }
    }
}

// What was sent before the end should still arrive, if the peers are there to take it.
void VerbsTransport::drain() {
    std::size_t left = 0, least = ~std::size_t{0};
    const auto busy = [&] {
        bool found = false;
        left = 0;
        for (auto &peer : peers_) {
            if (peer.link && !peer.link->revoked() && !peer.link->idle()) {
                peer.link->touch();
                left += peer.link->unfinished();
                found = true;
            }
        }
        return found;
    };
    // Slow peers are waited for as long as they take something.
    for (auto deadline = Clock::now() + kDrainLimit; busy() && Clock::now() < deadline;) {
        if (left < least) {
            least = left;
            deadline = Clock::now() + kDrainLimit;
        }
        handle_receives();
        handle_sends();
        handle_events();
    }
}

void VerbsTransport::disconnect(NodeId peer_id) {
    if (!sessions_.close(peer_id)) {
        return;
    }
    peers_[peer_id].probe.reset();
    if (auto link = std::move(peers_[peer_id].link)) {
        owners_.erase(link->number());
        release(std::move(link));
    }
}

// A link whose queue pair exists waits for what the device still has of it.
void VerbsTransport::release(std::unique_ptr<Link> link) {
    link->revoke();
    if (link->has_queue()) {
        closing_.push_back({.link = std::move(link)});
    } else {
        links_.erase(link->number());
    }
}

void VerbsTransport::send(NodeId peer, std::span<const std::byte> record, StagingPtr payload) {
    assert(record.size() <= kMaxRecordBytes && (!payload || payload->size <= kMaxPayloadBytes));
    if (!sessions_.connected(peer)) {
        return;
    }
    sessions_.seal(peer, record, payload ? payload->size : 0, front_);
    peers_[peer].link->send(front_, std::move(payload));
}

bool VerbsTransport::progress() {
    bool happened = handle_receives();
    happened |= handle_sends();
    if (std::exchange(armed_, false) || ++turns_ % kTurnsBetweenEvents == 0) {
        happened |= handle_events();
    }
    return (sessions_.has_work() && sessions_.work()) || happened;
}

bool VerbsTransport::arm() {
    if (sessions_.has_work()) {
        return false;
    }
    bool sends_too = false;
    for (const auto &[number, link] : links_) {
        sends_too |= link->waits_for_sends();
    }
    engine_.arm(sends_too);
    armed_ = true;
    // What came before it was armed would wake nobody.
    const auto look = [](auto poll, std::vector<ibv_wc> &seen) {
        std::array<ibv_wc, kBatch> batch{};
        const auto count = poll(std::span(batch));
        seen.insert(seen.end(), batch.begin(), batch.begin() + count);
        return count != 0;
    };
    const bool receives = look([this](auto batch) { return engine_.poll_receives(batch); }, seen_receives_);
    const bool sends = sends_too && look([this](auto batch) { return engine_.poll_sends(batch); }, seen_sends_);
    return !receives && !sends;
}

bool VerbsTransport::handle_receives() {
    const auto seen = std::exchange(seen_receives_, {});
    for (const auto &completion : seen) {
        handle_receive(completion);
    }
    std::array<ibv_wc, kBatch> batch{};
    const auto count = static_cast<std::size_t>(engine_.poll_receives(batch));
    for (const auto &completion : std::span(batch).first(count)) {
        handle_receive(completion);
    }
    return !seen.empty() || count != 0;
}

void VerbsTransport::drain_receives() {
    for (std::size_t most = engine_.limits().receives / kBatch + 2; most > 0 && handle_receives(); --most) {
    }
}

void VerbsTransport::handle_receive(const ibv_wc &completion) {
    SlotPtr slot(reinterpret_cast<Slot *>(static_cast<std::uintptr_t>(completion.wr_id)));
    const auto found = links_by_qp_.find(completion.qp_num);
    if (found == links_by_qp_.end()) {
        engine_.post_receive(std::move(slot));
        return;
    }
    auto &link = *found->second;
    if (completion.status != IBV_WC_SUCCESS) {
        engine_.post_receive(std::move(slot));
        break_link(link, fmt::format("receiving failed: {}", ibv_wc_status_str(completion.status)));
        return;
    }
    if (!link.is_open() && !link.revoked() && peers_[peer_of(link)].credits != 0) {
        link.open(peers_[peer_of(link)].credits); // its first message overtook librdmacm's event
    }
    link.received(std::move(slot), completion.byte_len);
    link.pump();
}

bool VerbsTransport::handle_sends() {
    const auto seen = std::exchange(seen_sends_, {});
    for (const auto &completion : seen) {
        handle_send(completion);
    }
    std::array<ibv_wc, kBatch> batch{};
    const auto count = static_cast<std::size_t>(engine_.poll_sends(batch));
    for (const auto &completion : std::span(batch).first(count)) {
        handle_send(completion);
    }
    return !seen.empty() || count != 0;
}

void VerbsTransport::handle_send(const ibv_wc &completion) {
    const auto found = links_.find(Queue::number_of(completion));
    if (found == links_.end() || !found->second->has_queue()) {
        return;
    }
    auto &link = *found->second;
    link.queue().complete(completion);
    if (completion.status != IBV_WC_SUCCESS) {
        break_link(link, ibv_wc_status_str(completion.status));
    }
    link.pump();
}

void VerbsTransport::break_link(Link &link, std::string why) {
    const auto owner = owners_.find(link.number());
    if (owner != owners_.end() && !leaving_) {
        sessions_.mark_broken(owner->second, std::move(why));
    }
    if (leaving_) {
        link.revoke();
    }
}

NodeId VerbsTransport::peer_of(const Link &link) const {
    return owners_.at(link.number());
}

bool VerbsTransport::handle_events() {
    const auto ready = engine_.take_ready();
    bool happened = false;
    if (ready.connections) {
        CmEvent event;
        while (engine_.next_connection_event(event)) {
            handle(event);
            happened = true;
        }
    }
    if (ready.device) {
        ibv_async_event event{};
        while (engine_.next_device_event(event)) {
            handle(event);
            happened = true;
        }
    }
    if (ready.tick) {
        tick();
    }
    finish_closing(false);
    return happened;
}

std::string VerbsTransport::describe() const {
    return fmt::format("verbs ({})", engine_.place().text());
}

} // namespace norma::rpc::verbs
