// SPDX-License-Identifier: BSD-3-Clause
// The pager's part about what programs say in advance (vm_behavior_set).
#include "dsm/local_object.hpp"

namespace norma::dsm {

namespace {

// visit(range, first address, pages) for every part of [address, address + pages) that is mapped.
template <class Visit> void for_each_part(Space &space, std::uint64_t address, std::uint64_t pages, Visit visit) {
    const auto end = address + pages * kPage;
    for (auto &[start, range] : space.ranges) {
        const auto from = std::max(address, range.start);
        const auto to = std::min(end, range.start + range.pages * kPage);
        if (from < to) {
            visit(range, from, (to - from) / kPage);
        }
    }
}

PageIndex page_at(const Space::Range &range, std::uint64_t address) {
    return range.first + (address - range.start) / kPage;
}

} // namespace

void Pager::advise(Space &space, std::uint64_t address, std::uint64_t pages, Advice advice) {
    space.split(address);
    space.split(address + pages * kPage);
    for_each_part(space, address, pages,
                  [&](Space::Range &range, std::uint64_t, std::uint64_t) { range.advice = advice; });
}

void Pager::fetch(Space &space, std::uint64_t address, std::uint64_t pages) {
    auto left = std::uint64_t{prefetch_} * kBatchesAhead;
    for_each_part(space, address, pages, [&](const Space::Range &range, std::uint64_t from, std::uint64_t count) {
        auto &object = *range.object;
        const auto wanted = static_cast<std::uint32_t>(std::min(count, left));
        if (object.shared) {
            ask(object, {page_at(range, from), wanted}, false);
            left -= wanted;
        }
    });
}

void Pager::evict(Space &space, std::uint64_t address, std::uint64_t pages) {
    for_each_part(space, address, pages, [&](const Space::Range &range, std::uint64_t from, std::uint64_t count) {
        for (auto page = page_at(range, from); count > 0;) {
            const auto batch = static_cast<std::uint32_t>(std::min<std::uint64_t>(kBatch, count));
            run(*range.object, {.type = Event::Type::evict, .page = page, .window = batch, .msg = {}}, {});
            page += batch;
            count -= batch;
        }
    });
}

} // namespace norma::dsm
