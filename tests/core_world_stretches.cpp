// SPDX-License-Identifier: BSD-3-Clause
// The world's part about snapshots: what the home is told, what executors do for it, and what the observer demands
// (docs/snapshots.md, section 6).
#include "tests/core_world.hpp"

#include <algorithm>

namespace norma::dsm {

void World::order(Event::Type type, std::uint64_t stretch) {
    constexpr const char *kNames[] = {"freeze", "snapshot", "thaw", "end"};
    if (trace_ != nullptr) {
        const auto name = static_cast<unsigned>(type) - static_cast<unsigned>(Event::Type::freeze);
        note(std::string(kNames[name]) + ": stretch " + std::to_string(stretch));
    }
    run(home_, {.type = type, .stretch = stretch}, {});
}

void World::freeze(std::uint64_t stretch) {
    call_off_move();
    ++stretches_[stretch].freezes;
    order(Event::Type::freeze, stretch);
}

// What it holds is decided here and now: the last writes to the other stretch.
std::uint64_t World::snapshot(std::uint64_t stretch) {
    check_frozen(stretch);
    const std::uint64_t made = node(home_).next_stretch().value();
    if (made != stretches_.size()) {
        wrong("stretch " + std::to_string(made) + " is not the next one");
    }
    stretches_.emplace_back();
    for (PageIndex page = 0; page < pages_; ++page) {
        latest_.push_back(latest_[stretch * pages_ + page]);
    }
    for (NodeId id = 0; id < size(); ++id) {
        change(id).frames.resize(latest_.size());
        change(id).waiting.resize(latest_.size());
    }
    order(Event::Type::snapshot, stretch);
    for (PageIndex page = 0; page < pages_; ++page) {
        check_page(made * pages_ + page);
    }
    return made;
}

void World::thaw(std::uint64_t stretch) {
    if (--stretches_[stretch].freezes == 0) {
        stretches_[stretch].frozen = false;
    }
    order(Event::Type::thaw, stretch);
}

// Its mappings are gone, and with them the threads that wait.
void World::end(std::uint64_t stretch) {
    call_off_move();
    stretches_[stretch].live = false;
    for (NodeId id = 0; id < size(); ++id) {
        Node &here = change(id);
        for (PageIndex page = stretch * pages_; page < (stretch + 1) * pages_; ++page) {
            here.waiting[page] = {};
        }
    }
    order(Event::Type::end, stretch);
}

void World::copy(NodeId node, PageIndex from, PageIndex to) {
    const Frame &source = frame(node, from);
    if (node != home_ || source.mapping != Mapping::read_only) {
        wrong("a copy of what is not at the home and write-protected: page " + std::to_string(from));
    }
    if (frame(node, to).mapping != Mapping::none) {
        wrong("a copy over a frame: page " + std::to_string(to));
    }
    change(node).frames[to] = {.mapping = Mapping::read_only, .version = frame(node, from).version};
}

void World::freeze_mappings(NodeId node, PageIndex base) {
    for (PageIndex page = base; page < std::min(base + pages_, pages()); ++page) {
        Frame &here = change(node).frames[page];
        here.mapping = here.mapping == Mapping::writable ? Mapping::read_only : here.mapping;
    }
}

void World::forget_frames(NodeId node, PageIndex base) {
    if (live(base / pages_)) {
        wrong("the frames of a live stretch are discarded: page " + std::to_string(base));
    }
    for (PageIndex page = base; page < base + pages_; ++page) {
        change(node).frames[page] = {};
    }
}

void World::check_frozen(std::uint64_t stretch) {
    stretches_[stretch].frozen = true;
    for (NodeId id = 0; id < size(); ++id) {
        for (PageIndex page = stretch * pages_; page < (stretch + 1) * pages_; ++page) {
            if (alive(id) && !outcast(id) && frame(id, page).mapping == Mapping::writable) {
                wrong("node " + std::to_string(id) + " can write a frozen stretch, page " + std::to_string(page));
            }
        }
    }
}

// For all pages with the same place in their stretches: a pending page has its source's content, and a page that
// somebody can write is nobody's source.
void World::check_line(PageIndex page) {
    if (stretches_.size() == 1 || !home_in_charge()) {
        return;
    }
    const State &home = node(home_);
    PageIndex source = 0;
    for (const std::uint64_t stretch : home.line()) {
        const PageIndex next = stretch * pages_ + page % pages_;
        if (home.settled(next)) {
            source = next;
            continue;
        }
        if (!live(stretch)) {
            continue;
        }
        if (!home.lost(source) && latest_[next] != latest_[source]) {
            wrong("pending page " + std::to_string(next) + " is write " + std::to_string(latest_[next]) +
                  ", but reads through to page " + std::to_string(source) + ", write " +
                  std::to_string(latest_[source]));
        }
        for (NodeId id = 0; id < size(); ++id) {
            if (alive(id) && !outcast(id) && frame(id, source).mapping == Mapping::writable) {
                wrong("node " + std::to_string(id) + " can write page " + std::to_string(source) +
                      ", to which a pending page reads through");
            }
        }
    }
}

// An ended stretch stays only while a pending page reads through to one of its pages.
void World::check_ended() {
    const State &home = node(home_);
    const auto line = home.line();
    unsigned ended = 0;
    for (std::size_t place = 0; place < line.size(); ++place) {
        if (live(line[place])) {
            continue;
        }
        ++ended;
        bool needed = line.size() == 1;
        for (PageIndex page = 0; page < pages_ && !needed; ++page) {
            if (!home.settled(line[place] * pages_ + page)) {
                continue;
            }
            for (std::size_t next = place + 1; next < line.size() && !home.settled(line[next] * pages_ + page);
                 ++next) {
                needed |= live(line[next]);
            }
        }
        if (!needed) {
            wrong("stretch " + std::to_string(line[place]) + " has ended and stays");
        }
    }
    if (ended > 8) {
        wrong(std::to_string(ended) + " ended stretches stay");
    }
    for (std::uint64_t stretch = 0; stretch < stretches(); ++stretch) {
        if (live(stretch) || home.has_stretch(stretch)) {
            continue;
        }
        for (NodeId id = 0; id < size(); ++id) {
            for (PageIndex page = stretch * pages_; page < (stretch + 1) * pages_; ++page) {
                const bool known = frame(id, page).mapping != Mapping::none || node(id).access(page) != Access::none;
                if (alive(id) && !outcast(id) && known) {
                    wrong("node " + std::to_string(id) + " keeps page " + std::to_string(page) + ", which is over");
                }
            }
        }
    }
}

} // namespace norma::dsm
