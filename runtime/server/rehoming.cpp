// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/rehoming.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"
#include "runtime/node_sets.hpp"
#include "runtime/server/node.hpp"

#include <optional>
#include <utility>

namespace norma::rt {

namespace {

constexpr std::chrono::milliseconds kPause{5}; // between two looks whether a process has ended

unsigned users_of_name(const ObjectUse &object) {
    return object.named ? 1 : 0;
}

Stretch first_of(const dsm::ObjectId &id) {
    return {.object = id, .number = 0};
}

Request about(Op op, const dsm::ObjectId &id) {
    rpc::Writer writer;
    put_stretch(writer, first_of(id));
    Request request;
    request.op = op;
    request.blob = writer.bytes();
    return request;
}

std::optional<dsm::ObjectId> object_of(const Request &request, unsigned count) {
    rpc::Reader reader(request.blob);
    const auto stretch = get_stretch(reader);
    return reader.done() && stretch.number == 0 && stretch.object.home < count ? std::optional(stretch.object)
                                                                               : std::nullopt;
}

} // namespace

dsm::NodeId Rehoming::home_of(const dsm::ObjectId &id) const {
    if (node_.pager.knows(id)) {
        return node_.pager.home(id);
    }
    const auto moved = homes_.find(id);
    return moved != homes_.end() ? moved->second : static_cast<dsm::NodeId>(id.home);
}

bool Rehoming::has_moved_from_here(const dsm::ObjectId &id) const {
    const auto home = home_of(id);
    return home != node_.self && (node_.pager.knows(id) || home != id.home);
}

void Rehoming::learn(const dsm::ObjectId &id, dsm::NodeId home) {
    homes_[id] = home;
}

void Rehoming::with_homes(std::vector<dsm::ObjectId> objects, std::function<void()> action) {
    for (const auto &id : objects) {
        if (node_.pager.waits_for_home(id) && home_of(id) != node_.self) {
            waiting_[id].push_back([this, objects = std::move(objects), action = std::move(action)]() mutable {
                with_homes(std::move(objects), std::move(action));
            });
            return;
        }
    }
    action();
}

// ---- who wants it ----

void Rehoming::fetch(const dsm::ObjectId &id, std::function<void(std::int32_t)> done) {
    node_.router.call(home_of(id), about(Op::home_fetch, id),
                      [done = std::move(done)](const Reply &reply) { done(reply.status); });
}

// It comes before the directory does.
void Rehoming::serve_given(const Request &request, const Done &done) {
    rpc::Reader reader(request.blob);
    const auto stretch = get_stretch(reader);
    Given given{.from = request.caller.node, .mappers = {}, .holders = {}, .payers = {}};
    given.named = reader.get<bool>();
    const bool sound = get_nodes(reader, node_.count, given.mappers) && get_nodes(reader, node_.count, given.holders) &&
                       get_marks(reader, given.payers) && reader.done() && node_.pager.knows(stretch.object) &&
                       node_.pager.waits_for_home(stretch.object) && home_of(stretch.object) == request.caller.node;
    if (sound) {
        given_[stretch.object] = std::move(given);
    }
    done(status_reply(sound ? KERN_SUCCESS : KERN_INVALID_VALUE));
}

// The directory is here. If the last task here that used the object has ended meanwhile, its detach waits for the home
// and comes now.
void Rehoming::take_over(const dsm::ObjectId &id) {
    auto given = std::exchange(given_[id], {});
    given_.erase(id);
    auto &object = node_.objects[id];
    object.holders = given.holders;
    object.holders.reset(node_.self);
    auto &mappers = object.stretches[0].mappers = given.mappers;
    mappers.reset(node_.self);
    for (dsm::NodeId node = 0; node < node_.count; ++node) {
        if (node_.router.is_down(node)) {
            object.holders.reset(node);
            mappers.reset(node);
        }
    }
    Ledgers payers;
    if (!node_.ledgers.draw(given.payers, payers)) { // some of them end: the object outlives them, as it may
        node_.ledgers.draw({}, payers);
    }
    node_.pay(first_of(id), payers);
    if (given.named) {
        object.named = true;
        node_.use(first_of(id));
    }
    for (dsm::NodeId node = 0; node < node_.count; ++node) {
        if (node != node_.self) {
            node_.router.tell(node, about(Op::home_is_here, id));
        }
    }
    learn(id, node_.self);
}

void Rehoming::serve_is_here(const Request &request, const Done &done) {
    const auto id = object_of(request, node_.count);
    if (id) {
        learn(*id, request.caller.node);
    }
    done(status_reply(id ? KERN_SUCCESS : KERN_INVALID_VALUE));
}

// ---- who has it ----

bool Rehoming::may_move(const dsm::ObjectId &id, dsm::NodeId to) const {
    const auto found = node_.objects.find(id);
    if (found == node_.objects.end() || !found->second.stretches.contains(0)) {
        return false;
    }
    const auto &[use, object] = std::tie(found->second.stretches.at(0), found->second);
    const bool stays_with_name = object.named && node_.departure.successor() != to;
    return use.mappers[to] && use.users == users_of_name(object) && !stays_with_name && !object.file &&
           object.stretches.size() == 1 && !node_.sync.waits_in(id) && node_.pager.may_move(id) &&
           !node_.router.is_down(to);
}

void Rehoming::serve_fetch(const Request &request, Done done) {
    const auto id = object_of(request, node_.count);
    if (!id || request.caller.node == node_.self || home_of(*id) != node_.self) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    const auto to = request.caller.node;
    if (node_.following.left_behind(first_of(*id)) > 0) { // the pages have come sooner than that
        node_.loop.at(Clock::now() + kPause, [this, request, done = std::move(done)] { serve_fetch(request, done); });
        return;
    }
    if (node_.homes_stay || moves_.contains(*id) || !may_move(*id, to)) {
        done(status_reply(KERN_FAILURE));
        return;
    }
    moves_[*id] = {.to = to,
                   .done = std::move(done),
                   .timer = node_.loop.at(Clock::now() + node_.config.call_timeout,
                                          [this, id = *id] { node_.pager.stay_home(id); })};
    node_.pager.move_home(*id, to, node_.objects.at(*id).holders);
}

void Rehoming::hand_over(const dsm::ObjectId &id) {
    const auto to = moves_.at(id).to;
    auto &object = node_.objects.at(id);
    auto &use = object.stretches.at(0);
    if (use.users > users_of_name(object) || node_.sync.waits_in(id)) { // only since it was asked for
        node_.pager.stay_home(id);
        return;
    }
    auto holders = object.holders;
    holders.set(node_.self);
    rpc::Writer writer;
    put_stretch(writer, first_of(id));
    writer.put(std::uint8_t{object.named});
    put_nodes(writer, use.mappers);
    put_nodes(writer, holders);
    put_marks(writer, marks_of(use.payers));
    Request given;
    given.op = Op::home_given;
    given.blob = writer.bytes();
    node_.router.tell(to, std::move(given));

    const auto bytes = node_.pager.pages(id) * kMapPage;
    node_.memory_used -= bytes;
    use.payers[kPaged]->release(bytes);
    object.holders.reset();
    object.named = false;
    object.stretches.clear(); // kept until the new home says destroy, as at any node
    node_.pager.hand_over(id);
    end(id, KERN_SUCCESS);
}

void Rehoming::end(const dsm::ObjectId &id, std::int32_t status) {
    auto move = std::move(moves_.extract(id).mapped());
    node_.loop.cancel(move.timer);
    move.done(status_reply(status));
}

// ---- both, and everybody else ----

void Rehoming::heard(const dsm::ObjectId &id, dsm::HomeNews news) {
    if (!node_.pager.knows(id)) {
        return; // it ended while this was on its way from the pager
    }
    switch (news) {
    case dsm::HomeNews::may_hand_over:
        return hand_over(id);
    case dsm::HomeNews::stays:
        return end(id, KERN_ABORTED);
    case dsm::HomeNews::came:
        return take_over(id);
    case dsm::HomeNews::known:
        if (const auto waiting = waiting_.extract(id); !waiting.empty()) {
            for (const auto &action : waiting.mapped()) {
                action();
            }
        }
    }
}

void Rehoming::forget(const dsm::ObjectId &id) {
    homes_.erase(id);
    given_.erase(id);
    if (moves_.contains(id)) {
        end(id, KERN_ABORTED);
    }
    if (const auto waiting = waiting_.extract(id); !waiting.empty()) {
        for (const auto &action : waiting.mapped()) {
            action();
        }
    }
}

void Rehoming::tell(dsm::NodeId newcomer, const std::function<void()> &done) {
    const auto open = std::make_shared<std::size_t>(1); // one more than the answers that are missing
    const auto answered = [open, done] {
        if (--*open == 0) {
            done();
        }
    };
    for (const auto &[id, home] : homes_) {
        if (home_of(id) == node_.self) {
            ++*open;
            node_.router.call(newcomer, about(Op::home_is_here, id), [answered](const Reply &) { answered(); });
        }
    }
    answered();
}

void Rehoming::node_down(dsm::NodeId node) {
    std::erase_if(given_, [node](const auto &given) { return given.second.from == node; });
}

} // namespace norma::rt
