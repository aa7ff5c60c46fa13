// SPDX-License-Identifier: BSD-3-Clause
// The directory side of snapshots: freezing a stretch, settling pages before a transaction, and the end of stretches.
// The specification is docs/snapshots.md.
#include "dsm/core/sides.hpp"

#include <algorithm>
#include <utility>

namespace norma::dsm {

namespace {

// Ended stretches that may stay in the line because a page of theirs is needed.
constexpr std::ptrdiff_t kMaxEnded = 8;

} // namespace

std::size_t State::place_of(std::uint64_t stretch) const {
    if (!line_.empty() && line_.front().number == stretch) {
        return 0;
    }
    const auto found = std::find_if(line_.begin(), line_.end(), [&](const Stretch &s) { return s.number == stretch; });
    return static_cast<std::size_t>(found - line_.begin());
}

std::vector<std::uint64_t> State::line() const {
    std::vector<std::uint64_t> numbers;
    for (const Stretch &stretch : line_) {
        numbers.push_back(stretch.number);
    }
    return numbers;
}

void DirectorySide::freeze(std::uint64_t stretch) {
    Stretch &frozen = s_.line_.at(s_.place_of(stretch));
    if (++frozen.freezes == 1 && frozen.freezing.none()) {
        frozen.freeze = s_.next_transaction_++;
        own_copy_.freeze(stretch, frozen.freeze);
        frozen.freezing = std::exchange(frozen.writers, {}) & ~s_.down_;
        frozen.freezing.reset(s_.self_);
        const Msg msg{.type = MsgType::freeze, .txn = frozen.freeze, .base = stretch * s_.pages_};
        for_each_node(frozen.freezing, [&](NodeId node) { send_to(node, msg); });
    }
    if (frozen.frozen()) {
        announce(frozen);
    }
}

void DirectorySide::on_frozen(NodeId from, const Msg &msg) {
    const std::size_t place = s_.place_of(s_.stretch_of(msg.base));
    if (place == s_.line_.size() || s_.line_[place].freeze != msg.txn || !s_.line_[place].freezing[from]) {
        ++s_.late_;
        return;
    }
    no_longer_freezing(s_.line_[place], from);
}

void DirectorySide::no_longer_freezing(Stretch &stretch, NodeId node) {
    if (stretch.freezing[node]) {
        stretch.freezing.reset(node);
        if (stretch.frozen()) {
            announce(stretch);
        } else if (!stretch.holds_writes()) {
            let_write(stretch);
        }
    }
}

void DirectorySide::announce(const Stretch &stretch) {
    out_.push_back({.type = Effect::Type::frozen,
                    .access = Access::none,
                    .to = 0,
                    .base = stretch.number * s_.pages_,
                    .mask = 0,
                    .msg = {},
                    .from = 0});
}

void DirectorySide::snapshot(std::uint64_t stretch) {
    const std::size_t place = s_.place_of(stretch);
    NORMA_CHECK(s_.line_.at(place).frozen() && s_.next_stretch().has_value());
    Stretch made;
    made.number = s_.next_stretch_++;
    s_.line_.insert(s_.line_.begin() + static_cast<std::ptrdiff_t>(place) + 1, made);
}

void DirectorySide::thaw(std::uint64_t stretch) {
    Stretch &thawed = s_.line_.at(s_.place_of(stretch));
    NORMA_CHECK(thawed.freezes > 0);
    --thawed.freezes;
    if (!thawed.holds_writes()) {
        let_write(thawed);
    }
}

void DirectorySide::let_write(Stretch &stretch) {
    const auto held = std::exchange(stretch.held, {});
    for (const auto &[key, get] : held) {
        accept(get);
    }
}

void DirectorySide::hold(const Get &get, std::size_t place) {
    if (!s_.line_[place].held.try_emplace({get.base, get.from}, get).second) {
        ++s_.rejected_;
    }
}

// What has to come before the transaction that serves a get. False: the get waits somewhere.
bool DirectorySide::prepare(Get &get) {
    const std::size_t place = s_.place_of(s_.stretch_of(get.base));
    if (get.write && s_.line_[place].holds_writes()) {
        hold(get, place);
        return false;
    }
    if (s_.line_.size() == 1) {
        return true;
    }
    if (!settle(get, place)) {
        return false;
    }
    return !get.write || s_.directory_.look(get.base).lost || preserve(get, place);
}

// Pending pages of the window get their content, as far as the home has it; the first one for certain.
bool DirectorySide::settle(const Get &get, std::size_t place) {
    Page &page = s_.directory_.at(get.base);
    if (!page.settled) {
        const PageIndex source = source_of(get.base, place);
        Page &from = s_.directory_.at(source);
        if (from.lost) {
            lose(page);
            settled(source, get.base);
            return true;
        }
        if (!holds(from, s_.self_)) {
            if (from.busy != kNoSlot) {
                wait(source, get);
            } else {
                enqueue_first(from, get);
                fetch(source, get.count);
            }
            return false;
        }
    }
    for (std::uint32_t i = 0; i < get.count; ++i) {
        if (s_.directory_.look(get.base + i).settled) {
            continue;
        }
        const PageIndex source = source_of(get.base + i, place);
        const Page &from = s_.directory_.look(source);
        if (!from.lost && holds(from, s_.self_)) { // also if it is busy: whom it is given to may not write it
            copy(source, get.base + i);
        }
    }
    return true;
}

// Before a page is written, what reads through to it gets its content; likewise.
bool DirectorySide::preserve(Get &get, std::size_t place) {
    Page &page = s_.directory_.at(get.base);
    if (!holds(page, s_.self_) && reader_of(get.base, place)) {
        if (get.from == s_.self_) {
            get.write = false; // it will have a copy then, and asks again
            get.have = false;
            return true;
        }
        enqueue_first(page, get);
        fetch(get.base, get.count);
        return false;
    }
    for (std::uint32_t i = 0; i < get.count; ++i) {
        const Page &from = s_.directory_.look(get.base + i);
        if (!from.settled || from.lost || !holds(from, s_.self_)) {
            continue;
        }
        if (const auto reader = reader_of(get.base + i, place)) {
            copy(get.base + i, *reader);
        }
    }
    return true;
}

void DirectorySide::copy(PageIndex from, PageIndex to) {
    own_copy_.settle(from, to);
    settled(from, to);
}

void DirectorySide::settled(PageIndex from, PageIndex to) {
    Page &page = s_.directory_.at(to);
    NORMA_CHECK(!page.settled && page.busy == kNoSlot);
    page.settled = true;
    const std::size_t place = s_.place_of(s_.stretch_of(from));
    if (s_.line_[place].ended && !reader_of(from, place)) {
        no_longer_needed(from, place);
    }
}

// For reading, and for the directory's sake: no thread of the home waits for it.
DirectorySide::Get DirectorySide::own_get(PageIndex base, std::uint32_t count) const {
    return {.request = 0,
            .base = base,
            .count = count,
            .next = kNoSlot,
            .from = s_.self_,
            .write = false,
            .have = false,
            .release = false};
}

// The home gets copies.
void DirectorySide::fetch(PageIndex base, std::uint32_t count) {
    const Page &page = s_.directory_.look(base);
    Transaction opening{.number = s_.next_transaction_++,
                        .get = own_get(base, count),
                        .mask = 1,
                        .waiting = {},
                        .supplier = supplier_of(page, false),
                        .phase = State::Phase::invalidating,
                        .upgrade = false};
    opening.mask |= extras(opening);
    begin(opening);
}

PageIndex DirectorySide::source_of(PageIndex page, std::size_t place) const {
    PageIndex source = page;
    while (!s_.directory_.look(source).settled) {
        NORMA_CHECK(place > 0);
        source = s_.line_[--place].number * s_.pages_ + page % s_.pages_;
    }
    return source;
}

// The page to be settled before `page` is written: the nearest one of a live stretch that reads through to it.
std::optional<PageIndex> DirectorySide::reader_of(PageIndex page, std::size_t place) const {
    while (++place < s_.line_.size()) {
        const PageIndex next = s_.line_[place].number * s_.pages_ + page % s_.pages_;
        if (s_.directory_.look(next).settled) {
            return std::nullopt;
        }
        if (!s_.line_[place].ended) {
            return next;
        }
    }
    return std::nullopt;
}

bool DirectorySide::has_reader(PageIndex page) const {
    return s_.line_.size() > 1 && reader_of(page, s_.place_of(s_.stretch_of(page)));
}

// Whom a transaction gives pages to, and maybe the right to write them.
void DirectorySide::give(const Transaction &opening) {
    Stretch &stretch = s_.line_[s_.place_of(s_.stretch_of(opening.get.base))];
    stretch.given.set(opening.get.from);
    if (opening.get.write) {
        stretch.writers.set(opening.get.from);
    }
}

void DirectorySide::end(std::uint64_t stretch) {
    std::size_t place = s_.place_of(stretch);
    NORMA_CHECK(place < s_.line_.size() && !s_.line_[place].ended);
    s_.line_[place].ended = true;
    // Of ended stretches before it, pages that only this one has read through to are not needed any more either.
    count_needed(place);
    while (place > 0 && s_.line_[place - 1].ended) {
        count_needed(--place);
    }
    empty_one();
}

// visit(reader) for each page of the stretch that is needed: what would be settled before it was written.
template <class Visit> void DirectorySide::for_each_needed(std::size_t place, Visit visit) const {
    const auto look = [&](PageIndex page, const Page &entry) {
        if (const auto reader = entry.settled ? reader_of(page, place) : std::nullopt) {
            visit(*reader);
        }
    };
    if (s_.line_[place].number > 0) {
        s_.directory_.for_each_of(s_.line_[place].number, look);
        return;
    }
    for (PageIndex page = 0; page < s_.pages_; ++page) { // all are settled, with or without an entry
        look(page, s_.directory_.look(page));
    }
}

void DirectorySide::count_needed(std::size_t place) {
    std::uint64_t &needed = s_.line_[place].needed;
    needed = 0;
    for_each_needed(place, [&needed](PageIndex) { ++needed; });
}

void DirectorySide::no_longer_needed(PageIndex index, std::size_t place) {
    Stretch &stretch = s_.line_[place];
    NORMA_CHECK(stretch.needed > 0);
    --stretch.needed;
    const Page &page = s_.directory_.look(index);
    if (page.owner == s_.self_ && page.sharers.none() && page.busy == kNoSlot && !page.lost) {
        own_copy_.drop(index, 1, s_.next_transaction_++);
    }
}

// Too many ended stretches: what reads through to the one that is needed least gets its pages.
void DirectorySide::empty_one() {
    const auto ended = std::count_if(s_.line_.begin(), s_.line_.end(), [](const Stretch &s) { return s.ended; });
    if (ended <= kMaxEnded) {
        return;
    }
    const auto least = std::min_element(s_.line_.begin(), s_.line_.end(), [](const Stretch &a, const Stretch &b) {
        return std::pair(!a.ended, a.needed) < std::pair(!b.ended, b.needed);
    });
    const auto place = static_cast<std::size_t>(least - s_.line_.begin());
    std::vector<PageIndex> readers;
    for_each_needed(place, [&readers](PageIndex reader) { readers.push_back(reader); });
    for (const PageIndex reader : readers) {
        accept(own_get(reader, 1));
    }
}

void DirectorySide::discard_unneeded() {
    if (s_.line_.size() == 1) {
        return;
    }
    for (std::size_t place = s_.line_.size(); place-- > 0;) {
        const Stretch &stretch = s_.line_[place];
        if (stretch.ended && stretch.needed == 0 && !stretch.holds_writes() && quiet(stretch)) {
            discard(place);
        }
    }
}

bool DirectorySide::quiet(const Stretch &stretch) const {
    bool quiet = true;
    s_.directory_.for_each_of(stretch.number, [&](PageIndex, const Page &page) {
        quiet = quiet && page.busy == kNoSlot && page.queue_first == kNoSlot;
    });
    return quiet;
}

void DirectorySide::discard(std::size_t place) {
    const Stretch gone = s_.line_[place];
    const Msg msg{.type = MsgType::forget, .base = gone.number * s_.pages_};
    for_each_node(gone.given & ~s_.down_, [&](NodeId node) {
        if (node != s_.self_) {
            send_to(node, msg);
        }
    });
    own_copy_.forget(gone.number);
    s_.directory_.forget(gone.number);
    s_.line_.erase(s_.line_.begin() + static_cast<std::ptrdiff_t>(place));
}

} // namespace norma::dsm
