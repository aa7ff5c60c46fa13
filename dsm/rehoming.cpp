// SPDX-License-Identifier: BSD-3-Clause
// The pager's part about homes that move (docs/rehoming.md). Frames stay where they are: the directory moves.
#include "dsm/local_object.hpp"

#include <cassert>

namespace norma::dsm {

NodeId Pager::home(const ObjectId &id) const {
    return find(id)->core.home();
}

bool Pager::waits_for_home(const ObjectId &id) const {
    const auto *object = find(id);
    return object != nullptr && object->core.waits_for_home();
}

bool Pager::may_move(const ObjectId &id) const {
    const auto &object = *find(id);
    return object.core.may_move() && object.wirings.empty() && object.file == nullptr;
}

void Pager::move_home(const ObjectId &id, NodeId to, const NodeSet &holders) {
    auto &object = *find(id);
    assert(may_move(id));
    if (!object.shared) {
        share(object); // what is touched from now on is touched through the core, which knows then what is nowhere
    }
    run(object, {.type = Event::Type::move_home, .from = to, .holders = holders}, {});
    announce();
}

void Pager::hand_over(const ObjectId &id) {
    auto &object = *find(id);
    std::vector<PageRun> frames;
    for (PageIndex page = 0; page < object.pages;) {
        const auto [first, count] = object.frames.next(page, object.pages - page);
        if (count > 0) {
            frames.push_back({.first = first, .count = count});
        }
        page = first + count;
    }
    run(object, {.type = Event::Type::hand_over, .frames = frames}, {});
    settle_all(object);
    announce();
}

void Pager::stay_home(const ObjectId &id) {
    auto &object = *find(id);
    if (object.core.is_moving()) {
        run(object, {.type = Event::Type::stay_home}, {});
        settle_all(object);
        announce();
    }
}

} // namespace norma::dsm
