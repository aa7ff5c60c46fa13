// SPDX-License-Identifier: BSD-3-Clause
// Who uses which memory object, across nodes, and when one dies. The home counts nodes, each node counts its own users.
// A clone holds its parent's objects until the child's node has attached to them, so a count never passes through 0.
#include "runtime/server/node.hpp"

#include "rpc/wire.hpp"

#include <cassert>

namespace norma::rt {

namespace {

void put_id(rpc::Writer &writer, const dsm::ObjectId &id) {
    writer.put(id.home).put(id.incarnation).put(id.serial);
}

dsm::ObjectId get_id(rpc::Reader &reader) {
    dsm::ObjectId id;
    id.home = reader.get<std::uint32_t>();
    id.incarnation = reader.get<std::uint32_t>();
    id.serial = reader.get<std::uint64_t>();
    return id;
}

Request about_object(Op op, const dsm::ObjectId &id) {
    rpc::Writer writer;
    put_id(writer, id);
    Request request;
    request.op = op;
    request.blob = writer.bytes();
    return request;
}

dsm::NodeId home_of(const dsm::ObjectId &id) {
    return static_cast<dsm::NodeId>(id.home);
}

} // namespace

void Node::use(const dsm::ObjectId &id) {
    ++objects[id].users;
}

void Node::release(const dsm::ObjectId &id) {
    auto &object = objects.at(id);
    assert(object.users > 0);
    if (--object.users > 0) {
        return;
    }
    if (home_of(id) != self && !router.is_down(home_of(id))) {
        router.tell(home_of(id), about_object(Op::detach, id)); // frames stay until the home says destroy
        return;
    }
    if (object.mappers.any()) {
        return;
    }
    for (dsm::NodeId node = 0; node < count; ++node) {
        if (object.holders[node]) {
            router.tell(node, about_object(Op::destroy, id));
        }
    }
    if (object.addresses.size > 0) {
        addresses.release(object.addresses);
        memory_used -= pager.pages(id) * kMapPage;
    }
    pager.destroy(id);
    objects.erase(id);
}

void Node::serve_attach(const Request &request, const Done &done) {
    rpc::Reader reader(request.blob);
    const auto id = get_id(reader);
    if (!reader.done() || !pager.knows(id) || home_of(id) != self) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    objects[id].mappers.set(request.caller.node);
    objects[id].holders.set(request.caller.node);
    Reply reply;
    reply.vals[0] = pager.pages(id);
    done(reply);
}

void Node::serve_detach(const Request &request, const Done &done) {
    rpc::Reader reader(request.blob);
    const auto id = get_id(reader);
    const auto found = objects.find(id);
    if (!reader.done() || found == objects.end() || home_of(id) != self) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    found->second.mappers.reset(request.caller.node);
    use(id); // releasing it again destroys the object if this was the last
    release(id);
    done(status_reply(KERN_SUCCESS));
}

void Node::serve_destroy(const Request &request, const Done &done) {
    rpc::Reader reader(request.blob);
    const auto id = get_id(reader);
    const auto found = objects.find(id);
    if (!reader.done() || home_of(id) != request.caller.node || found == objects.end() || found->second.users > 0) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    pager.destroy(id);
    objects.erase(found);
    done(status_reply(KERN_SUCCESS));
}

// To the home a node maps an object or does not. So there is one request at a time: a second one would be undone by the
// detach that follows the end of whoever sent the first.
void Node::attach(const dsm::ObjectId &id, std::function<void(std::int32_t)> done) {
    auto &waiting = attaching_[id];
    waiting.push_back(std::move(done));
    if (waiting.size() > 1) {
        return;
    }
    router.call(home_of(id), about_object(Op::attach, id), [this, id](const Reply &reply) {
        const auto waited = std::move(attaching_.extract(id).mapped());
        if (reply.status == KERN_SUCCESS) {
            pager.attach(id, reply.vals[0]);
            objects[id].users += static_cast<std::uint32_t>(waited.size());
        }
        for (const auto &attached : waited) {
            attached(reply.status);
        }
    });
}

void Node::attach_all(std::vector<SharedObject> wanted, std::function<void(std::int32_t)> done) {
    struct Progress {
        std::vector<SharedObject> attached;
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
            for (const auto &object : progress->attached) {
                release(object.id);
            }
        }
        progress->done(progress->status);
    };
    for (const auto &object : wanted) {
        const auto known = objects.find(object.id);
        if (home_of(object.id) == self || (known != objects.end() && known->second.users > 0)) {
            if (!pager.knows(object.id)) {
                progress->status = KERN_INVALID_VALUE;
                continue;
            }
            use(object.id);
            progress->attached.push_back(object);
            continue;
        }
        ++progress->open;
        attach(object.id, [progress, object, settle](std::int32_t status) {
            if (status == KERN_SUCCESS) {
                progress->attached.push_back(object);
            }
            settle(status);
        });
    }
    settle(KERN_SUCCESS);
}

} // namespace norma::rt
