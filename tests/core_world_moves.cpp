// SPDX-License-Identifier: BSD-3-Clause
// The world's part about homes that move (docs/rehoming.md). A page that was never written stands for one without a
// frame.
#include "tests/core_world.hpp"

namespace norma::dsm {

bool World::may_move_home(NodeId to) const {
    return to != home_ && home_in_charge() && node(home_).may_move() && alive(to) && !node(home_).is_down(to);
}

void World::move_home(NodeId to) {
    if (trace_ != nullptr) {
        note("the home moves: to node " + std::to_string(to));
    }
    NodeSet holders;
    for (NodeId id = 0; id < size(); ++id) {
        holders.set(id, id != home_);
    }
    run(home_, {.type = Event::Type::move_home, .from = to, .holders = holders}, {});
}

// Whoever freezes a stretch does not wait for the move.
void World::call_off_move() {
    if (node(home_).is_moving()) {
        run(home_, {.type = Event::Type::stay_home}, {});
    }
}

void World::hand_over(NodeId node) {
    std::vector<PageRun> frames;
    for (PageIndex page = 0; page < pages_; ++page) {
        if (frame(node, page).mapping != Mapping::none && frame(node, page).version != 0) {
            frames.push_back({.first = page, .count = 1});
        }
    }
    run(node, {.type = Event::Type::hand_over, .frames = frames}, {});
    for (PageIndex page = 0; page < pages_; ++page) {
        Frame &here = change(node).frames[page];
        if (here.version == 0 && this->node(node).access(page) == Access::none) {
            here.mapping = Mapping::none; // a hole that the next home has now
        }
    }
}

void World::take_holes(NodeId node) {
    home_ = node;
    homes_.push_back(node);
    for (PageIndex page = 0; page < pages_; ++page) {
        Frame &here = change(node).frames[page];
        if (here.mapping == Mapping::none) {
            here = {.mapping = mapping_for(this->node(node).access(page)), .version = 0};
        }
    }
}

} // namespace norma::dsm
