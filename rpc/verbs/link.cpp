// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/verbs/link.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace norma::rpc::verbs {

namespace {

unsigned granted_by(Engine &engine) {
    const auto credits = engine.grant();
    if (credits == 0) {
        throw std::runtime_error(fmt::format("the device's shared receive queue ({}) has no room for one more peer",
                                             engine.limits().receives));
    }
    return credits;
}

} // namespace

Link::Link(Engine &engine, StagingPool &pool, Hooks hooks, std::uint32_t number)
    : engine_(engine), pool_(pool), hooks_(std::move(hooks)), number_(number), granted_(granted_by(engine)),
      id_(nullptr, {&engine.provider()}) {}

Link::~Link() {
    revoked_ = true;
    queue_.reset(); // only now is every buffer out of the device's hands
    for (auto &fetch : fetches_) {
        if (fetch.slot) {
            engine_.post_receive(std::move(fetch.slot));
        }
    }
    engine_.end_grant(granted_);
}

void Link::start(IdPtr id) {
    id_ = std::move(id);
    id_->context = this;
}

void Link::make_queue() {
    queue_ = engine_.new_queue(id_.get(), number_);
}

void Link::open(unsigned credits) {
    credits_ = peer_credits_ = credits;
    open_ = true;
    pump();
}

void Link::revoke() {
    if (std::exchange(revoked_, true)) {
        return;
    }
    if (queue_) {
        queue_->revoke();
        engine_.provider().disconnect(id_.get());
    }
    // The peer cannot read these any more. What has been posted stays until the device gives it back.
    waiting_.clear();
    announced_.clear();
}

void Link::break_off(std::string why) {
    if (!revoked_) {
        hooks_.broken(*this, std::move(why));
    }
}

bool Link::idle() const {
    return waiting_.empty() && to_confirm_.empty() && announced_.empty() && fetches_.empty() &&
           (!queue_ || queue_->idle());
}

bool Link::waits_for_sends() const {
    return queue_ && (queue_->waits() || !fetches_.empty() || (is_open() && queue_->room() <= 1));
}

void Link::send(std::span<const std::byte> front, StagingPtr payload) {
    if (waiting_.empty() && to_confirm_.empty() && can_send()) {
        post_message(front, std::move(payload));
    } else {
        waiting_.push_back({{front.begin(), front.end()}, std::move(payload)});
    }
}

void Link::pump() {
    start_fetches();
    while (!to_confirm_.empty() && can_send()) {
        post_control(FrameKind::fetched, to_confirm_.front());
        to_confirm_.pop_front();
    }
    while (!waiting_.empty() && can_send()) {
        auto next = std::move(waiting_.front());
        waiting_.pop_front();
        post_message(next.front, std::move(next.payload));
    }
    const bool much = owed_ >= std::max(2u, granted_ / 4);
    if (much && fetches_.empty() && is_open() && credits_ > 0 && queue_->room() > 0) {
        post_control(FrameKind::credits, 0);
    }
}

void Link::keep_alive() {
    if (!std::exchange(active_, false)) {
        touch();
    }
}

void Link::touch() {
    if (!is_open() || touching_ || queue_->room() == 0) {
        return;
    }
    touching_ = true;
    if (!queue_->touch({.slot = nullptr, .staging = nullptr, .done = [this](bool) { touching_ = false; }})) {
        break_off("the device takes no more requests");
    }
}

Frame Link::next_frame(FrameKind kind, std::uint32_t token) {
    const auto back = fetches_.empty() ? std::exchange(owed_, 0) : 0;
    --credits_;
    return {.kind = kind, .credits = static_cast<std::uint16_t>(back), .token = token};
}

void Link::post_message(std::span<const std::byte> front, StagingPtr payload) {
    const auto payload_bytes = payload ? payload->size : 0;
    const auto total = kFrameBytes + front.size() + payload_bytes;
    if (total > Arena::kSlotBytes) {
        post_announcement(front, std::move(payload));
        return;
    }
    auto slot = engine_.arena().take();
    encode_frame(next_frame(FrameKind::message), std::span(slot->data, kFrameBytes));
    std::memcpy(slot->data + kFrameBytes, front.data(), front.size());
    if (total <= queue_->inline_bytes() && payload_bytes != 0) {
        std::memcpy(slot->data + kFrameBytes + front.size(), payload->data, payload_bytes);
        payload.reset();
        post_frame(std::move(slot), total, nullptr);
        return;
    }
    post_frame(std::move(slot), kFrameBytes + front.size(), std::move(payload));
}

void Link::post_announcement(std::span<const std::byte> front, StagingPtr payload) {
    const auto token = next_token_++;
    auto &announced = announced_[token];
    Announcement parts;
    auto slot = engine_.arena().take();
    auto bytes = kFrameBytes + kPartsBytes;
    if (bytes + front.size() <= Arena::kSlotBytes) {
        std::memcpy(slot->data + bytes, front.data(), front.size());
        bytes += front.size();
    } else {
        announced.front = pool_.take();
        std::memcpy(announced.front->data, front.data(), front.size());
        announced.front->size = front.size();
        parts.front = expose(*announced.front);
    }
    if (payload && payload->size != 0) {
        parts.payload = expose(*payload);
        announced.payload = std::move(payload);
    }
    encode_frame(next_frame(FrameKind::announced, token), std::span(slot->data, kFrameBytes));
    encode_announcement(parts, std::span(slot->data + kFrameBytes, kPartsBytes));
    post_frame(std::move(slot), bytes, nullptr);
}

Part Link::expose(const Staging &staging) const {
    const auto *registration = static_cast<const ibv_mr *>(static_cast<const StagingBuffer &>(staging).registration);
    return {.address = reinterpret_cast<std::uintptr_t>(staging.data),
            .key = registration->rkey,
            .bytes = static_cast<std::uint32_t>(staging.size)};
}

void Link::post_control(FrameKind kind, std::uint32_t token) {
    auto slot = engine_.arena().take();
    encode_frame(next_frame(kind, token), std::span(slot->data, kFrameBytes));
    post_frame(std::move(slot), kFrameBytes, nullptr);
}

void Link::post_frame(SlotPtr slot, std::size_t bytes, StagingPtr payload) {
    active_ = true;
    bool posted = false;
    if (bytes <= queue_->inline_bytes() && !payload) {
        posted = queue_->send_inline(std::span(slot->data, bytes));
    } else {
        std::array<ibv_sge, 2> pieces{};
        pieces[0] = {.addr = reinterpret_cast<std::uintptr_t>(slot->data),
                     .length = static_cast<std::uint32_t>(bytes),
                     .lkey = slot->key};
        std::size_t count = 1;
        if (payload && payload->size != 0) {
            const auto *buffer = static_cast<const StagingBuffer *>(payload.get());
            pieces[count++] = {.addr = reinterpret_cast<std::uintptr_t>(payload->data),
                               .length = static_cast<std::uint32_t>(payload->size),
                               .lkey = static_cast<const ibv_mr *>(buffer->registration)->lkey};
        }
        posted = queue_->send(std::span(pieces).first(count),
                              {.slot = std::move(slot), .staging = std::move(payload), .done = nullptr});
    }
    if (!posted) {
        break_off("the device takes no more requests");
    }
}

} // namespace norma::rpc::verbs
