// SPDX-License-Identifier: BSD-3-Clause
// What the observer holds against a job: two writers, an old copy, a record that is not true, somebody who waits for
// ever.
#include "tests/core_world.hpp"

#include <algorithm>

namespace norma::dsm {

namespace {

std::string place(NodeId node, PageIndex page) {
    return "node " + std::to_string(node) + ", page " + std::to_string(page);
}

} // namespace

// Single writer or many readers, all of the last write, and every executor's mappings are what its core believes.
void World::check_page(PageIndex page) {
    unsigned writers = 0;
    unsigned readers = 0;
    for (NodeId id = 0; id < size(); ++id) {
        if (!alive(id)) {
            continue;
        }
        const auto [mapping, version] = frame(id, page);
        if (mapping != mapping_for(node(id).access(page))) {
            wrong("the mapping is not what the core believes: " + place(id, page));
        }
        writers += mapping == Mapping::writable ? 1 : 0;
        if (outcast(id)) {
            continue;
        }
        readers += mapping == Mapping::read_only ? 1 : 0;
        if (mapping != Mapping::none && version != latest_[page]) {
            wrong("an old copy can be read: " + place(id, page));
        }
    }
    check_line(page);
    if (writers > 1 || (writers == 1 && readers > 0)) {
        wrong("page " + std::to_string(page) + " has " + std::to_string(writers) + " writers and " +
              std::to_string(readers) + " readers");
    }
}

void World::check_quiet() {
    const bool frozen =
        std::any_of(stretches_.begin(), stretches_.end(), [](const Stretch &s) { return s.freezes > 0; });
    for (NodeId id = 0; id < size(); ++id) {
        const State &state = node(id);
        if (!alive(id) || suspected(id)) {
            continue;
        }
        if (frozen) {
            continue; // who wants to write waits for the thaw
        }
        if (waits(id) || state.waits_for_home() || state.pending_requests() != 0 || state.deferred_forwards() != 0) {
            wrong("node " + std::to_string(id) + " waits for ever");
        }
        if (state.open_transactions() != 0 || state.queued_gets() != 0) {
            wrong("the home has transactions that never end");
        }
    }
    for (PageIndex page = 0; page < pages(); ++page) {
        check_page(page);
        if (home_in_charge() && live(page / pages_)) {
            check_record(page);
        }
    }
    if (home_in_charge()) {
        check_ended();
    } else if (!deaths_) {
        wrong("nobody is the home");
    }
}

// The directory names exactly the nodes that hold the page.
void World::check_record(PageIndex page) {
    const State &home = node(home_);
    for (NodeId id = 0; id < size(); ++id) {
        const bool named = home.settled(page) && !home.lost(page) && (home.owner(page) == id || home.sharers(page)[id]);
        const bool holds = alive(id) && !outcast(id) && frame(id, page).mapping != Mapping::none;
        // The news that a page is lost may have died with a former home; its holder keeps it to itself.
        const bool not_told = holds && home.lost(page) && homes_.size() > 1 && deaths_;
        if (named != holds && !not_told) {
            wrong(std::string("the directory ") + (named ? "names one who does not hold it: " : "forgot a holder: ") +
                  place(id, page));
        }
    }
    if (home.lost(page) && !deaths_) {
        wrong("lost although nobody died: page " + std::to_string(page));
    }
}

} // namespace norma::dsm
