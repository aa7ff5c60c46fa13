// SPDX-License-Identifier: BSD-3-Clause
// The cache side: what this node holds, what it has asked for, and what it gives up.
#include "dsm/core/sides.hpp"

#include <algorithm>
#include <utility>

namespace norma::dsm {

namespace {

bool overlap(const Msg &a, const Msg &b) {
    const Msg &low = a.base < b.base ? a : b;
    const Msg &high = a.base < b.base ? b : a;
    const PageIndex distance = high.base - low.base;
    return distance < kBatch && (low.mask >> distance & high.mask) != 0;
}

} // namespace

void CacheSide::fault(PageIndex page, bool write, std::uint32_t window) {
    const Access now = s_.access(page);
    const bool enough = now == Access::write || (now == Access::read && !write);
    if (enough || now == Access::lost) {
        emit(Effect::Type::resolve, page, 1, now);
        return;
    }
    if (s_.down_[s_.home_] && !s_.pause_) {
        // What is held stays usable, but nothing more can be had. Not remembered: the page is not lost to readers here.
        emit(Effect::Type::resolve, page, 1, Access::lost);
        return;
    }
    State::CachePage &entry = s_.cache_.at(page);
    const bool will_be_asked_for = s_.pause_ && entry.want != 0;
    entry.want |= write ? kWantWrite : kWantRead;
    if (entry.request == kNoSlot && !will_be_asked_for) {
        ask(page, write, window);
    }
}

// Only a wish: the pages stay until the home takes them, so that no race comes of it. At the home there is no way out.
void CacheSide::evict(PageIndex page, std::uint32_t window) {
    if (s_.is_home() || s_.down_[s_.home_] || s_.pause_) {
        return;
    }
    const std::uint64_t mask = held(page, low_bits(window), UINT64_MAX);
    if (mask != 0) {
        send_home({.type = MsgType::release, .base = page, .mask = mask});
    }
}

void CacheSide::fetch(PageIndex page) {
    if (s_.cache_.look(page).request == kNoSlot && !s_.pause_) {
        ask(page, true, 1);
    }
}

void CacheSide::ask(PageIndex page, bool write, std::uint32_t window) {
    if (s_.pause_) {
        s_.pause_->unsent.emplace_back(page, window);
        return;
    }
    const bool have = s_.access(page) == Access::read;
    NORMA_CHECK(write || !have);
    const std::uint32_t count = window_from(page, window);
    const std::uint64_t number = s_.next_request_++;
    const std::uint32_t slot = s_.requests_.take({.number = number, .base = page, .count = count, .write = write});
    for (std::uint32_t i = 0; i < count; ++i) {
        s_.cache_.at(page + i).request = slot;
    }
    send_home({.type = MsgType::get, .write = write, .have = have, .count = count, .request = number, .base = page});
}

void CacheSide::ask_for(std::span<const std::pair<PageIndex, std::uint32_t>> unsent) {
    for (const auto &[page, window] : unsent) {
        State::CachePage &entry = s_.cache_.at(page);
        if (entry.want == 0 || entry.request != kNoSlot) {
            continue;
        }
        const Access now = s_.access(page);
        if (now == Access::none || (now == Access::read && (entry.want & kWantWrite) != 0)) {
            ask(page, (entry.want & kWantWrite) != 0, window);
        } else { // it has become the home's own
            entry.want = 0;
            emit(Effect::Type::resolve, page, 1, now);
        }
    }
}

void CacheSide::give_up(std::span<const std::pair<PageIndex, std::uint32_t>> unsent) {
    for (const auto &[page, window] : unsent) {
        if (std::exchange(s_.cache_.at(page).want, std::uint8_t{0}) != 0) {
            emit(Effect::Type::resolve, page, 1, Access::lost);
        }
    }
}

// How many pages from `page` on can be asked for together: like the first, and not under way already.
std::uint32_t CacheSide::window_from(PageIndex page, std::uint32_t window) const {
    const Access access = s_.access(page);
    std::uint32_t count = 1;
    while (count < window && count < s_.room(page)) {
        if (s_.cache_.look(page + count).request != kNoSlot || s_.access(page + count) != access) {
            break;
        }
        ++count;
    }
    return count;
}

// All pages of a request stop being pending together, so its base still leads to it for as long as it lives.
std::uint32_t CacheSide::find_request(std::uint64_t number, PageIndex base) const {
    const std::uint32_t slot = s_.cache_.look(base).request;
    if (slot == kNoSlot) {
        return kNoSlot;
    }
    const State::Request &request = s_.requests_[slot];
    return request.number == number && request.base == base ? slot : kNoSlot;
}

void CacheSide::on_data(NodeId from, const Msg &msg) {
    if (s_.is_home() && msg.request == 0 && !msg.write) {
        on_fetched(msg);
        return;
    }
    const std::uint32_t slot = find_request(msg.request, msg.base);
    if (slot == kNoSlot) {
        // A failure notice or the home's death ended the request, and the home has been told what was not accepted.
        ++s_.late_;
        return;
    }
    const State::Request &request = s_.requests_[slot];
    // The home may be given less than it asked for (docs/snapshots.md, section 3).
    const bool fits = (msg.mask & ~low_bits(request.count)) == 0 &&
                      (msg.write == request.write || (s_.is_home() && request.write)) &&
                      having(msg.base, msg.mask, Access::none) == msg.mask;
    if (!fits) {
        ++s_.rejected_;
        return;
    }
    const Access got = s_.limit(msg.base, msg.write ? Access::write : Access::read, msg.txn);
    const std::uint64_t accepted = in_time(msg);
    if (accepted != 0) {
        emit(Effect::Type::install, msg.base, accepted, got);
    }
    concern(msg.base, accepted, msg.txn);
    set_access(msg.base, accepted, got);
    conclude(slot, from == s_.home_ ? 0 : msg.txn, accepted, got);
}

void CacheSide::on_grant(const Msg &msg) {
    const std::uint32_t slot = find_request(msg.request, msg.base);
    if (slot == kNoSlot) {
        ++s_.late_;
        return;
    }
    const State::Request &request = s_.requests_[slot];
    if ((msg.mask & ~low_bits(request.count)) != 0 || !msg.write || !request.write) {
        ++s_.rejected_;
        return;
    }
    // Access to bytes that are not here would be access to zeros: such a page is left out and asked for with its data.
    const std::uint64_t accepted = having(msg.base, in_time(msg), Access::read);
    const Access got = s_.limit(msg.base, Access::write, msg.txn);
    concern(msg.base, accepted, msg.txn);
    set_access(msg.base, accepted, got);
    conclude(slot, 0, accepted, got);
}

// What the home's directory fetched. Nobody waits for it here: a thread that wants the page has a request of its own.
void CacheSide::on_fetched(const Msg &data) {
    const std::uint64_t accepted = having(data.base, in_time(data), Access::none);
    if (accepted != 0) {
        emit(Effect::Type::install, data.base, accepted, Access::read);
    }
    set_access(data.base, accepted, Access::read);
    concern(data.base, accepted, data.txn);
    send_home({.type = MsgType::done, .txn = data.txn, .base = data.base, .mask = accepted});
    supply_deferred();
}

// The home asked itself for reading, and when the get had its turn the page was here.
void CacheSide::on_here(std::uint64_t request, PageIndex base) {
    const std::uint32_t slot = find_request(request, base);
    if (slot != kNoSlot) {
        conclude(slot, 0, having(base, low_bits(s_.requests_[slot].count), Access::read), Access::read);
    }
}

void CacheSide::settle(PageIndex from, PageIndex to) {
    out_.push_back(
        {.type = Effect::Type::copy, .access = Access::read, .to = 0, .base = to, .mask = 1, .msg = {}, .from = from});
    set_access(to, 1, Access::read);
}

void CacheSide::on_freeze(const Msg &msg) {
    freeze(s_.stretch_of(msg.base), msg.txn);
    send_home({.type = MsgType::frozen, .txn = msg.txn, .base = msg.base});
}

void CacheSide::freeze(std::uint64_t stretch, std::uint64_t txn) {
    std::uint64_t &floor = s_.floors_[stretch];
    if (floor < txn) { // else it came twice, and pages may be writable again since
        floor = txn;
        emit(Effect::Type::freeze, stretch * s_.pages_, 0);
    }
}

void CacheSide::forget(std::uint64_t stretch) {
    for (std::uint32_t slot = 0; slot < s_.requests_.end(); ++slot) {
        if (s_.requests_.in_use(slot) && s_.stretch_of(s_.requests_[slot].base) == stretch) {
            s_.requests_.give_back(slot);
        }
    }
    std::erase_if(s_.deferred_, [&](const Msg &forward) { return s_.stretch_of(forward.base) == stretch; });
    s_.cache_.forget(stretch);
    s_.floors_.erase(stretch);
    emit(Effect::Type::forget, stretch * s_.pages_, 0);
}

void CacheSide::on_fail(const Msg &msg) {
    if (s_.is_home() && msg.request == 0 && msg.txn != 0) {
        send_home({.type = MsgType::done, .txn = msg.txn, .base = msg.base}); // of a fetch
        return;
    }
    const std::uint32_t slot = find_request(msg.request, msg.base);
    if (slot == kNoSlot) {
        // The data came after all; the done that is under way says so and must stay the only answer.
        ++s_.late_;
        return;
    }
    if ((msg.mask & ~low_bits(s_.requests_[slot].count)) != 0) {
        ++s_.rejected_;
        return;
    }
    if (msg.lost) {
        const std::uint64_t stranded = held(msg.base, msg.mask, UINT64_MAX);
        if (stranded != 0) {
            drop(msg.base, stranded, 0);
        }
        set_access(msg.base, msg.mask, Access::lost);
        emit(Effect::Type::resolve, msg.base, msg.mask, Access::lost);
    }
    if (msg.txn == 0) { // lost, or of a stretch that has ended
        for_each_bit(msg.mask, [&](std::uint32_t i) { s_.cache_.at(msg.base + i).want = 0; });
    }
    conclude(slot, msg.txn, 0, Access::none);
}

// The request is over: wakes threads, tells the home if it waits for that (txn is not 0), serves who waited for the
// pages to come, and asks again for what threads still want. In this order: a thread must not wait for the bookkeeping,
// and a forward must not wait for a request that the home will only look at when the forward has been answered.
void CacheSide::conclude(std::uint32_t slot, std::uint64_t txn, std::uint64_t accepted, Access got) {
    const State::Request request = s_.requests_[slot];
    s_.requests_.give_back(slot);
    if (accepted != 0) {
        emit(Effect::Type::resolve, request.base, accepted, got);
    }
    if (txn != 0) {
        send_home({.type = MsgType::done, .txn = txn, .base = request.base, .mask = accepted});
    }
    for (std::uint32_t i = 0; i < request.count; ++i) {
        State::CachePage &page = s_.cache_.at(request.base + i);
        page.request = kNoSlot;
        if ((accepted >> i & 1) != 0) {
            page.want &= got == Access::write ? 0 : kWantWrite;
        }
    }
    supply_deferred();
    ask_again(request);
}

// Page by page: they were left out of the answer because something sets them apart.
void CacheSide::ask_again(const State::Request &request) {
    for (std::uint32_t i = 0; i < request.count; ++i) {
        const PageIndex index = request.base + i;
        State::CachePage &page = s_.cache_.at(index);
        if (page.want == 0 || page.request != kNoSlot) {
            continue;
        }
        if (page.want == kWantRead && s_.access(index) == Access::read) { // settled at the home, or fetched, meanwhile
            page.want = 0;
            emit(Effect::Type::resolve, index, 1, Access::read);
        } else {
            ask(index, (page.want & kWantWrite) != 0, 1);
        }
    }
}

void CacheSide::on_forward(const Msg &msg) {
    if (!on_its_way(msg)) {
        supply(msg);
    } else if (!defer(msg)) {
        ++s_.rejected_;
    }
}

// The home made this node the owner and goes on from there, but its data has been overtaken.
bool CacheSide::on_its_way(const Msg &forward) const {
    const std::uint64_t missing = having(forward.base, forward.mask, Access::none);
    bool result = false;
    for_each_bit(missing, [&](std::uint32_t i) { result |= s_.cache_.look(forward.base + i).request != kNoSlot; });
    return result;
}

// A page has one transaction at a time, so only a requester that has died since can have left a forward behind: there
// is at most one for each page and requester. That bounds the list.
bool CacheSide::defer(const Msg &forward) {
    for (const Msg &other : s_.deferred_) {
        if (other.requester == forward.requester && overlap(other, forward)) {
            return false;
        }
    }
    s_.deferred_.push_back(forward);
    return true;
}

void CacheSide::supply_deferred() {
    if (s_.deferred_.empty()) {
        return;
    }
    std::vector<Msg> forwards = std::exchange(s_.deferred_, {});
    for (const Msg &forward : forwards) {
        if (on_its_way(forward)) {
            s_.deferred_.push_back(forward);
        } else {
            supply(forward);
        }
    }
}

std::uint64_t CacheSide::supply(const Msg &forward) {
    const std::uint64_t supplied = held(forward.base, forward.mask, forward.txn);
    if (supplied != 0) {
        protect(forward.base, supplied);
        emit(Effect::Type::stage, forward.base, supplied);
        if (forward.write) {
            drop(forward.base, supplied, forward.txn);
        }
    }
    concern(forward.base, forward.mask, forward.txn);
    // Sent even when nothing is supplied: the requester's done is what ends the transaction.
    send(s_.to_self_, s_.self_, forward.requester,
         {.type = MsgType::data,
          .write = forward.write,
          .txn = forward.txn,
          .request = forward.request,
          .base = forward.base,
          .mask = supplied},
         out_);
    return supplied;
}

void CacheSide::on_inval(const Msg &msg) {
    const std::uint64_t dropped = held(msg.base, msg.mask, msg.txn);
    if (dropped != 0) {
        drop(msg.base, dropped, msg.txn);
    }
    concern(msg.base, msg.mask, msg.txn);
    send_home({.type = MsgType::inval_ack, .txn = msg.txn, .base = msg.base, .mask = msg.mask});
}

void CacheSide::on_home_down() {
    s_.deferred_.clear(); // of a dead node's bookkeeping
    for (std::uint32_t slot = 0; slot < s_.requests_.end(); ++slot) {
        if (!s_.requests_.in_use(slot)) {
            continue;
        }
        const State::Request request = s_.requests_[slot];
        s_.requests_.give_back(slot);
        std::uint64_t waiting = 0;
        for (std::uint32_t i = 0; i < request.count; ++i) {
            State::CachePage &page = s_.cache_.at(request.base + i);
            waiting |= std::uint64_t{page.want != 0} << i;
            page.request = kNoSlot;
            page.want = 0;
        }
        emit(Effect::Type::resolve, request.base, waiting, Access::lost);
    }
}

void CacheSide::drop(PageIndex base, std::uint64_t mask, std::uint64_t txn) {
    protect(base, mask);
    emit(Effect::Type::drop, base, mask);
    set_access(base, mask, Access::none);
    concern(base, mask, txn);
}

// Takes write access away, so that what is read afterwards is final.
void CacheSide::protect(PageIndex base, std::uint64_t mask) {
    const std::uint64_t writable = having(base, mask, Access::write);
    if (writable != 0) {
        emit(Effect::Type::protect, base, writable);
        for_each_bit(writable, [&](std::uint32_t i) { s_.cache_.at(base + i).access = Access::read; });
    }
}

// The pages of mask that are here and were here when the home began transaction txn.
std::uint64_t CacheSide::held(PageIndex base, std::uint64_t mask, std::uint64_t txn) const {
    std::uint64_t result = 0;
    for_each_bit(mask, [&](std::uint32_t i) {
        const State::CachePage &page = s_.cache_.look(base + i);
        const bool here = page.access == Access::read || page.access == Access::write;
        result |= std::uint64_t{here && page.epoch <= txn} << i;
    });
    return result;
}

std::uint64_t CacheSide::having(PageIndex base, std::uint64_t mask, Access access) const {
    std::uint64_t result = 0;
    for_each_bit(mask, [&](std::uint32_t i) { result |= std::uint64_t{s_.access(base + i) == access} << i; });
    return result;
}

// The pages of an answer that no newer transaction has concerned: its messages may have overtaken the answer.
std::uint64_t CacheSide::in_time(const Msg &answer) const {
    std::uint64_t result = 0;
    for_each_bit(answer.mask, [&](std::uint32_t i) {
        result |= std::uint64_t{s_.cache_.look(answer.base + i).epoch < answer.txn} << i;
    });
    return result;
}

void CacheSide::concern(PageIndex base, std::uint64_t mask, std::uint64_t txn) {
    for_each_bit(mask, [&](std::uint32_t i) {
        State::CachePage &page = s_.cache_.at(base + i);
        page.access =
            s_.limit(base + i, page.access, page.epoch); // or the new epoch would bring back what a freeze took
        page.epoch = std::max(page.epoch, txn);
    });
}

void CacheSide::set_access(PageIndex base, std::uint64_t mask, Access access) {
    for_each_bit(mask, [&](std::uint32_t i) { s_.cache_.at(base + i).access = access; });
}

void CacheSide::emit(Effect::Type type, PageIndex base, std::uint64_t mask, Access access) {
    out_.push_back({.type = type, .access = access, .to = 0, .base = base, .mask = mask, .msg = {}, .from = 0});
}

} // namespace norma::dsm
