// SPDX-License-Identifier: BSD-3-Clause
// The pager's part about tasks: which of them map which part of an object.
#include "dsm/local_object.hpp"

#include <cassert>

namespace norma::dsm {

const Space::Range *Space::find(std::uint64_t address) const {
    auto next = ranges.upper_bound(address);
    if (next == ranges.begin()) {
        return nullptr;
    }
    const auto &range = std::prev(next)->second;
    return address < range.start + range.pages * kPage ? &range : nullptr;
}

void Pager::map(Space &space, std::uint64_t address, std::uint64_t pages, const ObjectId &id, PageIndex first) {
    auto *object = find(id);
    assert(object != nullptr && pages > 0 &&
           object->start_of_stretch(first) == object->start_of_stretch(first + pages - 1));
    object->frames.grow(object->start_of_stretch(first) + object->pages);
    const Space::Range range{.start = address, .pages = pages, .object = object, .first = first};
    space.ranges[address] = range;
    object->guards.clear();
    if (std::find(object->spaces.begin(), object->spaces.end(), &space) == object->spaces.end()) {
        object->spaces.push_back(&space);
    }
    if (object->shared) {
        register_range(*object, space, range);
    }
}

// From here on a missing page or a write to a protected one is reported to us. Pages that are here for reading only get
// their marker before the first touch, since the kernel would otherwise map a present frame writable without a word.
void Pager::register_range(LocalObject &object, Space &space, const Space::Range &range) {
    check(space.userfault.add_range(range.start, range.pages * kPage), "UFFDIO_REGISTER of a coherent range");
    object.core.for_each_readable_run(range.first, range.pages, [&](PageIndex page, std::uint64_t count) {
        check(space.userfault.protect(address_of(range, page), count * kPage), "UFFDIO_WRITEPROTECT");
    });
}

void Pager::share(LocalObject &object) {
    object.shared = true;
    for (auto *space : object.spaces) {
        LocalObject::parts(*space, &object, 0, object.pages, [&](const Space::Range &range, PageIndex, std::uint64_t) {
            register_range(object, *space, range);
        });
    }
}

void Space::split(std::uint64_t address) {
    auto next = ranges.upper_bound(address);
    if (next == ranges.begin()) {
        return;
    }
    auto &left = std::prev(next)->second;
    const auto keep = (address - left.start) / kPage;
    if (keep == 0 || keep >= left.pages) {
        return;
    }
    auto right = left;
    right.start = address;
    right.pages -= keep;
    right.first += keep;
    left.pages = keep;
    ranges.emplace(address, right);
}

void Pager::unmap(Space &space, std::uint64_t address, std::uint64_t pages) {
    const auto end = address + pages * kPage;
    space.split(address);
    space.split(end);
    for (auto next = space.ranges.lower_bound(address); next != space.ranges.end() && next->first < end;) {
        auto &object = *next->second.object;
        next = space.ranges.erase(next);
        let_go(object, [&](const Waiting &waiting) {
            return waiting.space == &space && waiting.fault.address >= address && waiting.fault.address < end;
        });
        const bool left_any = std::any_of(space.ranges.begin(), space.ranges.end(),
                                          [&](const auto &entry) { return entry.second.object == &object; });
        if (!left_any) {
            std::erase(object.spaces, &space);
        }
    }
}

void Pager::unmap_all(Space &space) {
    for (auto &[start, range] : space.ranges) {
        std::erase(range.object->spaces, &space);
        waiting_ -=
            std::erase_if(range.object->waiting, [&](const Waiting &waiting) { return waiting.space == &space; });
    }
    space.ranges.clear();
}

std::uint64_t Pager::lost(const ObjectId &id, PageIndex first, std::uint64_t pages) const {
    const auto &core = find(id)->core;
    std::uint64_t mask = 0;
    for (std::uint64_t i = 0; i < pages; ++i) {
        mask |= std::uint64_t{core.lost(first + i) || core.busy(first + i)} << i;
    }
    return mask;
}

void Pager::for_each_core(const std::function<void(const State &)> &visit) const {
    for (const auto &[id, object] : objects_) {
        visit(object->core);
    }
}

} // namespace norma::dsm
