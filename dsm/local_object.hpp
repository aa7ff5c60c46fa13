// SPDX-License-Identifier: BSD-3-Clause
// What the pager keeps of one object; internal to it.
#pragma once

#include "dsm/guards.hpp"
#include "dsm/pager.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <system_error>

namespace norma::dsm {

inline constexpr std::uint64_t kPage = rpc::kPageBytes;
// A stream that has proved itself asks for this many full batches at once.
inline constexpr std::uint32_t kBatchesAhead = 4;

// A thread that waits for a page; kept until the core resolves the page.
struct Waiting {
    Space *space;
    PageIndex page;
    PageFault fault;
    std::uint32_t window;
};

// Pages that have to be here for writing and stay. A page may be in several.
struct Wiring {
    PageIndex first;
    std::uint64_t pages;
    PageIndex settled;                        // up to here they are
    std::function<void(WiringResult)> done{}; // null once called
    PageIndex end() const { return first + pages; }
    bool covers(PageIndex page) const { return page >= first && page < end(); }
};

// Pages that are on their way to the object's file.
struct Saving {
    PageIndex next, end; // what is before `next` is settled
    SavingResult result = SavingResult::saved;
    std::function<void(SavingResult)> done{};
};

// Pages that are fetched ahead of the task that will use them, in order.
struct Bringing {
    std::vector<Batch> batches;
    std::size_t asked = 0, settled = 0; // batches
    std::function<void()> done{};
};

struct LocalObject {
    // `life` tells apart the times this node has known the object, so that a late answer to a request of an earlier one
    // matches none of this one.
    LocalObject(const ObjectId &object, NodeId self, NodeId home, std::uint64_t page_count, std::uint64_t life)
        : id(object), pages(page_count), frames(page_count),
          core(object, self, home, page_count, {.request = life << 32 | 1}) {}
    // Where the stretch of a page begins.
    PageIndex start_of_stretch(PageIndex page) const { return page / pages * pages; }

    ObjectId id;
    std::uint64_t pages; // of each stretch
    Frames frames;       // of all stretches, one behind the other
    State core;
    // Until another node asks for a page, the local mappings are plain memory that the kernel fills with zeros itself;
    // then they are registered with their tasks' userfaultfds, once and for ever.
    bool shared = false;
    std::vector<Space *> spaces; // each task that maps a part of it, once
    std::vector<Waiting> waiting;
    StreamDetector streams;
    Guards guards;
    std::vector<Bringing> bringings;
    std::vector<Wiring> wirings;   // at the home only, as what follows
    std::unique_ptr<Backing> file; // null: it begins as zeros
    std::vector<Saving> savings;
    // Visits the parts of [page, page + count) that `space` maps: (range, first page, number of pages).
    template <class Visit>
    static void parts(Space &space, const LocalObject *object, PageIndex page, std::uint64_t count, Visit visit) {
        for (auto &[start, range] : space.ranges) {
            if (range.object != object) {
                continue;
            }
            const auto from = std::max(page, range.first);
            const auto to = std::min(page + count, range.first + range.pages);
            if (from < to) {
                visit(range, from, to - from);
            }
        }
    }
};

inline std::uint64_t address_of(const Space::Range &range, PageIndex page) {
    return range.start + (page - range.first) * kPage;
}

// Throws unless the operation on a task's memory succeeded, or the memory is going away: then the reaper cleans up.
inline void check(int error, const char *what) {
    if (error != 0 && error != ESRCH && error != ENOENT) {
        throw std::system_error(error, std::generic_category(), what);
    }
}

// visit(first bit, number of bits) for every run of set bits.
template <class Visit> void for_each_run(std::uint64_t mask, Visit visit) {
    while (mask != 0) {
        const auto first = static_cast<unsigned>(std::countr_zero(mask));
        const auto count = static_cast<unsigned>(std::countr_one(mask >> first));
        visit(first, count);
        mask = first + count >= 64 ? 0 : mask & (~std::uint64_t{0} << (first + count));
    }
}

template <class Which> void Pager::let_go(LocalObject &object, Which which) {
    waiting_ -= std::erase_if(object.waiting, [&](const Waiting &waiting) {
        const bool gone = which(waiting);
        if (gone) {
            goes_on(waiting);
        }
        return gone;
    });
}

} // namespace norma::dsm
