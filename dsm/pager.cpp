// SPDX-License-Identifier: BSD-3-Clause
// The pager's part about events: faults and messages go into the core, and its effects are carried out in order.
#include "dsm/local_object.hpp"

#include <cassert>

namespace norma::dsm {

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

// What is in a file is no plain memory: the kernel would fill it with zeros.
ObjectId Pager::create(std::uint64_t pages, std::unique_ptr<Backing> file) {
    const ObjectId id{.home = self_, .incarnation = incarnation_, .serial = next_serial_++};
    auto object = std::make_unique<LocalObject>(id, self_, self_, pages, next_life_++);
    object->shared = file != nullptr;
    object->file = std::move(file);
    objects_.emplace(id, std::move(object));
    return id;
}

void Pager::attach(const ObjectId &id, std::uint64_t pages, NodeId home) {
    if (!objects_.contains(id)) {
        auto object = std::make_unique<LocalObject>(id, self_, home, pages, next_life_++);
        object->shared = home != self_;
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
    hot_pages_.forget(id);
    const auto broken_off = std::move(found->second->bringings);
    objects_.erase(found);
    for (const auto &bringing : broken_off) {
        bringing.done();
    }
}

std::uint64_t Pager::pages(const ObjectId &id) const {
    return find(id)->pages;
}
int Pager::frames_fd(const ObjectId &id) const {
    return find(id)->frames.fd();
}
std::uint64_t Pager::resident(const ObjectId &id) const {
    return find(id)->frames.bytes();
}

void Pager::fault(Space &space, const PageFault &fault) {
    const auto *range = space.find(fault.address);
    if (range == nullptr) {
        return; // unmapped between the fault and now; the task's own unmapping wakes the thread
    }
    ++(fault.write ? counters_.faults_write : counters_.faults_read);
    auto &object = *range->object;
    const auto page = range->first + (fault.address - range->start) / kPage;
    const auto ahead = this->ahead(object, *range, page);
    const auto window = ahead.first == page ? std::min(ahead.count, prefetch_) : 1;
    space.times.enter(fault.thread, ThreadTimes::kInFault, hooks_.now());
    ++waiting_;
    object.waiting.push_back({.space = &space, .page = page, .fault = fault, .window = window});
    const bool asked = object.core.pending(page);
    ask(object, {page, window}, fault.write);
    if (!asked && object.core.pending(page)) {
        hot_pages_.count(object.id, page, fault.write);
    }
    // The rest of a long window comes in requests of its own, which overlap with each other and with the thread's work
    // on the pages that are here already.
    const auto rest = std::max(ahead.first, page + window);
    ask(object, {rest, static_cast<std::uint32_t>(ahead.first + ahead.count - rest)}, fault.write);
}

// To the core these are faults; whether a thread waits for the pages makes no difference to it.
void Pager::ask(LocalObject &object, StreamDetector::Ahead pages, bool write) {
    for (std::uint32_t asked = 0; asked < pages.count; asked += prefetch_) {
        const auto page = pages.first + asked;
        const auto there = load(object, page, std::min(pages.count - asked, prefetch_));
        if (there == 0) {
            resolve(object,
                    {.type = Effect::Type::resolve, .access = Access::lost, .base = page, .mask = 1, .msg = {}});
            return;
        }
        Event event;
        event.type = Event::Type::fault;
        event.page = page;
        event.write = write;
        event.window = static_cast<std::uint32_t>(there);
        run(object, event, {});
    }
}

// Which pages to ask for, now that `page` is needed.
StreamDetector::Ahead Pager::ahead(LocalObject &object, const Space::Range &range, PageIndex page) const {
    const auto room = range.first + range.pages - page;
    const auto limit =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{prefetch_} * kBatchesAhead, room));
    if (range.advice == Advice::random) {
        return {page, 1};
    }
    return object.streams.ahead(
        {.page = page, .under_way = object.core.pending(page), .sure = range.advice == Advice::sequential}, limit);
}

// A thread waits for pages that have come. It will go through them and on to the next ones, which are under way: so
// what it would ask for then is asked for now, before the pages are put there and the thread gets its turn.
void Pager::go_on(LocalObject &object, const Msg &msg) {
    const auto next = msg.base + static_cast<unsigned>(std::bit_width(msg.mask));
    for (const auto &waiting : object.waiting) {
        const auto *range = waiting.space->find(waiting.fault.address);
        if (waiting.page >= msg.base && waiting.page < next && range != nullptr && next - range->first < range->pages) {
            if (!object.core.pending(next)) {
                return;
            }
            const auto further = ahead(object, *range, next);
            if (further.first != next) {
                ask(object, further, waiting.fault.write);
            }
            return;
        }
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
    Event event;
    event.type = Event::Type::message;
    event.from = from;
    event.msg = msg;
    if (refused(*object, from, event.msg)) {
        return true;
    }
    if (!object->shared) {
        share(*object);
    }
    if (msg.type == MsgType::data) {
        go_on(*object, msg);
    }
    const auto rejected = object->core.rejected();
    run(*object, event, payload);
    settle_all(*object);
    const bool possible = object->core.rejected() == rejected;
    announce();
    return possible;
}

void Pager::node_down(NodeId node) {
    for (auto &[id, object] : objects_) {
        Event event;
        event.type = Event::Type::node_down;
        event.from = node;
        run(*object, event, {});
        settle_all(*object);
    }
    announce();
}

void Pager::run(LocalObject &object, const Event &event, std::span<const std::byte> payload) {
    outbox_.clear();
    step(object.core, event, outbox_);
    rpc::StagingPtr staged;
    std::uint64_t zero = 0;
    for (auto &effect : outbox_) {
        switch (effect.type) {
        case Effect::Type::protect:
            withdraw(object, effect.base, effect.mask);
            break;
        case Effect::Type::stage:
            staged = read_frames(object, effect.base, effect.mask, zero);
            counters_.pages_out += static_cast<std::uint64_t>(std::popcount(effect.mask));
            break;
        case Effect::Type::drop:
            for_each_run(effect.mask,
                         [&](unsigned first, unsigned count) { object.frames.drop(effect.base + first, count); });
            break;
        case Effect::Type::install:
            install(object, effect, event.msg, payload);
            for_each_run(effect.mask,
                         [&](unsigned first, unsigned count) { save_arrived(object, effect.base + first, count); });
            break;
        case Effect::Type::resolve:
            resolve(object, effect);
            break;
        case Effect::Type::copy:
            copy(object, effect);
            break;
        case Effect::Type::freeze:
            protect_stretch(object, effect.base);
            break;
        case Effect::Type::forget:
            object.guards.clear(effect.base, object.pages);
            object.frames.drop(effect.base, object.pages);
            break;
        case Effect::Type::frozen:
            frozen_.emplace_back(object.id, object.core.stretch_of(effect.base));
            break;
        case Effect::Type::may_hand_over:
            home_news_.emplace_back(object.id, HomeNews::may_hand_over);
            break;
        case Effect::Type::became_home:
            home_news_.emplace_back(object.id, HomeNews::came);
            break;
        case Effect::Type::stays_home:
            home_news_.emplace_back(object.id, HomeNews::stays);
            break;
        case Effect::Type::home_known:
            home_news_.emplace_back(object.id, HomeNews::known);
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

} // namespace norma::dsm
