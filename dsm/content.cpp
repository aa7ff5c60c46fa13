// SPDX-License-Identifier: BSD-3-Clause
// The pager's part about which pages of a stretch have content at all, for who wants to read all of it.
#include "dsm/local_object.hpp"

#include <algorithm>

namespace norma::dsm {

// What is before the stretch in the line counts, too: it reads through to that.
std::vector<bool> Pager::content(const ObjectId &id, std::uint64_t stretch) const {
    const auto &object = *find(id);
    std::vector<bool> found(object.pages);
    for (const auto number : object.core.line()) {
        const auto base = number * object.pages, end = base + object.pages;
        for (auto page = base; page < end;) {
            const auto [start, count] = object.frames.next(page, end - page);
            std::fill_n(found.begin() + static_cast<std::ptrdiff_t>(start - base), count, true);
            page = start + count;
        }
        object.core.for_each_elsewhere(number, [&](PageIndex page) { found[page - base] = true; });
        if (number == stretch) {
            break;
        }
    }
    return found;
}

void Pager::read(const ObjectId &id, PageIndex page, std::span<std::byte> into) const {
    find(id)->frames.read(page, into);
}

void Pager::write(const ObjectId &id, PageIndex page, std::span<const std::byte> from) {
    find(id)->frames.write(page, from);
}

} // namespace norma::dsm
