// SPDX-License-Identifier: BSD-3-Clause
// The pager's part about snapshots: stretches that are frozen, copied and forgotten.
#include "dsm/local_object.hpp"

#include <cassert>
#include <utility>

namespace norma::dsm {

void Pager::freeze(const ObjectId &id, std::uint64_t stretch) {
    auto *object = find(id);
    assert(object != nullptr && object->core.is_home());
    stay_home(id);
    if (!object->shared) {
        share(*object);
    }
    run_about(id, stretch, Event::Type::freeze);
    announce();
}

// The frames come first: once the core knows the stretch there is no way back.
std::uint64_t Pager::snapshot(const ObjectId &id, std::uint64_t stretch) {
    auto *object = find(id);
    assert(object != nullptr && object->core.is_home());
    const auto made = object->core.next_stretch();
    if (!made) {
        throw std::system_error(EFBIG, std::generic_category(), "the next stretch of a memory object");
    }
    object->frames.grow((*made + 1) * object->pages);
    run_about(id, stretch, Event::Type::snapshot);
    return *made;
}

void Pager::thaw(const ObjectId &id, std::uint64_t stretch) {
    run_about(id, stretch, Event::Type::thaw);
}

void Pager::end(const ObjectId &id, std::uint64_t stretch) {
    stay_home(id);
    run_about(id, stretch, Event::Type::end);
}

void Pager::run_about(const ObjectId &id, std::uint64_t stretch, Event::Type type) {
    auto *object = find(id);
    assert(object != nullptr && object->core.is_home());
    Event event;
    event.type = type;
    event.stretch = stretch;
    run(*object, event, {});
    settle_all(*object);
}

// Not while effects are carried out: who is told may have more to do with the pager, and the object may be gone then.
void Pager::announce() {
    for (const auto &[id, stretch] : std::exchange(frozen_, {})) {
        hooks_.frozen(id, stretch);
    }
    for (const auto &[id, news] : std::exchange(home_news_, {})) {
        hooks_.home(id, news);
    }
}

// A whole stretch at once, so that it does not matter how many of its pages are here. Wired pages are had anew, for
// writing, as soon as the protocol allows: what is registered with the network is written whether it is protected or
// not.
void Pager::protect_stretch(LocalObject &object, PageIndex base) {
    object.guards.clear(base, object.pages);
    for (auto *space : object.spaces) {
        LocalObject::parts(
            *space, &object, base, object.pages, [&](const Space::Range &range, PageIndex page, std::uint64_t pages) {
                check(space->userfault.protect(address_of(range, page), pages * kPage), "UFFDIO_WRITEPROTECT");
            });
    }
    for (auto &wiring : object.wirings) {
        if (object.start_of_stretch(wiring.first) == base) {
            wiring.settled = wiring.first;
        }
    }
}

// Pages of zeros stay holes: at the home, where alone this is done, a hole reads as zeros.
void Pager::copy(LocalObject &object, const Effect &effect) {
    std::uint64_t zero = 0;
    const auto bytes = read_frames(object, effect.from, effect.mask, zero);
    std::size_t used = 0;
    for_each_run(effect.mask & ~zero, [&](unsigned first, unsigned count) {
        place(object, effect.base + first, std::span(bytes->data + used, count * kPage), false);
        used += count * kPage;
    });
}

} // namespace norma::dsm
