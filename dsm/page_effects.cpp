// SPDX-License-Identifier: BSD-3-Clause
// The pager's part about bytes: what the core's effects do to frames and mappings.
#include "dsm/local_object.hpp"

#include <array>
#include <cassert>
#include <cstring>

namespace norma::dsm {

namespace {

alignas(kPage) constexpr std::array<std::byte, kBatch * kPage> kZeros{};

} // namespace

// Takes the right to write from every local mapping. To the core, `mask` are pages that could be written until now.
void Pager::withdraw(LocalObject &object, PageIndex base, std::uint64_t mask) {
    for (auto bits = mask; bits != 0; bits &= bits - 1) {
        const auto bit = static_cast<unsigned>(std::countr_zero(bits));
        if (object.guards.remove(base + bit)) {
            mask &= ~(std::uint64_t{1} << bit);
        }
    }
    const auto page = base + static_cast<unsigned>(std::countr_zero(mask));
    if (!std::has_single_bit(mask) || !object.wirings.empty() || !object.guards.worthwhile(page)) {
        protect(object, base, mask, nullptr);
        return;
    }
    const auto group = page / Guards::kGroup * Guards::kGroup;
    const auto stretch = object.start_of_stretch(page); // it may begin or end within the group
    std::uint64_t members = 0, guarded = 0;
    for (std::uint64_t i = 0; i < Guards::kGroup; ++i) {
        const bool member = group + i - stretch < object.pages;
        members |= std::uint64_t{member} << i;
        guarded |= std::uint64_t{member && object.core.access(group + i) == Access::write} << i;
    }
    // Those that this node may only read are protected already, those that are not here do not mind.
    protect(object, group, members, nullptr);
    object.guards.add(page, guarded);
}

void Pager::protect(LocalObject &object, PageIndex base, std::uint64_t mask, const Space::Range *except) {
    for (auto *space : object.spaces) {
        for_each_run(mask, [&](unsigned first, unsigned count) {
            LocalObject::parts(*space, &object, base + first, count,
                               [&](const Space::Range &range, PageIndex page, std::uint64_t pages) {
                                   if (&range != except) {
                                       check(space->userfault.protect(address_of(range, page), pages * kPage),
                                             "UFFDIO_WRITEPROTECT");
                                   }
                               });
        });
    }
}

// Reads the pages into a buffer, leaving out those that are all zeros: they are named in `zero` instead.
rpc::StagingPtr Pager::read_frames(LocalObject &object, PageIndex base, std::uint64_t mask, std::uint64_t &zero) {
    auto staging = hooks_.stage();
    std::size_t used = 0;
    zero = 0;
    for_each_run(mask, [&](unsigned first, unsigned count) {
        object.frames.read(base + first, {staging->data + used, count * kPage});
        auto read_from = used;
        for (unsigned i = first; i < first + count; ++i, read_from += kPage) {
            if (std::memcmp(staging->data + read_from, kZeros.data(), kPage) == 0) {
                zero |= std::uint64_t{1} << i;
                continue;
            }
            if (used != read_from) {
                std::memcpy(staging->data + used, staging->data + read_from, kPage);
            }
            used += kPage;
        }
    });
    staging->size = used;
    if (used == 0) {
        return nullptr;
    }
    return staging;
}

void Pager::install(LocalObject &object, const Effect &effect, const Msg &msg, std::span<const std::byte> payload) {
    const bool writable = effect.access == Access::write;
    counters_.pages_in += static_cast<std::uint64_t>(std::popcount(effect.mask));
    // Pages of the message that the core did not accept still take room in the payload.
    const auto offset_of = [&](unsigned bit) {
        const auto before = bit == 0 ? 0 : (msg.mask & ~msg.zero) & (~std::uint64_t{0} >> (64 - bit));
        return static_cast<std::size_t>(std::popcount(before)) * kPage;
    };
    assert(effect.base == msg.base);
    for_each_run(effect.mask & ~msg.zero, [&](unsigned first, unsigned count) {
        place(object, effect.base + first, payload.subspan(offset_of(first), count * kPage), writable);
    });
    for_each_run(effect.mask & msg.zero, [&](unsigned first, unsigned count) {
        place(object, effect.base + first, std::span(kZeros).first(count * kPage), writable);
    });
}

// Makes `bytes` the frames of the pages from `page` on and wakes the threads that wait for them in one of the mappings;
// resolve() sees to the others, also to those of the same task that has the pages at another address. For reading,
// every other mapping gets its marker before the frame is there.
void Pager::place(LocalObject &object, PageIndex page, std::span<const std::byte> bytes, bool writable) {
    const auto count = bytes.size() / kPage;
    Space *through = nullptr;
    const Space::Range *range = nullptr;
    const auto covers = [&](Space &space) {
        LocalObject::parts(space, &object, page, count,
                           [&](const Space::Range &candidate, PageIndex from, std::uint64_t pages) {
                               if (from == page && pages == count) {
                                   through = &space;
                                   range = &candidate;
                               }
                           });
    };
    for (const auto &waiting : object.waiting) {
        if (through == nullptr && waiting.page >= page && waiting.page < page + count) {
            covers(*waiting.space);
        }
    }
    for (auto *space : object.spaces) {
        if (through == nullptr) {
            covers(*space);
        }
    }
    if (writable) {
        object.guards.remove(page, count);
    } else {
        const auto mask = count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
        protect(object, page, mask, range);
    }
    std::uint64_t done = 0;
    if (through != nullptr) {
        const int error =
            through->userfault.copy(address_of(*range, page), bytes.data(), bytes.size(), !writable, done);
        if (error != EEXIST) {
            check(error, "UFFDIO_COPY of a coherent page");
        }
        if (!writable && done < bytes.size()) {
            check(through->userfault.protect(address_of(*range, page) + done, bytes.size() - done),
                  "UFFDIO_WRITEPROTECT");
        }
    }
    // UFFDIO_COPY has woken these; one that wants to write a page that came for reading faults again.
    let_go(object, [&](const Waiting &waiting) {
        return waiting.space == through && waiting.page >= page && waiting.page < page + done / kPage &&
               through->find(waiting.fault.address) == range;
    });
    if (done < bytes.size()) { // nobody here maps all of it (any more), but this node is a holder all the same
        object.frames.write(page + done / kPage, bytes.subspan(done));
    }
}

void Pager::resolve(LocalObject &object, const Effect &effect) {
    std::vector<Waiting> ready;
    waiting_ -= std::erase_if(object.waiting, [&](const Waiting &waiting) {
        const auto bit = waiting.page - effect.base;
        if (waiting.page < effect.base || bit >= 64 || (effect.mask >> bit & 1) == 0 ||
            (effect.access == Access::read && waiting.fault.write)) {
            return false;
        }
        ready.push_back(waiting);
        return true;
    });
    for (const auto &waiting : ready) {
        if (effect.access == Access::lost) {
            ++counters_.poisoned;
            hooks_.poison(*waiting.space, waiting.fault.address & ~(kPage - 1));
        } else {
            satisfy(object, waiting, effect.access == Access::write);
        }
        goes_on(waiting);
    }
}

void Pager::goes_on(const Waiting &waiting) {
    waiting.space->times.leave(waiting.fault.thread, ThreadTimes::kInFault, hooks_.now());
}

void Pager::satisfy(LocalObject &object, const Waiting &waiting, bool writable) {
    const auto address = waiting.fault.address & ~(kPage - 1);
    auto &userfault = waiting.space->userfault;
    if (!waiting.fault.write_protected) {
        zero_fill(object, waiting, writable);
    } else if (writable) {
        const auto in_group = waiting.page % Guards::kGroup;
        const auto mask = object.guards.miss(waiting.page) | std::uint64_t{1} << in_group;
        unprotect(object, *waiting.space, waiting.page - in_group, mask);
    } else {
        check(userfault.wake(address, kPage), "UFFDIO_WAKE");
    }
}

void Pager::unprotect(LocalObject &object, Space &space, PageIndex base, std::uint64_t mask) {
    for_each_run(mask, [&](unsigned first, unsigned count) {
        LocalObject::parts(
            space, &object, base + first, count, [&](const Space::Range &range, PageIndex page, std::uint64_t pages) {
                check(space.userfault.unprotect(address_of(range, page), pages * kPage), "UFFDIO_WRITEPROTECT");
            });
    });
}

// The page may be read (or written) here. If its frame is there, the thread only has to be woken; if not, the content
// is zeros. A sequential first touch of a shared object at its home fills a window at a time.
void Pager::zero_fill(LocalObject &object, const Waiting &waiting, bool writable) {
    const auto address = waiting.fault.address & ~(kPage - 1);
    const auto *range = waiting.space->find(address);
    if (range == nullptr) {
        return;
    }
    std::uint64_t count = 1;
    if (writable) {
        const auto room = std::min<std::uint64_t>(waiting.window, range->first + range->pages - waiting.page);
        while (count < room && object.core.access(waiting.page + count) == Access::write) {
            ++count;
        }
        object.guards.remove(waiting.page, count);
    } else {
        protect(object, waiting.page, 1, range);
    }
    std::uint64_t done = 0;
    const int error = waiting.space->userfault.copy(address, kZeros.data(), count * kPage, !writable, done);
    counters_.zero_filled += done / kPage;
    if (error == EEXIST && done == 0) {
        check(waiting.space->userfault.wake(address, kPage), "UFFDIO_WAKE");
    } else if (error != EEXIST) {
        check(error, "UFFDIO_COPY of a page of zeros");
    }
}

} // namespace norma::dsm
