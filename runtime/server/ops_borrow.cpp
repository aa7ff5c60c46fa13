// SPDX-License-Identifier: BSD-3-Clause
// The memory of one task in the hands of another. A task's node says which stretches a range is made of; the node that
// is to have it attaches to them and maps them, and from then on the page protocol does the rest.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"
#include "rpc/transport.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

namespace norma::rt {

namespace {

constexpr std::size_t kMostPieceBytes = rpc::kMaxRecordBytes - 256; // of a reply

// How big they are we learn from their homes.
std::vector<SharedStretch> stretches_of(std::span<const MapEntry> pieces) {
    std::set<Stretch> listed;
    std::vector<SharedStretch> stretches;
    for (const auto &piece : pieces) {
        if (listed.insert(piece.stretch).second) {
            stretches.push_back({.stretch = piece.stretch, .pages = 0});
        }
    }
    return stretches;
}

// What another node says a range is made of; no value: it cannot be.
std::optional<std::vector<MapEntry>> decode_pieces(const Node &node, std::span<const std::byte> blob,
                                                   std::uint64_t address, std::uint64_t bytes) {
    rpc::Reader reader(blob);
    AddressMap map(node.window);
    std::vector<MapEntry> pieces;
    const bool sound = decode_entries(reader, map) && reader.done() &&
                       map.pieces(address, bytes, VM_PROT_NONE, pieces) == KERN_SUCCESS &&
                       std::all_of(pieces.begin(), pieces.end(),
                                   [&](const MapEntry &piece) { return piece.stretch.object.home < node.count; });
    return sound ? std::optional(pieces) : std::nullopt;
}

} // namespace

bool Node::inside_objects(std::span<const MapEntry> pieces) const {
    return std::all_of(pieces.begin(), pieces.end(), [&](const MapEntry &piece) {
        const auto bytes = pager.pages(piece.stretch.object) * kMapPage;
        return piece.offset <= bytes && piece.size <= bytes - piece.offset;
    });
}

void Node::release_all(std::span<const MapEntry> pieces) {
    for (const auto &shared : norma::rt::stretches_of(pieces)) {
        release(shared.stretch);
    }
}

void Node::hold_all(Pieces pieces, std::function<void(std::int32_t)> done) {
    auto stretches = norma::rt::stretches_of(pieces);
    attach_all(std::move(stretches), [this, pieces = std::move(pieces), done = std::move(done)](std::int32_t status) {
        if (status == KERN_SUCCESS && !inside_objects(pieces)) {
            release_all(pieces);
            done(KERN_FAILURE);
        } else {
            done(status);
        }
    });
}

void Node::reach(const Caller &caller, const Right &task, std::uint64_t address, std::uint64_t bytes, vm_prot_t access,
                 Reached done) {
    Request request;
    request.op = Op::vm_pieces;
    request.target = task;
    request.args = {address, bytes, static_cast<std::uint64_t>(access)};
    call_for(caller, std::move(request), [this, address, bytes, done = std::move(done)](const Reply &reply) {
        if (reply.status != KERN_SUCCESS) {
            done(reply.status, {});
            return;
        }
        const auto pieces = decode_pieces(*this, reply.blob, address, bytes);
        if (!pieces) {
            done(KERN_FAILURE, {});
            return;
        }
        hold_all(*pieces, [pieces = *pieces, done](std::int32_t status) {
            if (status == KERN_SUCCESS) {
                done(KERN_SUCCESS, pieces);
            } else { // no such object: what we heard of has been deallocated since
                done(status == KERN_INVALID_VALUE ? KERN_INVALID_ADDRESS : status, {});
            }
        });
    });
}

void op_vm_pieces(Node &node, const Request &request, Done done) {
    const auto *task = node.running(request.target);
    const auto [address, bytes, access] = std::tuple(request.args[0], request.args[1], request.args[2]);
    if (task == nullptr || bytes == 0 || access > VM_PROT_ALL) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    std::vector<MapEntry> pieces;
    if (const auto status = task->map.pieces(address, bytes, static_cast<vm_prot_t>(access), pieces);
        status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    rpc::Writer writer;
    encode_entries(writer, pieces);
    auto reply = status_reply(writer.bytes().size() <= kMostPieceBytes ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE);
    if (reply.status == KERN_SUCCESS) {
        reply.blob = writer.bytes();
    }
    done(std::move(reply));
}

namespace {

// The loan is in the task's record; here it gets into its process.
void map_loan(Node &node, Task &task, std::uint64_t start, std::function<void(int error)> done) {
    struct Progress {
        std::size_t open;
        int error = 0;
        std::function<void(int)> done;
    };
    const auto pieces = task.loans.at(start).pieces;
    auto progress = std::make_shared<Progress>(Progress{.open = pieces.size(), .done = std::move(done)});
    for (const auto &piece : pieces) {
        node.command(
            task, Command::map,
            {piece.start, piece.size, static_cast<std::uint64_t>(piece.protection),
             node.page_of(piece, piece.start) * kMapPage},
            [&node, id = task.id, piece, progress](const Ack &ack) {
                const auto found = node.tasks.find(id);
                if (ack.error == 0 && found != node.tasks.end()) {
                    node.pager.map(*found->second->space, piece.start, piece.size / kMapPage, piece.stretch.object,
                                   node.page_of(piece, piece.start));
                } else {
                    progress->error = ack.error == 0 ? ESRCH : ack.error;
                }
                if (--progress->open == 0) {
                    progress->done(progress->error);
                }
            },
            node.pager.frames_fd(piece.stretch.object));
    }
}

// Maps what reach() has found.
void lend(Node &node, TaskId id, vm_prot_t access, std::vector<MapEntry> pieces, std::uint64_t address,
          const Done &done) {
    auto *task = node.running({.kind = Right::Kind::task, .task = id, .thread = 0});
    Place place;
    const auto size = pieces.back().end() - pieces.front().start;
    if (task == nullptr || !node.take_place(*task, place, size)) {
        node.release_all(pieces);
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_NO_SPACE));
        return;
    }
    const auto from = pieces.front().start;
    for (auto &piece : pieces) {
        piece.start = place.address + (piece.start - from);
        piece.protection = access | VM_PROT_READ;
    }
    const auto start = place.address;
    task->loans[start].pieces = std::move(pieces);
    map_loan(node, *task, start, [&node, id, start, within = address % kMapPage, done](int error) {
        const auto found = node.tasks.find(id);
        if (found == node.tasks.end()) {
            done(status_reply(KERN_INVALID_TASK));
            return;
        }
        const auto loan = found->second->loans.find(start);
        if (error != 0) {
            node.end_loan(*found->second, loan, [done] { done(status_reply(KERN_RESOURCE_SHORTAGE)); });
            return;
        }
        loan->second.ready = true;
        auto reply = status_reply(KERN_SUCCESS);
        reply.vals[0] = start + within;
        done(reply);
    });
}

} // namespace

// Pages that came only for the loan do not stay: what was written belongs to those who have it in their maps, and this
// node's end is not to take it along.
void Node::end_loan(Task &task, std::map<std::uint64_t, Loan>::iterator loan, std::function<void()> done) {
    const auto over = std::move(task.loans.extract(loan).mapped());
    for (const auto &piece : over.pieces) {
        const auto &object = objects.at(piece.stretch.object);
        if (rehoming.home_of(piece.stretch.object) != self && object.stretches.at(piece.stretch.number).users == 1) {
            pager.evict(*task.space, piece.start, piece.size / kMapPage);
        }
        pager.unmap(*task.space, piece.start, piece.size / kMapPage);
    }
    command(task, Command::unmap, {over.range().start, over.range().size},
            [this, over, done = std::move(done)](const Ack &) {
                release_all(over.pieces);
                addresses.release(over.range());
                done();
            });
}

void op_vm_borrow(Node &node, const Request &request, Done done) {
    const auto id = request.target.task;
    if (request.caller.task != id || node.running(request.target) == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    const auto address = request.args[2], bytes = request.args[3];
    if (bytes == 0 || (request.args[4] & ~std::uint64_t{VM_PROT_DEFAULT}) != 0) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto access = static_cast<vm_prot_t>(request.args[4]);
    node.reach(request.caller, task_argument(request), address, bytes, access,
               [&node, id, access, address, done = std::move(done)](std::int32_t status, std::vector<MapEntry> pieces) {
                   if (status != KERN_SUCCESS) {
                       done(status_reply(status));
                       return;
                   }
                   lend(node, id, access, std::move(pieces), address, done);
               });
}

void op_vm_give_back(Node &node, const Request &request, Done done) {
    auto *task = request.caller.task == request.target.task ? node.running(request.target) : nullptr;
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    const auto loan = task->loan_at(request.args[0]);
    if (loan == task->loans.end() || !loan->second.ready) {
        done(status_reply(KERN_INVALID_ADDRESS));
        return;
    }
    const auto status = loan->second.lost ? KERN_MEMORY_FAILURE : KERN_SUCCESS;
    node.end_loan(*task, loan, [status, done] { done(status_reply(status)); });
}

} // namespace norma::rt
