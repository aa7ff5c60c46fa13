// SPDX-License-Identifier: BSD-3-Clause
#include "dsm/pager.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace norma::dsm {

namespace {

constexpr std::uint64_t kPage = rpc::kPageBytes;
// A stream that has proved itself asks for this many full batches at once.
constexpr std::uint32_t kBatchesAhead = 4;
alignas(kPage) constexpr std::array<std::byte, kBatch * kPage> kZeros{};

// The address space or its range is going away while we act on it; the reaper will clean up.
bool gone(int error) {
    return error == ESRCH || error == ENOENT;
}

void check(int error, const char *what) {
    if (error != 0 && !gone(error)) {
        throw std::system_error(error, std::generic_category(), what);
    }
}

template <class Visit> void for_each_run(std::uint64_t mask, Visit visit) {
    while (mask != 0) {
        const auto first = static_cast<unsigned>(std::countr_zero(mask));
        const auto count = static_cast<unsigned>(std::countr_one(mask >> first));
        visit(first, count);
        mask = first + count >= 64 ? 0 : mask & (~std::uint64_t{0} << (first + count));
    }
}

std::uint64_t address_of(const Space::Range &range, PageIndex page) {
    return range.start + (page - range.first) * kPage;
}

} // namespace

// A thread that waits for a page; kept until the core resolves the page.
struct Waiting {
    Space *space;
    PageIndex page;
    PageFault fault;
    std::uint32_t window;
};

struct LocalObject {
    // `life` tells apart the times this node has known the object, so that a late answer to a request of an earlier one
    // matches none of this one.
    LocalObject(const ObjectId &object, NodeId self, std::uint64_t page_count, std::uint64_t life)
        : id(object), pages(page_count), frames(page_count),
          core(object, self, static_cast<NodeId>(object.home), page_count, {.request = life << 32 | 1}) {}
    ObjectId id;
    std::uint64_t pages;
    Frames frames;
    State core;
    // Until another node asks for a page, the local mappings are plain memory that the kernel fills with zeros itself;
    // then they are registered with their tasks' userfaultfds, once and for ever.
    bool shared = false;
    std::vector<Space *> spaces; // each task that maps a part of it, once
    std::vector<Waiting> waiting;
    StreamDetector streams;
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

const Space::Range *Space::find(std::uint64_t address) const {
    auto next = ranges.upper_bound(address);
    if (next == ranges.begin()) {
        return nullptr;
    }
    const auto &range = std::prev(next)->second;
    return address < range.start + range.pages * kPage ? &range : nullptr;
}

Pager::Pager(NodeId self, std::uint32_t incarnation, std::uint32_t prefetch, Hooks hooks)
    : self_(self), incarnation_(incarnation), prefetch_(std::clamp(prefetch, 1U, kBatch)), hooks_(std::move(hooks)) {}

Pager::~Pager() = default;

LocalObject *Pager::find(const ObjectId &id) const {
    if (last_ != nullptr && last_->id == id) {
        return last_;
    }
    const auto found = objects_.find(id);
    return found == objects_.end() ? nullptr : found->second.get();
}

ObjectId Pager::create(std::uint64_t pages) {
    const ObjectId id{.home = self_, .incarnation = incarnation_, .serial = next_serial_++};
    objects_.emplace(id, std::make_unique<LocalObject>(id, self_, pages, next_life_++));
    return id;
}

void Pager::attach(const ObjectId &id, std::uint64_t pages) {
    if (!objects_.contains(id)) {
        auto object = std::make_unique<LocalObject>(id, self_, pages, next_life_++);
        object->shared = id.home != self_;
        objects_.emplace(id, std::move(object));
    }
}

void Pager::destroy(const ObjectId &id) {
    const auto found = objects_.find(id);
    if (found == objects_.end()) {
        return;
    }
    assert(found->second->spaces.empty());
    if (last_ == found->second.get()) {
        last_ = nullptr;
    }
    objects_.erase(found);
}

std::uint64_t Pager::pages(const ObjectId &id) const {
    return find(id)->pages;
}
int Pager::frames_fd(const ObjectId &id) const {
    return find(id)->frames.fd();
}
bool Pager::mapped_here(const ObjectId &id) const {
    const auto *object = find(id);
    return object != nullptr && !object->spaces.empty();
}

void Pager::map(Space &space, std::uint64_t address, std::uint64_t pages, const ObjectId &id, PageIndex first) {
    auto *object = find(id);
    assert(object != nullptr && first + pages <= object->pages);
    const Space::Range range{.start = address, .pages = pages, .object = object, .first = first};
    space.ranges[address] = range;
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

void Pager::unmap(Space &space, std::uint64_t address, std::uint64_t pages) {
    const auto end = address + pages * kPage;
    std::vector<Space::Range> cut;
    for (auto &[start, range] : space.ranges) {
        if (range.start < end && address < range.start + range.pages * kPage) {
            cut.push_back(range);
        }
    }
    for (const auto &range : cut) {
        space.ranges.erase(range.start);
        if (range.start < address) {
            auto left = range;
            left.pages = (address - range.start) / kPage;
            space.ranges[left.start] = left;
        }
        const auto range_end = range.start + range.pages * kPage;
        if (end < range_end) {
            const auto skipped = (end - range.start) / kPage;
            space.ranges[end] = {
                .start = end, .pages = range.pages - skipped, .object = range.object, .first = range.first + skipped};
        }
        auto &object = *range.object;
        waiting_ -= std::erase_if(object.waiting, [&](const Waiting &waiting) {
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

void Pager::fault(Space &space, const PageFault &fault) {
    const auto *range = space.find(fault.address);
    if (range == nullptr) {
        return; // unmapped between the fault and now; the task's own unmapping wakes the thread
    }
    ++(fault.write ? counters_.faults_write : counters_.faults_read);
    auto &object = *range->object;
    const auto page = range->first + (fault.address - range->start) / kPage;
    const auto room = range->first + range->pages - page;
    const auto limit = std::min<std::uint64_t>(std::uint64_t{prefetch_} * kBatchesAhead, room);
    const auto window = object.streams.window(page, static_cast<std::uint32_t>(limit));
    Event event;
    event.type = Event::Type::fault;
    event.page = page;
    event.write = fault.write;
    event.window = std::min(window, prefetch_);
    ++waiting_;
    object.waiting.push_back({.space = &space, .page = page, .fault = fault, .window = event.window});
    run(object, event, {});
    // The rest of a long window comes in requests of its own, which overlap with each other and with the thread's work
    // on the pages that are here already. To the core they are faults for which no thread happens to wait.
    for (auto ahead = prefetch_; ahead < window; ahead += prefetch_) {
        event.page = page + ahead;
        event.window = std::min(window - ahead, prefetch_);
        run(object, event, {});
    }
}

bool Pager::message(NodeId from, const ObjectId &id, const Msg &msg, std::span<const std::byte> payload) {
    auto *object = find(id);
    if (object == nullptr) {
        return true; // destroyed while the message travelled
    }
    last_ = object;
    const auto with_payload = static_cast<std::size_t>(std::popcount(msg.mask & ~msg.zero));
    const auto expected = msg.type == MsgType::data ? with_payload * kPage : 0;
    if (payload.size() != expected || (msg.zero & ~msg.mask) != 0) {
        return false;
    }
    if (!object->shared) {
        share(*object);
    }
    Event event;
    event.type = Event::Type::message;
    event.from = from;
    event.msg = msg;
    run(*object, event, payload);
    return true;
}

void Pager::node_down(NodeId node) {
    for (auto &[id, object] : objects_) {
        Event event;
        event.type = Event::Type::node_down;
        event.from = node;
        run(*object, event, {});
    }
}

void Pager::run(LocalObject &object, const Event &event, std::span<const std::byte> payload) {
    outbox_.clear();
    step(object.core, event, outbox_);
    rpc::StagingPtr staged;
    std::uint64_t zero = 0;
    for (auto &effect : outbox_) {
        switch (effect.type) {
        case Effect::Type::protect:
            protect(object, effect.base, effect.mask, nullptr);
            break;
        case Effect::Type::stage:
            staged = read_frames(object, effect.base, effect.mask, zero);
            break;
        case Effect::Type::drop:
            for_each_run(effect.mask,
                         [&](unsigned first, unsigned count) { object.frames.drop(effect.base + first, count); });
            break;
        case Effect::Type::install:
            install(object, effect, event.msg, payload);
            break;
        case Effect::Type::resolve:
            resolve(object, effect);
            break;
        case Effect::Type::send:
            if (effect.msg.type == MsgType::done) {
                notices_[effect.to].push_back({.object = object.id, .msg = effect.msg});
            } else if (effect.msg.type == MsgType::data) {
                effect.msg.zero = zero;
                send(object, effect.to, effect.msg, std::move(staged));
                zero = 0;
            } else {
                send(object, effect.to, effect.msg, nullptr);
            }
            break;
        }
    }
}

void Pager::send(LocalObject &object, NodeId to, const Msg &msg, rpc::StagingPtr payload) {
    sending_.clear();
    sending_.push_back({.object = object.id, .msg = msg});
    if (const auto notices = notices_.find(to); notices != notices_.end()) {
        sending_.insert(sending_.end(), notices->second.begin(), notices->second.end());
        notices_.erase(notices);
    }
    hooks_.send(to, sending_, std::move(payload));
}

void Pager::send_notices() {
    for (const auto &[to, messages] : notices_) {
        hooks_.send(to, messages, nullptr);
    }
    notices_.clear();
}

void Pager::protect(LocalObject &object, PageIndex base, std::uint64_t mask, const Space *except) {
    for (auto *space : object.spaces) {
        if (space == except) {
            continue;
        }
        for_each_run(mask, [&](unsigned first, unsigned count) {
            LocalObject::parts(*space, &object, base + first, count,
                               [&](const Space::Range &range, PageIndex page, std::uint64_t pages) {
                                   check(space->userfault.protect(address_of(range, page), pages * kPage),
                                         "UFFDIO_WRITEPROTECT");
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
    counters_.pages_out += static_cast<std::uint64_t>(std::popcount(mask));
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

// Makes `bytes` the frames of the pages from `page` on and wakes the threads that wait for them in one of the tasks;
// resolve() sees to the others. For reading, every other mapping gets its marker before the frame is there.
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
    if (!writable) {
        const auto mask = count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
        protect(object, page, mask, through);
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
    waiting_ -= std::erase_if(object.waiting, [&](const Waiting &waiting) {
        return waiting.space == through && waiting.page >= page && waiting.page < page + done / kPage;
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
    }
}

void Pager::satisfy(LocalObject &object, const Waiting &waiting, bool writable) {
    const auto address = waiting.fault.address & ~(kPage - 1);
    auto &userfault = waiting.space->userfault;
    if (!waiting.fault.write_protected) {
        zero_fill(object, waiting, writable);
    } else if (writable) {
        check(userfault.unprotect(address, kPage), "UFFDIO_WRITEPROTECT");
    } else {
        check(userfault.wake(address, kPage), "UFFDIO_WAKE");
    }
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
    } else {
        protect(object, waiting.page, 1, waiting.space);
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
