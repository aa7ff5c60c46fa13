// SPDX-License-Identifier: BSD-3-Clause
// Who uses which stretch of which memory object, across nodes, when a stretch ends and when an object dies. The home
// counts nodes, each node counts its own users. A clone holds its parent's memory until the child's node has attached
// to it, so a count never passes through 0.
#include "runtime/server/node.hpp"

#include "rpc/wire.hpp"

#include <cassert>
#include <optional>
#include <set>

namespace norma::rt {

namespace {

Request about_stretch(Op op, const Stretch &stretch) {
    rpc::Writer writer;
    put_stretch(writer, stretch);
    Request request;
    request.op = op;
    request.blob = writer.bytes();
    return request;
}

// The stretch of a request; no value: that is not what it holds.
std::optional<Stretch> stretch_of(const Request &request) {
    rpc::Reader reader(request.blob);
    const auto stretch = get_stretch(reader);
    return reader.done() ? std::optional(stretch) : std::nullopt;
}

} // namespace

bool Node::has_room(const Ledgers &payers, std::uint64_t bytes) const {
    return bytes <= memory_limit - std::min(memory_used, memory_limit) && payers[kPaged]->has_room(bytes);
}

void Node::pay(const Stretch &stretch, const Ledgers &payers) {
    const auto bytes = pager.pages(stretch.object) * kMapPage;
    memory_used += bytes;
    payers[kPaged]->charge(bytes);
    objects[stretch.object].stretches[stretch.number].payers = payers;
}

// Memory of other homes takes nothing of a quota here but for the pages that leave again.
void Node::pay_for_shared(const std::vector<SharedStretch> &stretches, const Ledgers &payers) {
    for (const auto &shared : stretches) {
        auto &use = objects.at(shared.stretch.object).stretches.at(shared.stretch.number);
        if (use.payers[kNetwork] == nullptr) {
            use.payers[kNetwork] = payers[kNetwork];
        }
    }
}

// A request without a payload gives something back or waits for it more often than not, so it is never refused.
bool Node::pay_for_sending(Task &task, std::size_t head, std::size_t payload) {
    auto &ledger = *task.ledgers[kNetwork];
    if (payload > 0 && !ledger.has_room(head + payload)) {
        return false;
    }
    ledger.charge(head + payload);
    return true;
}

void Node::use(const Stretch &stretch) {
    auto &object = objects[stretch.object];
    ++object.stretches[stretch.number].users;
    object.unsaved = true;
}

bool Node::in_use(const Stretch &stretch) const {
    const auto object = objects.find(stretch.object);
    return object != objects.end() && object->second.stretches.contains(stretch.number);
}

std::vector<SharedStretch> Node::stretches_of(std::span<const MapEntry> entries) const {
    std::set<Stretch> listed;
    std::vector<SharedStretch> stretches;
    for (const auto &entry : entries) {
        if (listed.insert(entry.stretch).second) {
            stretches.push_back({.stretch = entry.stretch, .pages = pager.pages(entry.stretch.object)});
        }
    }
    return stretches;
}

void Node::release(const Stretch &stretch) {
    auto &use = objects.at(stretch.object).stretches.at(stretch.number);
    assert(use.users > 0);
    if (--use.users == 0 && use.mappers.none() && !save_first(stretch)) {
        end_of(stretch);
    }
}

// Nobody uses it here and, if this is the home, anywhere.
void Node::end_of(const Stretch &stretch) {
    const auto &id = stretch.object;
    auto &object = objects.at(id);
    const auto payers = std::move(object.stretches.at(stretch.number).payers);
    object.stretches.erase(stretch.number);
    const auto home = rehoming.home_of(id);
    if (home != self && !router.is_down(home)) { // frames stay until the home says destroy
        rehoming.with_homes({id}, [this, stretch] {
            router.tell(rehoming.home_of(stretch.object), about_stretch(Op::detach, stretch));
        });
        return;
    }
    if (object.file && stretch.number == 0) {
        files.erase(*std::exchange(object.file, std::nullopt));
    }
    if (home == self && payers[kPaged] != nullptr) {
        memory_used -= pager.pages(id) * kMapPage;
        payers[kPaged]->release(pager.pages(id) * kMapPage);
    }
    if (!object.stretches.empty()) {
        if (home == self) {
            pager.end(id, stretch.number);
        }
        return;
    }
    for (dsm::NodeId node = 0; node < count; ++node) { // if it has moved, all have been told where it is
        if (object.holders[node] || (home == self && id.home != self && node != self)) {
            router.tell(node, about_stretch(Op::destroy, stretch));
        }
    }
    forget(id);
}

// Nothing of it is in use here. By value: it may be the key of what is erased.
void Node::forget(dsm::ObjectId id) {
    const auto object = objects.find(id);
    // If it was made here and has died with a later home, others may use it still, and nobody knows how long.
    if (id.home != self || !router.is_down(rehoming.home_of(id))) {
        for (const auto &range : object->second.addresses) {
            addresses.release(range);
        }
    }
    pager.destroy(id);
    objects.erase(object);
    rehoming.forget(id);
}

// Of a node that is down.
void Node::forget_uses_of(dsm::NodeId node) {
    std::vector<Stretch> perhaps_unused;
    std::vector<dsm::ObjectId> unused; // kept here only until that node says destroy
    for (auto &[id, object] : objects) {
        for (auto &[number, use] : object.stretches) {
            if (use.mappers[node]) {
                use.mappers.reset(node);
                perhaps_unused.push_back({.object = id, .number = number});
            }
        }
        if (rehoming.home_of(id) == node && object.stretches.empty()) {
            unused.push_back(id);
        }
        object.holders.reset(node);
    }
    for (const auto &stretch : perhaps_unused) {
        use(stretch); // releasing it again ends it if nobody uses it any more
        release(stretch);
    }
    for (const auto &id : unused) {
        forget(id);
    }
}

void Node::serve_attach(const Request &request, const Done &done) {
    const auto stretch = stretch_of(request);
    if (stretch && rehoming.has_moved_from_here(stretch->object)) {
        auto moved = status_reply(kHomeMoved);
        moved.vals[0] = rehoming.home_of(stretch->object);
        done(moved);
        return;
    }
    if (!stretch || rehoming.home_of(stretch->object) != self || !in_use(*stretch)) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    pager.stay_home(stretch->object); // whoever moves it has told all who had it
    auto &object = objects.at(stretch->object);
    object.stretches.at(stretch->number).mappers.set(request.caller.node);
    object.holders.set(request.caller.node);
    object.unsaved = true;
    Reply reply;
    reply.vals[0] = pager.pages(stretch->object);
    done(reply);
}

void Node::serve_detach(const Request &request, const Done &done) {
    const auto stretch = stretch_of(request);
    if (!stretch || rehoming.home_of(stretch->object) != self || !in_use(*stretch)) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    objects.at(stretch->object).stretches.at(stretch->number).mappers.reset(request.caller.node);
    use(*stretch); // releasing it again ends it if this was the last
    release(*stretch);
    done(status_reply(KERN_SUCCESS));
}

void Node::serve_destroy(const Request &request, const Done &done) {
    const auto stretch = stretch_of(request);
    const auto found = stretch ? objects.find(stretch->object) : objects.end();
    if (stretch && found == objects.end() && rehoming.home_of(stretch->object) == request.caller.node) {
        rehoming.forget(stretch->object);
        done(status_reply(KERN_SUCCESS));
        return;
    }
    if (found == objects.end() || rehoming.home_of(found->first) != request.caller.node ||
        !found->second.stretches.empty()) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    forget(found->first);
    done(status_reply(KERN_SUCCESS));
}

// To the home a node maps a stretch or does not. So there is one request at a time: a second one would be undone by the
// detach that follows the end of whoever sent the first.
void Node::attach(const Stretch &stretch, std::function<void(std::int32_t)> done) {
    auto &waiting = attaching_[stretch];
    waiting.push_back(std::move(done));
    if (waiting.size() > 1) {
        return;
    }
    const auto home = rehoming.home_of(stretch.object);
    router.call(home, about_stretch(Op::attach, stretch), [this, stretch, home](const Reply &reply) {
        if (reply.status == kHomeMoved && reply.vals[0] < count && reply.vals[0] != home) {
            rehoming.learn(stretch.object, static_cast<dsm::NodeId>(reply.vals[0]));
            const auto all = std::move(attaching_.extract(stretch).mapped());
            for (const auto &one : all) {
                attach(stretch, one);
            }
            return;
        }
        const auto waited = std::move(attaching_.extract(stretch).mapped());
        if (reply.status == KERN_SUCCESS) {
            pager.attach(stretch.object, reply.vals[0], home);
            objects[stretch.object].stretches[stretch.number].users += static_cast<std::uint32_t>(waited.size());
        }
        for (const auto &attached : waited) {
            attached(reply.status);
        }
    });
}

void Node::attach_all(std::vector<SharedStretch> wanted, std::function<void(std::int32_t)> done) {
    struct Progress {
        std::vector<Stretch> attached;
        std::size_t open = 1; // one more than the requests under way, until all have been made
        std::int32_t status = KERN_SUCCESS;
        std::function<void(std::int32_t)> done;
    };
    auto progress = std::make_shared<Progress>();
    progress->done = std::move(done);
    const auto settle = [this, progress](std::int32_t status) {
        progress->status = status != KERN_SUCCESS ? status : progress->status;
        if (--progress->open > 0) {
            return;
        }
        if (progress->status != KERN_SUCCESS) {
            for (const auto &stretch : progress->attached) {
                release(stretch);
            }
        }
        progress->done(progress->status);
    };
    const auto take = [this, progress](const SharedStretch &shared) {
        progress->attached.push_back(shared.stretch);
        if (shared.pages != 0 && pager.pages(shared.stretch.object) != shared.pages) {
            progress->status = KERN_INVALID_VALUE;
        }
    };
    for (const auto &shared : wanted) {
        if (in_use(shared.stretch)) {
            use(shared.stretch);
            take(shared);
            continue;
        }
        if (rehoming.home_of(shared.stretch.object) == self) {
            progress->status = KERN_INVALID_VALUE;
            continue;
        }
        ++progress->open;
        attach(shared.stretch, [shared, take, settle](std::int32_t status) {
            if (status == KERN_SUCCESS) {
                take(shared);
            }
            settle(status);
        });
    }
    settle(KERN_SUCCESS);
}

} // namespace norma::rt
