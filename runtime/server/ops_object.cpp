// SPDX-License-Identifier: BSD-3-Clause
// Memory objects with a name. The name says on which node an object is made, so that whoever uses the name asks that
// node, and name and memory have one fate. A name is a user of its object.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"

namespace norma::rt {

namespace {

bool valid_name(const Node &node, std::span<const std::byte> name) {
    return !name.empty() && name.size() <= kMostNameBytes && node.router.serves(home_of_name(name, node.founders));
}

std::string string_of(std::span<const std::byte> name) {
    return {reinterpret_cast<const char *>(name.data()), name.size()};
}

// Who pays, and the name.
std::optional<std::pair<LedgerMarks, std::vector<std::byte>>> decode_opening(std::span<const std::byte> bytes) {
    rpc::Reader reader(bytes);
    LedgerMarks payers;
    const bool sound = get_marks(reader, payers);
    const auto name = reader.get_bytes();
    return sound && reader.done() ? std::optional(std::pair(payers, std::vector(name.begin(), name.end())))
                                  : std::nullopt;
}

Reply opened(const Node &node, const dsm::ObjectId &id) {
    auto reply = status_reply(KERN_SUCCESS);
    reply.rights.push_back(right_of({.object = id, .number = 0}, Right::Kind::object));
    reply.vals[1] = node.pager.pages(id) * kMapPage;
    return reply;
}

} // namespace

std::vector<std::byte> encode_opening(const LedgerMarks &payers, std::span<const std::byte> name) {
    rpc::Writer writer;
    put_marks(writer, payers);
    writer.put_bytes(name);
    return writer.bytes();
}

void op_object_open(Node &node, const Request &request, Done done) {
    const auto wanted = page_ceil(request.args[0]);
    const auto opening = decode_opening(request.blob);
    if (!opening || !valid_name(node, opening->second) || !wanted || *wanted > node.window.size) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto name = string_of(opening->second);
    if (const auto found = node.names.find(name); found != node.names.end()) {
        auto reply = opened(node, found->second);
        done(*wanted == 0 || *wanted == reply.vals[1] ? reply : status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    dsm::ObjectId id;
    Ledgers payers;
    const auto status = *wanted == 0                                 ? KERN_INVALID_VALUE
                        : !node.ledgers.draw(opening->first, payers) ? KERN_RESOURCE_SHORTAGE
                                                                     : node.make_object(*wanted, payers, id);
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    node.names[name] = id;
    node.objects.at(id).named = true;
    done(opened(node, id));
}

void op_object_remove(Node &node, const Request &request, Done done) {
    const auto found = node.names.find(string_of(request.blob));
    if (found == node.names.end()) {
        done(status_reply(valid_name(node, request.blob) ? KERN_INVALID_VALUE : KERN_INVALID_ARGUMENT));
        return;
    }
    rpc::Writer writer;
    put_stretch(writer, {.object = found->second, .number = 0});
    Request unname;
    unname.op = Op::object_unname;
    unname.blob = writer.bytes();
    const auto home = node.rehoming.home_of(found->second);
    node.names.erase(found);
    node.router.call(home, std::move(unname), std::move(done));
}

// The home is at the node of the name, unless that was to leave the job and then stayed (docs/draining.md).
void op_object_unname(Node &node, const Request &request, Done done) {
    rpc::Reader reader(request.blob);
    const auto stretch = get_stretch(reader);
    const auto object = node.objects.find(stretch.object);
    if (!reader.done() || stretch.number != 0 || object == node.objects.end() || !object->second.named) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    object->second.named = false;
    node.release(stretch);
    done(status_reply(KERN_SUCCESS));
}

} // namespace norma::rt
