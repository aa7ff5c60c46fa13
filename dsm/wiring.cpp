// SPDX-License-Identifier: BSD-3-Clause
// The pager's part about pages that are wired: they are at their object's home, for writing, and other nodes do not get
// them. So one-sided access, of which the protocol knows nothing, changes the only copy there is.
#include "dsm/local_object.hpp"

#include <cassert>
#include <utility>

namespace norma::dsm {

namespace {

bool wired(const LocalObject &object, PageIndex page) {
    return std::any_of(object.wirings.begin(), object.wirings.end(),
                       [page](const Wiring &wiring) { return wiring.covers(page); });
}

} // namespace

void Pager::wire(const ObjectId &id, PageIndex first, std::uint64_t pages, std::function<void(WiringResult)> done) {
    auto *object = find(id);
    assert(object != nullptr && pages > 0);
    stay_home(id);
    if (!object->core.is_home()) { // it has moved in the meantime
        done(WiringResult::lost);
        return;
    }
    assert(object->start_of_stretch(first) == object->start_of_stretch(first + pages - 1));
    if (load(*object, first, pages) < pages) {
        done(WiringResult::lost);
        return;
    }
    object->wirings.push_back({.first = first, .pages = pages, .settled = first, .done = std::move(done)});
    // What is registered with the network is written without a fault, and must not raise one while it is registered.
    for (auto group = first / Guards::kGroup * Guards::kGroup; group < first + pages; group += Guards::kGroup) {
        const auto mask = object->guards.take(group);
        for (auto *space : object->spaces) {
            unprotect(*object, *space, group, mask);
        }
    }
    settle_wirings(*object);
}

void Pager::unwire(const ObjectId &id, PageIndex first, std::uint64_t pages) {
    auto *object = find(id);
    if (object == nullptr) {
        return; // its last user has ended in the meantime
    }
    auto &wirings = object->wirings;
    const auto found = std::find_if(wirings.begin(), wirings.end(), [&](const Wiring &wiring) {
        return wiring.first == first && wiring.pages == pages && wiring.done == nullptr;
    });
    assert(found != wirings.end());
    wirings.erase(found);
}

// Whether `msg` asks for a page that is wired, or cannot be read from its file, in which case it has been answered. One
// that asks for pages in front of such a one is cut short: what is left out of an answer is asked for again by whoever
// touches it.
bool Pager::refused(LocalObject &object, NodeId from, Msg &msg) {
    if (msg.type != MsgType::get || from == self_ || msg.count == 0 || msg.count > kBatch) {
        return false;
    }
    const auto there = load(object, msg.base, msg.count);
    if (there == 0 || wired(object, msg.base)) {
        send(object, from, {.type = MsgType::fail, .request = msg.request, .base = msg.base, .mask = 1, .lost = true},
             nullptr);
        return true;
    }
    std::uint32_t clear = 1;
    while (clear < there && !wired(object, msg.base + clear)) {
        ++clear;
    }
    msg.count = clear;
    return false;
}

// Called whenever something may have changed. `done` may wire and unwire; it is called once, whatever becomes of the
// pages later: a sweep takes the right to write from them, and then they are had anew.
void Pager::settle_wirings(LocalObject &object) {
    for (std::size_t i = 0; i < object.wirings.size();) {
        auto &wiring = object.wirings[i];
        WiringResult result{};
        const bool over = wiring.settled == wiring.end() && wiring.done == nullptr;
        if (over || !settle(object, wiring, result) || wiring.done == nullptr) {
            ++i;
            continue;
        }
        const auto done = std::exchange(wiring.done, nullptr);
        if (result != WiringResult::wired) {
            object.wirings.erase(object.wirings.begin() + static_cast<std::ptrdiff_t>(i));
        }
        done(result);
        i = 0;
    }
}

// Asks for what is missing, a batch at a time; true: over. A page that is here and that no transaction concerns stays,
// because no request for it is let in any more; what was let in before is waited for.
bool Pager::settle(LocalObject &object, Wiring &wiring, WiringResult &result) {
    while (wiring.settled < wiring.end()) {
        const auto page = wiring.settled;
        const auto &core = object.core;
        if (core.access(page) == Access::lost || core.lost(page)) {
            result = WiringResult::lost;
            return true;
        }
        if (core.access(page) == Access::write && !core.busy(page)) {
            ++wiring.settled;
            continue;
        }
        if (core.busy(page) || core.pending(page)) {
            return false;
        }
        const auto batch = static_cast<std::uint32_t>(std::min<std::uint64_t>(prefetch_, wiring.end() - page));
        // To the core this is a fault for which no thread happens to wait.
        run(object, {.type = Event::Type::fault, .page = page, .write = true, .window = batch, .msg = {}}, {});
        if (core.access(page) != Access::write && !core.busy(page) && !core.pending(page)) {
            result = WiringResult::lost;
            return true;
        }
    }
    const bool there = object.frames.allocate(wiring.first, wiring.pages);
    result = there ? WiringResult::wired : WiringResult::no_memory;
    return true;
}

} // namespace norma::dsm
