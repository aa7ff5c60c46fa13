// SPDX-License-Identifier: BSD-3-Clause
// The pager's part about objects with a file, at their home. A page is read before the core hears of the first access
// to it, from whatever node, and to any of its copies: so to the core it is a page as any other, and one that cannot be
// read is refused before the protocol begins.
#include "dsm/local_object.hpp"

#include <array>
#include <cassert>
#include <utility>

namespace norma::dsm {

using Content = Backing::Content;

Backing &Pager::file(const ObjectId &id) const {
    return *find(id)->file;
}

void Pager::load(const ObjectId &id, PageIndex first, std::uint64_t pages) {
    auto *object = find(id);
    for (auto page = first; page < first + pages;) {
        page += load(*object, page, first + pages - page) + 1; // what cannot be read is passed over
    }
}

// How many pages from `page` on can be had; what is in the file still is read. A copy has what the object itself had.
std::uint64_t Pager::load(LocalObject &object, PageIndex page, std::uint64_t count) {
    if (object.file == nullptr) {
        return count;
    }
    const auto first = page % object.pages;
    count = std::min(count, object.pages - first);
    for (std::uint64_t i = 0; i < count;) {
        const auto content = object.file->content(first + i);
        const auto alike = [&](std::uint64_t other) {
            return object.file->content(first + other) == content &&
                   object.core.access(first + other) == object.core.access(first + i);
        };
        auto run = i + 1;
        while (run < count && run - i < kBatch && alike(run)) {
            ++run;
        }
        if (content == Content::nowhere) {
            return i;
        }
        if (content == Content::in_file && !load_run(object, first + i, run - i)) {
            run = i; // page by page, up to the one that cannot be read
            while (run < count && load_run(object, first + run, 1)) {
                ++run;
            }
            if (run < count) {
                object.file->set(first + run, 1, Content::nowhere);
                return run;
            }
        }
        i = run;
    }
    return count;
}

// Pages that are all as the file has them, and may all be used here in the same way.
bool Pager::load_run(LocalObject &object, PageIndex page, std::uint64_t count) {
    alignas(kPage) static std::array<std::byte, kBatch * kPage> bytes;
    const auto part = std::span(bytes).first(count * kPage);
    if (object.file->read(page, part) != 0) {
        return false;
    }
    object.file->set(page, count, Content::in_memory);
    place(object, page, part, object.core.access(page) == Access::write);
    return true;
}

void Pager::save(const ObjectId &id, PageIndex first, std::uint64_t pages, std::function<void(SavingResult)> done) {
    auto *object = find(id);
    assert(object != nullptr && object->core.is_home() && object->file != nullptr && first + pages <= object->pages);
    const bool any = object->file->writable(); // else none can have been changed
    object->savings.push_back({.next = any ? first : first + pages, .end = first + pages, .done = std::move(done)});
    settle_savings(*object);
}

void Pager::save_what_is_here() {
    for (auto &[id, object] : objects_) {
        for (PageIndex page = 0; object->file != nullptr && object->file->writable() && page < object->pages; ++page) {
            const auto access = object->core.access(page);
            if (access == Access::read || access == Access::write) {
                save_page(*object, page);
            }
        }
    }
}

bool Pager::save_page(const LocalObject &object, PageIndex page) {
    std::array<std::byte, kPage> bytes;
    if (object.file->content(page) != Content::in_memory) {
        return true;
    }
    object.frames.read(page, bytes);
    return object.file->write(page, bytes) == 0;
}

// Pages have come that may have to go again at once, to the next who wants to write them: then they are saved now, or
// nobody knows when.
void Pager::save_arrived(LocalObject &object, PageIndex first, std::uint64_t count) {
    for (auto &saving : object.savings) {
        while (saving.next >= first && saving.next < std::min(first + count, saving.end)) {
            if (!save_page(object, saving.next)) {
                saving.result = SavingResult::unwritten;
            }
            ++saving.next;
        }
    }
}

// Called whenever something may have changed.
void Pager::settle_savings(LocalObject &object) {
    for (std::size_t i = 0; i < object.savings.size();) {
        if (!settle(object, object.savings[i])) {
            ++i;
            continue;
        }
        const auto over = std::move(object.savings[i]);
        object.savings.erase(object.savings.begin() + static_cast<std::ptrdiff_t>(i));
        over.done(over.result);
        i = 0;
    }
}

// Saves what is here and asks for what is not, a batch at a time; true: over.
bool Pager::settle(LocalObject &object, Saving &saving) {
    while (saving.next < saving.end) {
        const auto page = saving.next;
        const auto &core = object.core;
        const auto content = object.file->content(page);
        if (content == Content::in_file) {
            ++saving.next;
            continue;
        }
        if (core.access(page) == Access::read || core.access(page) == Access::write) {
            if (!save_page(object, page)) {
                saving.result = SavingResult::unwritten;
            }
            ++saving.next;
            continue;
        }
        if (core.pending(page)) {
            return false;
        }
        const auto batch = static_cast<std::uint32_t>(std::min<std::uint64_t>(prefetch_, saving.end - page));
        // To the core this is a fault for which no thread happens to wait.
        run(object, {.type = Event::Type::fault, .page = page, .write = false, .window = batch, .msg = {}}, {});
        if (saving.next == page && core.access(page) != Access::read && core.access(page) != Access::write &&
            !core.pending(page)) {
            saving.result = SavingResult::lost;
            ++saving.next;
        }
    }
    return true;
}

void Pager::settle_all(LocalObject &object) {
    settle_wirings(object);
    settle_savings(object);
    settle_bringings(object);
}

} // namespace norma::dsm
