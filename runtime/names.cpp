// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/names.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace norma::rt {

namespace {

constexpr std::uint32_t kMostRefs = MACH_PORT_UREFS_MAX;

Right the_dead() {
    return {.kind = Right::Kind::dead, .task = 0, .thread = 0};
}

void raise(std::uint32_t &refs) {
    refs = std::min(refs + 1, kMostRefs);
}

} // namespace

NameSpace::NameSpace(std::uint32_t first, std::map<std::uint32_t, Right> fixed) : next_(first) {
    for (const auto &[name, right] : fixed) {
        entries_[name] = {.right = right, .fixed = true, .sends = 1};
        by_right_[right] = name;
    }
}

const NameSpace::Entry *NameSpace::find(std::uint32_t name) const {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second;
}

NameSpace::Entry *NameSpace::entry(std::uint32_t name) {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second;
}

std::uint32_t NameSpace::name_of(const Right &right) const {
    const auto found = by_right_.find(right);
    return found == by_right_.end() ? MACH_PORT_NULL : found->second;
}

bool NameSpace::is_free(std::uint32_t name) const {
    return MACH_PORT_VALID(name) && !entries_.contains(name);
}

// Names are not used again before all others have been, so that one kept too long is wrong rather than another's.
std::uint32_t NameSpace::next_free() {
    while (!is_free(next_)) {
        ++next_;
    }
    return next_++;
}

NameSpace::Added NameSpace::add(const Carried &carried) {
    if (carried.right.kind == Right::Kind::none || carried.right.kind == Right::Kind::dead) {
        return {.name = carried.right.kind == Right::Kind::none ? MACH_PORT_NULL : MACH_PORT_DEAD,
                .took_reference = false};
    }
    auto name = name_of(carried.right);
    name = name != 0 ? name : next_free();
    bool took = false;
    add_as(name, carried, took);
    return {.name = name, .took_reference = took};
}

kern_return_t NameSpace::add_as(std::uint32_t name, const Carried &carried, bool &took_reference) {
    took_reference = false;
    const auto &right = carried.right;
    assert(right.kind != Right::Kind::none && right.kind != Right::Kind::dead);
    if (const auto known = name_of(right); known != 0 && known != name) {
        return KERN_RIGHT_EXISTS;
    }
    if (!MACH_PORT_VALID(name)) {
        return KERN_INVALID_VALUE;
    }
    const auto [found, added] = entries_.try_emplace(name, Entry{.right = right});
    auto &entry = found->second;
    if (entry.right != right) {
        return KERN_NAME_EXISTS;
    }
    by_right_[right] = name;
    if (carried.receive.any()) {
        entry.receive = carried.receive;
    } else if (!entry.fixed) {
        took_reference = entry.sends == 0;
        raise(entry.sends);
    }
    return KERN_SUCCESS;
}

kern_return_t NameSpace::allocate_dead(std::uint32_t &name) {
    if (name != 0 && !is_free(name)) {
        return MACH_PORT_VALID(name) ? KERN_NAME_EXISTS : KERN_INVALID_VALUE;
    }
    name = name != 0 ? name : next_free();
    entries_[name] = {.right = the_dead(), .dead = 1};
    return KERN_SUCCESS;
}

kern_return_t NameSpace::take(std::uint32_t name, std::uint32_t disposition, Taken &taken, Letting &out) {
    if (disposition < MACH_MSG_TYPE_MOVE_RECEIVE || disposition > MACH_MSG_TYPE_MAKE_SEND ||
        disposition == MACH_MSG_TYPE_MOVE_SEND_ONCE) {
        return KERN_INVALID_VALUE;
    }
    auto *found = entry(name);
    if (found == nullptr) {
        return KERN_INVALID_NAME;
    }
    const bool receive = disposition == MACH_MSG_TYPE_MOVE_RECEIVE || disposition == MACH_MSG_TYPE_MAKE_SEND;
    if (receive ? !found->receive.any() : found->sends + found->dead == 0) {
        return KERN_INVALID_RIGHT;
    }
    taken = {.carried = {.right = found->right}};
    if (disposition == MACH_MSG_TYPE_MOVE_RECEIVE) {
        taken.carried.receive = std::exchange(found->receive, Key{});
    } else if (disposition == MACH_MSG_TYPE_MOVE_SEND && !found->fixed) {
        --(found->dead > 0 ? found->dead : found->sends);
        taken.needs_reference = found->sends > 0;
    } else {
        taken.needs_reference = found->dead == 0;
    }
    drop_if_empty(name, out);
    return KERN_SUCCESS;
}

NameSpace::Added NameSpace::put_back(std::uint32_t name, const Carried &carried, bool alive) {
    if (!alive) {
        auto *found = entry(name);
        if (found != nullptr && found->right.kind == Right::Kind::dead) {
            raise(found->dead);
        } else {
            std::uint32_t dead = is_free(name) ? name : 0;
            allocate_dead(dead);
            name = dead;
        }
        return {.name = name, .took_reference = false};
    }
    bool took = false;
    return add_as(name, carried, took) == KERN_SUCCESS ? Added{.name = name, .took_reference = took} : add(carried);
}

std::uint32_t NameSpace::refs(const Entry &entry, std::uint32_t kind) {
    switch (kind) {
    case MACH_PORT_RIGHT_SEND:
        return entry.sends;
    case MACH_PORT_RIGHT_RECEIVE:
        return entry.receive.any() ? 1 : 0;
    case MACH_PORT_RIGHT_DEAD_NAME:
        return entry.dead;
    default:
        return 0;
    }
}

std::uint32_t NameSpace::types(std::uint32_t name) const {
    const auto *found = find(name);
    if (found == nullptr) {
        return MACH_PORT_TYPE_NONE;
    }
    return (found->sends > 0 ? MACH_PORT_TYPE_SEND : 0) | (found->receive.any() ? MACH_PORT_TYPE_RECEIVE : 0) |
           (found->dead > 0 ? MACH_PORT_TYPE_DEAD_NAME : 0) |
           (found->notify.kind != Right::Kind::none ? MACH_PORT_TYPE_DNREQUEST : 0);
}

kern_return_t NameSpace::mod_refs(std::uint32_t name, std::uint32_t kind, std::int32_t delta, Letting &out) {
    if (kind > MACH_PORT_RIGHT_DEAD_NAME || kind == MACH_PORT_RIGHT_SEND_ONCE || kind == MACH_PORT_RIGHT_PORT_SET) {
        return KERN_INVALID_VALUE;
    }
    auto *found = entry(name);
    if (found == nullptr) {
        return KERN_INVALID_NAME;
    }
    const std::int64_t now = refs(*found, kind), then = now + delta;
    if (now == 0) {
        return KERN_INVALID_RIGHT;
    }
    if (then < 0 || (kind == MACH_PORT_RIGHT_RECEIVE && delta > 0)) {
        return KERN_INVALID_VALUE;
    }
    if (then > kMostRefs) {
        return KERN_UREFS_OVERFLOW;
    }
    if (found->fixed) {
        return KERN_SUCCESS;
    }
    const auto right = found->right;
    if (kind == MACH_PORT_RIGHT_RECEIVE) {
        if (then == 0) {
            out.push_back({.right = right, .receive = std::exchange(found->receive, Key{})});
        }
    } else if (kind == MACH_PORT_RIGHT_SEND) {
        found->sends = static_cast<std::uint32_t>(then);
        if (then == 0) {
            out.push_back({.right = right});
        }
    } else {
        found->dead = static_cast<std::uint32_t>(then);
    }
    drop_if_empty(name, out);
    return KERN_SUCCESS;
}

kern_return_t NameSpace::deallocate(std::uint32_t name, Letting &out) {
    const auto *found = find(name);
    if (found == nullptr) {
        return KERN_INVALID_NAME;
    }
    return mod_refs(name, found->dead > 0 ? MACH_PORT_RIGHT_DEAD_NAME : MACH_PORT_RIGHT_SEND, -1, out);
}

kern_return_t NameSpace::destroy(std::uint32_t name, Letting &out) {
    auto *found = entry(name);
    if (found == nullptr) {
        return KERN_INVALID_NAME;
    }
    if (!found->fixed) {
        let_go_of(*found, out);
        by_right_.erase(found->right);
        entries_.erase(name);
    }
    return KERN_SUCCESS;
}

void NameSpace::ask_for_death(std::uint32_t name, const Right &notify, Letting &previous) {
    auto &found = entries_.at(name);
    if (found.notify.kind != Right::Kind::none) {
        previous.push_back({.right = found.notify});
    }
    found.notify = notify;
}

Slots NameSpace::slots() const {
    return {slots_.begin(), slots_.lower_bound(kSlotsOfThread)};
}

HeldRight NameSpace::slot(std::uint64_t slot) const {
    const auto found = slots_.find(slot);
    return found == slots_.end() ? HeldRight{} : found->second;
}

void NameSpace::set_slot(std::uint64_t slot, const HeldRight &held, Letting &out) {
    if (const auto found = slots_.find(slot); found != slots_.end()) {
        out.push_back({.right = found->second.right});
        slots_.erase(found);
    }
    if (held.right.kind != Right::Kind::none) {
        slots_[slot] = held;
    }
}

void NameSpace::thread_ended(std::uint64_t thread, Letting &out) {
    const auto first = slots_.lower_bound(thread * kSlotsOfThread);
    const auto last = slots_.lower_bound((thread + 1) * kSlotsOfThread);
    for (auto slot = first; slot != last; ++slot) {
        out.push_back({.right = slot->second.right});
    }
    slots_.erase(first, last);
}

Slots NameSpace::slots_of_threads() const {
    return {slots_.lower_bound(kSlotsOfThread), slots_.end()};
}

Letting NameSpace::surrender() {
    Letting receivers;
    for (auto &[name, entry] : entries_) {
        if (entry.receive.any()) {
            receivers.push_back({.right = entry.right, .receive = std::exchange(entry.receive, Key{})});
        }
    }
    return receivers;
}

bool NameSpace::adopt(std::uint32_t name, const Entry &entry) {
    if (!is_free(name) || name_of(entry.right) != MACH_PORT_NULL) {
        return false;
    }
    entries_[name] = entry;
    if (entry.right.kind != Right::Kind::dead) {
        by_right_[entry.right] = name;
    }
    return true;
}

NameSpace::Death NameSpace::port_died(const Right &right, Letting &out) {
    std::erase_if(slots_, [&](const auto &slot) {
        if (slot.second.right == right) {
            out.push_back({.right = right});
        }
        return slot.second.right == right;
    });
    const auto place = by_right_.find(right);
    if (place == by_right_.end()) {
        return {};
    }
    const auto name = place->second;
    by_right_.erase(place);
    auto &found = entries_.at(name);
    Death death{.name = name, .notify = std::exchange(found.notify, Right{})};
    if (found.sends > 0) {
        out.push_back({.right = right});
    }
    found.right = the_dead();
    found.receive = {};
    found.dead = std::max(std::exchange(found.sends, 0U), 1U);
    if (death.notify.kind != Right::Kind::none) {
        raise(found.dead);
    }
    return death;
}

void NameSpace::clear(Letting &out) {
    for (auto &[name, entry] : entries_) {
        let_go_of(entry, out);
    }
    for (const auto &[slot, held] : slots_) {
        out.push_back({.right = held.right});
    }
    entries_.clear();
    by_right_.clear();
    slots_.clear();
}

void NameSpace::let_go_of(Entry &entry, Letting &out) {
    if (entry.sends > 0) {
        out.push_back({.right = entry.right});
    }
    if (entry.receive.any()) {
        out.push_back({.right = entry.right, .receive = entry.receive});
    }
    if (entry.notify.kind != Right::Kind::none) {
        out.push_back({.right = entry.notify});
    }
}

void NameSpace::drop_if_empty(std::uint32_t name, Letting &out) {
    auto &found = entries_.at(name);
    if (found.sends == 0 && found.dead == 0 && !found.receive.any()) {
        let_go_of(found, out);
        by_right_.erase(found.right);
        entries_.erase(name);
    }
}

} // namespace norma::rt
