// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/inbox.hpp"

#include <utility>

namespace norma::rpc {

Inbox::Offer Inbox::offer(const Message &message) {
    const Turn turn{message.header.source_incarnation, message.header.sequence};
    const bool open = incarnation_ != 0;
    if (open && turn.sequence == next_) {
        ++next_;
        return Offer::deliver;
    }
    if ((open && turn.sequence < next_) || held_.contains(turn)) {
        return Offer::repeat;
    }
    // Empty messages cost memory too, hence the header's size on top.
    const std::size_t size = kHeaderBytes + message.record.size() + message.payload.size();
    if (held_bytes_ + size > kMaxHeldBytes) {
        return Offer::refused;
    }
    Held held;
    held.record_bytes = message.record.size();
    held.bytes.reserve(size);
    held.bytes.assign(message.record.begin(), message.record.end());
    held.bytes.insert(held.bytes.end(), message.payload.begin(), message.payload.end());
    held_.emplace(turn, std::move(held));
    held_bytes_ += size;
    return Offer::held;
}

bool Inbox::ready() const {
    return incarnation_ != 0 && !held_.empty() && held_.begin()->first.sequence == next_;
}

bool Inbox::take(Held &out) {
    if (!ready()) {
        return false;
    }
    auto first = held_.begin();
    out = std::move(first->second);
    held_.erase(first);
    held_bytes_ -= kHeaderBytes + out.bytes.size();
    ++next_;
    return true;
}

std::size_t Inbox::open(std::uint32_t incarnation) {
    incarnation_ = incarnation;
    next_ = 0;
    const auto before = held_.size();
    std::erase_if(held_, [&](const auto &entry) { return entry.first.incarnation != incarnation; });
    held_bytes_ = 0;
    for (const auto &[turn, held] : held_) {
        held_bytes_ += kHeaderBytes + held.bytes.size();
    }
    return before - held_.size();
}

void Inbox::close() {
    *this = Inbox{};
}

} // namespace norma::rpc
