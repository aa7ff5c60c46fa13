// SPDX-License-Identifier: BSD-3-Clause
// vm_map and vm_remap: memory with attributes and an alignment of one's choice, and memory that others have already.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <cassert>
#include <cstring>

namespace norma::rt {

namespace {

// What vm_map or vm_remap asks for; a status other than success says why it cannot be.
std::int32_t read_args(const Request &request, MapArgs &args) {
    if (request.blob.size() != sizeof args) {
        return KERN_INVALID_ARGUMENT;
    }
    std::memcpy(&args, request.blob.data(), sizeof args);
    return args.bytes == 0 || args.inheritance > VM_INHERIT_NONE ? KERN_INVALID_ARGUMENT : KERN_SUCCESS;
}

Place place_of(const MapArgs &args) {
    return {.address = args.address, .mask = args.mask, .anywhere = args.anywhere != 0};
}

// To the task's map belongs one use of each object, however many pieces of it there are; reach() has taken one more.
void give_surplus_back(Node &node, const Task &task, std::span<const MapEntry> pieces) {
    std::vector<MapEntry> known;
    for (const auto &piece : pieces) {
        if (task.map.maps(piece.stretch)) {
            known.push_back(piece);
        }
    }
    node.release_all(known);
}

} // namespace

void Node::map_pieces(TaskId id, Place place, std::vector<MapEntry> pieces, const Done &done) {
    auto *task = running({.kind = Right::Kind::task, .task = id, .thread = 0});
    const auto from = pieces.front().start, size = pieces.back().end() - from;
    auto status = task == nullptr ? KERN_INVALID_TASK : check_place(*task, place, size);
    if (status == KERN_SUCCESS && !take_place(*task, place, size)) {
        status = KERN_NO_SPACE;
    }
    if (status != KERN_SUCCESS) {
        release_all(pieces);
        done(status_reply(status));
        return;
    }
    give_surplus_back(*this, *task, pieces);
    pay_for_shared(stretches_of(pieces), task->ledgers);
    auto reply = status_reply(KERN_SUCCESS);
    reply.vals = {place.address, VM_PROT_ALL, VM_PROT_ALL, 0};
    for (auto &piece : pieces) {
        piece.start = place.address + (piece.start - from);
        if (place.anywhere) {
            objects.at(piece.stretch.object).addresses.push_back({.start = piece.start, .size = piece.size});
        }
        [[maybe_unused]] const auto inserted = task->map.insert(piece);
        assert(inserted == KERN_SUCCESS);
        reply.vals[1] &= static_cast<std::uint64_t>(piece.protection);
        reply.vals[2] &= static_cast<std::uint64_t>(piece.max_protection);
    }
    struct Progress {
        std::size_t open;
        int error = 0;
    };
    auto progress = std::make_shared<Progress>(Progress{.open = pieces.size()});
    for (const auto &piece : pieces) {
        map_alias(*task, piece, [this, id, size, progress, reply, done](int error) {
            progress->error = error != 0 ? error : progress->error;
            if (--progress->open > 0) {
                return;
            }
            const auto found = tasks.find(id);
            if (found == tasks.end()) {
                done(status_reply(KERN_INVALID_TASK));
            } else if (progress->error == 0) {
                done(reply);
            } else {
                std::vector<MapEntry> undone;
                found->second->map.remove(reply.vals[0], size, undone);
                unmap_pieces(*found->second, std::move(undone), [done] { done(status_reply(KERN_RESOURCE_SHORTAGE)); });
            }
        });
    }
}

namespace {

// Maps pieces, whose stretches are used, or copies of them.
void map_reached(Node &node, TaskId task, const MapArgs &args, std::vector<MapEntry> pieces, const Done &done) {
    if (args.copy == 0) {
        node.map_pieces(task, place_of(args), std::move(pieces), done);
        return;
    }
    const auto *payer = node.running({.kind = Right::Kind::task, .task = task, .thread = 0});
    if (payer == nullptr) {
        node.release_all(pieces);
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    node.copy_pieces(std::move(pieces), payer->ledgers,
                     [&node, task, args, done](std::int32_t status, std::vector<MapEntry> copies) {
                         if (status == KERN_SUCCESS) {
                             node.map_pieces(task, place_of(args), std::move(copies), done);
                         } else {
                             done(status_reply(status));
                         }
                     });
}

void map_fresh(Node &node, Task &task, const MapArgs &args, Done done) {
    MapEntry entry;
    entry.protection = static_cast<vm_prot_t>(args.protection);
    entry.max_protection = static_cast<vm_prot_t>(args.max_protection);
    entry.inheritance = args.inheritance;
    const auto status = node.allocate(task, place_of(args), args.bytes, entry);
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    node.map_new(task, entry, std::move(done));
}

void map_object(Node &node, TaskId task, const dsm::ObjectId &object, const MapArgs &args, const Done &done) {
    const auto size = page_ceil(args.bytes);
    if (object.home >= node.count || !page_aligned(args.offset)) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    if (!size || *size > node.window.size) {
        done(status_reply(KERN_NO_SPACE));
        return;
    }
    std::vector<MapEntry> piece(1);
    piece[0].size = *size;
    piece[0].stretch.object = object;
    piece[0].offset = args.offset;
    piece[0].protection = static_cast<vm_prot_t>(args.protection);
    piece[0].max_protection = static_cast<vm_prot_t>(args.max_protection);
    piece[0].inheritance = args.inheritance;
    node.attach_all({{.stretch = piece[0].stretch}}, [&node, task, args, piece, done](std::int32_t status) {
        if (status != KERN_SUCCESS) { // the object may be gone
            done(status_reply(status == KERN_INVALID_VALUE ? KERN_MEMORY_FAILURE : status));
        } else if (!node.inside_objects(piece)) {
            node.release_all(piece);
            done(status_reply(KERN_INVALID_ARGUMENT));
        } else {
            map_reached(node, task, args, piece, done);
        }
    });
}

} // namespace

void op_vm_map(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    MapArgs args;
    auto status = task == nullptr ? KERN_INVALID_TASK : read_args(request, args);
    if (status == KERN_SUCCESS && ((args.protection | args.max_protection) & ~std::uint32_t{VM_PROT_ALL}) != 0) {
        status = KERN_INVALID_ARGUMENT;
    } else if (status == KERN_SUCCESS && (args.protection & ~args.max_protection) != 0) {
        status = KERN_PROTECTION_FAILURE;
    }
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    const auto object = object_argument(request);
    if (object.serial != 0 && args.copy == 0 && argument_is_read_only(request)) {
        args.max_protection &= ~std::uint32_t{VM_PROT_WRITE};
        if ((args.protection & VM_PROT_WRITE) != 0) {
            done(status_reply(KERN_PROTECTION_FAILURE));
            return;
        }
    }
    if (object.serial != 0) {
        map_object(node, task->id, object, args, done);
    } else {
        map_fresh(node, *task, args, std::move(done));
    }
}

void op_vm_remap(Node &node, const Request &request, Done done) {
    const auto *task = node.running(request.target);
    MapArgs args;
    const auto status = task == nullptr ? KERN_INVALID_TASK : read_args(request, args);
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    node.reach(
        request.caller, task_argument(request), args.offset, args.bytes, VM_PROT_NONE,
        [&node, id = task->id, args, done = std::move(done)](std::int32_t reached, std::vector<MapEntry> pieces) {
            if (reached != KERN_SUCCESS) {
                done(status_reply(reached));
                return;
            }
            for (auto &piece : pieces) {
                piece.inheritance = args.inheritance;
                piece.behavior = VM_BEHAVIOR_DEFAULT;
            }
            map_reached(node, id, args, std::move(pieces), done);
        });
}

} // namespace norma::rt
