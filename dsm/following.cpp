// SPDX-License-Identifier: BSD-3-Clause
// The pager's part about memory that follows a task to another node: what a node holds of an object, and bringing just
// that here without a thread that waits for it.
#include "dsm/local_object.hpp"

namespace norma::dsm {

namespace {

// False: there is no room for a page that is here.
bool list(const State &core, PageIndex page, std::vector<Batch> &batches, std::size_t most) {
    const auto access = core.access(page);
    if (access != Access::read && access != Access::write) {
        return true;
    }
    const bool write = access == Access::write;
    if (batches.empty() || batches.back().write != write || page - batches.back().base >= kBatch) {
        if (batches.size() == most) {
            return false;
        }
        batches.push_back({.base = page, .mask = 0, .write = write});
    }
    batches.back().mask |= std::uint64_t{1} << (page - batches.back().base);
    return true;
}

bool any_pending(const State &core, const Batch &batch) {
    bool pending = false;
    for_each_run(batch.mask, [&](unsigned first, unsigned count) {
        for (auto page = batch.base + first; page < batch.base + first + count; ++page) {
            pending |= core.pending(page);
        }
    });
    return pending;
}

// The pages of the batch that are not here as they are wanted, nor on their way.
std::uint64_t absent(const State &core, const Batch &batch) {
    std::uint64_t mask = 0;
    for (unsigned bit = 0; bit < kBatch; ++bit) {
        if ((batch.mask >> bit & 1) != 0) {
            const auto access = core.access(batch.base + bit);
            const bool here = access == Access::write || (access == Access::read && !batch.write);
            const bool wanted = !here && access != Access::lost && !core.pending(batch.base + bit);
            mask |= std::uint64_t{wanted} << bit;
        }
    }
    return mask;
}

} // namespace

Held Pager::held(const ObjectId &id, PageIndex first, std::uint64_t pages, std::size_t most) const {
    Held held{.batches = {}, .next = first + pages};
    const auto &object = *find(id);
    for (auto page = first; page < first + pages;) {
        const auto [start, count] = object.frames.next(page, first + pages - page);
        for (page = start; page < start + count; ++page) {
            if (!list(object.core, page, held.batches, most)) {
                held.next = page;
                return held;
            }
        }
    }
    return held;
}

std::uint64_t Pager::missing(const ObjectId &id, const Batch &batch) const {
    return absent(find(id)->core, batch);
}

bool Pager::has_lost(const ObjectId &id, const Batch &batch) const {
    const auto &core = find(id)->core;
    bool lost = false;
    for (unsigned bit = 0; bit < kBatch; ++bit) {
        lost |= (batch.mask >> bit & 1) != 0 && core.access(batch.base + bit) == Access::lost;
    }
    return lost;
}

void Pager::bring(const ObjectId &id, std::vector<Batch> batches, std::function<void()> done) {
    auto &object = *find(id);
    object.bringings.push_back({.batches = std::move(batches), .done = std::move(done)});
    settle_bringings(object);
}

// Called whenever something may have changed.
void Pager::settle_bringings(LocalObject &object) {
    for (std::size_t i = 0; i < object.bringings.size();) {
        if (!settle(object, object.bringings[i])) {
            ++i;
            continue;
        }
        const auto over = std::move(object.bringings[i]);
        object.bringings.erase(object.bringings.begin() + static_cast<std::ptrdiff_t>(i));
        over.done();
        i = 0;
    }
}

// Has as much under way as a stream would; true: over. What has come and gone again since is not asked for twice.
bool Pager::settle(LocalObject &object, Bringing &bringing) {
    auto &[batches, asked, settled, done] = bringing;
    while (true) {
        while (settled < asked && !any_pending(object.core, batches[settled])) {
            ++settled;
        }
        if (asked == batches.size() || asked - settled == kBatchesAhead) {
            return settled == batches.size();
        }
        const auto batch = batches[asked++];
        for_each_run(absent(object.core, batch), [&](unsigned first, unsigned count) {
            ask(object, {batch.base + first, count}, batch.write);
        });
    }
}

} // namespace norma::dsm
