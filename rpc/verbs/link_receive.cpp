// SPDX-License-Identifier: BSD-3-Clause
// The receiving side of a Link: frames, and the reads that announced messages need.
#include "rpc/verbs/link.hpp"

#include <cassert>
#include <utility>

#include <fmt/core.h>

namespace norma::rpc::verbs {

namespace {
constexpr std::size_t kFetchesAtOnce = 4;
}

void Link::received(SlotPtr slot, std::size_t bytes) {
    ArrivedFrame arrived;
    const bool good = decode_frame(std::span<const std::byte>(slot->data, bytes), arrived) &&
                      credits_ + arrived.frame.credits <= peer_credits_;
    if (!good || revoked_) {
        give_back(std::move(slot));
        if (!good) {
            break_off("it sent what is no frame of a node server");
        }
        return;
    }
    credits_ += arrived.frame.credits;
    switch (arrived.frame.kind) {
    case FrameKind::message:
        hooks_.message(*this, {}, arrived.content);
        break;
    case FrameKind::announced:
        begin_fetch(std::move(slot), arrived);
        return;
    case FrameKind::fetched:
        if (announced_.erase(arrived.frame.token) == 0) {
            break_off(fmt::format("it has read message {}, which was not announced", arrived.frame.token));
        }
        break;
    case FrameKind::credits:
        break;
    }
    give_back(std::move(slot));
}

void Link::give_back(SlotPtr slot) {
    engine_.post_receive(std::move(slot));
    ++owed_;
}

void Link::begin_fetch(SlotPtr slot, const ArrivedFrame &arrived) {
    fetches_.push_back({.token = arrived.frame.token,
                        .parts = arrived.announcement,
                        .slot = std::move(slot),
                        .front = arrived.content,
                        .front_staging = nullptr,
                        .payload = nullptr});
    start_fetches();
}

// At most so many at once, as each holds buffers; the first in line first, as the others' turn comes after it.
void Link::start_fetches() {
    std::size_t running = 0;
    for (auto &fetch : fetches_) {
        if (running++ == kFetchesAtOnce || revoked_ || queue_->room() < 3) {
            return;
        }
        if (!std::exchange(fetch.started, true)) {
            fetch.reads = (fetch.parts.front.bytes != 0 ? 1 : 0) + (fetch.parts.payload.bytes != 0 ? 1 : 0);
            read_part(fetch, fetch.parts.front, fetch.front_staging);
            read_part(fetch, fetch.parts.payload, fetch.payload);
        }
    }
}

void Link::read_part(Fetch &fetch, const Part &part, StagingPtr &into) {
    if (part.bytes == 0) {
        return;
    }
    into = pool_.take();
    into->size = part.bytes;
    const auto *registration = static_cast<const ibv_mr *>(static_cast<StagingBuffer *>(into.get())->registration);
    active_ = true;
    const bool posted =
        queue_->read({.data = into->data, .bytes = part.bytes, .key = registration->lkey},
                     {.address = part.address, .key = part.key},
                     {.slot = nullptr, .staging = nullptr, .done = [this, &fetch](bool ok) { read_done(fetch, ok); }});
    if (!posted) {
        break_off("the device takes no more requests");
    }
}

void Link::read_done(Fetch &fetch, bool ok) {
    if (!ok || revoked_ || --fetch.reads != 0) {
        return; // a failed read breaks the connection, which its completion says too
    }
    if (fetch.front_staging) {
        fetch.front = std::span<const std::byte>(fetch.front_staging->data, fetch.front_staging->size);
    }
    const auto data = fetch.payload ? std::span<const std::byte>(fetch.payload->data, fetch.payload->size)
                                    : std::span<const std::byte>{};
    hooks_.message(*this, fetch.front, data);
    to_confirm_.push_back(fetch.token);
    give_back(std::move(fetch.slot));
    fetches_.remove_if([&](const Fetch &other) { return &other == &fetch; });
    start_fetches();
    pump();
}

} // namespace norma::rpc::verbs
