// SPDX-License-Identifier: BSD-3-Clause
// Memory objects with a name. The name says on which node an object is made, so that whoever uses the name asks that
// node, and name and memory have one fate. A name is a user of its object.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

namespace norma::rt {

namespace {

bool valid_name(const Node &node, const Request &request) {
    return !request.blob.empty() && request.blob.size() <= kMostNameBytes &&
           home_of_name(request.blob, node.count) == node.self;
}

std::string name_of(const Request &request) {
    return {reinterpret_cast<const char *>(request.blob.data()), request.blob.size()};
}

Reply opened(const Node &node, const dsm::ObjectId &id) {
    auto reply = status_reply(KERN_SUCCESS);
    reply.rights.push_back(right_of({.object = id, .number = 0}, Right::Kind::object));
    reply.vals[1] = node.pager.pages(id) * kMapPage;
    return reply;
}

} // namespace

void op_object_open(Node &node, const Request &request, Done done) {
    const auto wanted = page_ceil(request.args[0]);
    if (!valid_name(node, request) || !wanted || *wanted > node.window.size) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto name = name_of(request);
    if (const auto found = node.names.find(name); found != node.names.end()) {
        auto reply = opened(node, found->second);
        done(*wanted == 0 || *wanted == reply.vals[1] ? reply : status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    dsm::ObjectId id;
    const auto status = *wanted == 0 ? KERN_INVALID_VALUE : node.make_object(*wanted, id);
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    node.names[name] = id;
    node.objects.at(id).named = true;
    done(opened(node, id));
}

void op_object_remove(Node &node, const Request &request, Done done) {
    const auto found = node.names.find(name_of(request));
    if (found == node.names.end()) {
        done(status_reply(valid_name(node, request) ? KERN_INVALID_VALUE : KERN_INVALID_ARGUMENT));
        return;
    }
    const auto id = found->second;
    node.names.erase(found);
    node.objects.at(id).named = false;
    node.release({.object = id, .number = 0});
    done(status_reply(KERN_SUCCESS));
}

} // namespace norma::rt
