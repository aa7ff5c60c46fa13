// SPDX-License-Identifier: BSD-3-Clause
// Wired memory. The pager has the pages here and keeps them from other nodes; the task's process keeps them in memory.
// One-sided access itself goes from task to task: the node servers only say how to reach the owner.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <algorithm>

namespace norma::rt {

namespace {

constexpr std::uint64_t kAccess = VM_PROT_READ | VM_PROT_WRITE;

std::optional<Range> outward(const Window &window, std::uint64_t address, std::uint64_t bytes) {
    const auto start = page_floor(address);
    const auto size = page_ceil(address - start + bytes);
    if (address + bytes < address || !size || !window.range().contains(start, *size)) {
        return std::nullopt;
    }
    return Range{.start = start, .size = *size};
}

// The pieces of the address map that the range covers, or why it cannot be wired.
std::int32_t pieces_of(const Node &node, const Task &task, Range range, vm_prot_t access,
                       std::vector<WiredPiece> &pieces) {
    if (const auto status = task.map.check_mapped(range.start, range.size); status != KERN_SUCCESS) {
        return status;
    }
    for (const auto &entry : task.map.entries()) {
        const auto from = std::max(entry.start, range.start), to = std::min(entry.end(), range.end());
        if (from >= to) {
            continue;
        }
        if ((access & ~entry.protection) != 0) {
            return KERN_PROTECTION_FAILURE;
        }
        if (node.rehoming.home_of(entry.stretch.object) != node.self) {
            return KERN_INVALID_HOST;
        }
        pieces.push_back({.start = from,
                          .size = to - from,
                          .stretch = entry.stretch,
                          .first = node.page_of(entry, from),
                          .access = access});
    }
    return KERN_SUCCESS;
}

// One vm_wire under way. The objects are held until it is over.
struct Wiring {
    Node &node;
    TaskId task;
    Range range;
    std::vector<WiredPiece> pieces, wired{};
    LedgerPtr ledger;
    std::uint64_t charged = 0; // for what was not wired before; what is wired now is charged to the task's record
    std::size_t open = 0;
    std::int32_t status = KERN_SUCCESS;
    Done done;
};

std::uint64_t bytes_in(Range range, const WiredPiece &piece) {
    const auto from = std::max(piece.start, range.start), to = std::min(piece.end(), range.end());
    return from < to ? to - from : 0;
}

std::uint64_t wired_in(const Task &task, Range range) {
    std::uint64_t bytes = 0;
    for (const auto &[start, piece] : task.wired) {
        bytes += bytes_in(range, piece);
    }
    return bytes;
}

void undo(Wiring &wiring) {
    for (const auto &piece : wiring.wired) {
        wiring.node.pager.unwire(piece.stretch.object, piece.first, piece.size / kMapPage);
    }
}

void finish(Wiring &wiring, std::int32_t status) {
    for (const auto &piece : wiring.pieces) {
        wiring.node.release(piece.stretch);
    }
    wiring.ledger->release(wiring.charged);
    wiring.done(status_reply(status));
}

void locked(Wiring &wiring, const std::vector<WiredPiece> &before, int error) {
    auto &node = wiring.node;
    const auto found = node.tasks.find(wiring.task);
    std::vector<WiredPiece> now;
    const bool mapped = found != node.tasks.end() &&
                        pieces_of(node, *found->second, wiring.range, wiring.pieces[0].access, now) == KERN_SUCCESS;
    if (mapped && error == 0) {
        for (const auto &piece : wiring.wired) {
            found->second->wired[piece.start] = piece;
        }
        wiring.ledger->charge(wiring.range.size);
        node.unwire(before);
        finish(wiring, KERN_SUCCESS);
        return;
    }
    undo(wiring);
    if (mapped) {
        for (const auto &piece : before) {
            const auto from = std::max(piece.start, wiring.range.start), to = std::min(piece.end(), wiring.range.end());
            auto part = piece;
            part.start = from;
            part.size = to - from;
            part.first += (from - piece.start) / kMapPage;
            node.pager.wire(part.stretch.object, part.first, part.size / kMapPage, [](dsm::WiringResult) {});
            found->second->wired[part.start] = part;
            wiring.ledger->charge(part.size);
        }
    }
    node.unwire(before);
    finish(wiring, found == node.tasks.end() ? KERN_INVALID_TASK
                   : mapped                  ? KERN_RESOURCE_SHORTAGE
                                             : KERN_INVALID_ADDRESS);
}

// The pages are here. That they stay in memory is the process's to ask for. What was wired before gives way; meanwhile
// nothing of the range can be exported, so that no export outlives what it was made for.
void lock_in_memory(const std::shared_ptr<Wiring> &wiring) {
    auto &node = wiring->node;
    const auto found = node.tasks.find(wiring->task);
    std::vector<WiredPiece> now;
    if (found == node.tasks.end() || found->second->state != Task::State::running) {
        undo(*wiring);
        finish(*wiring, KERN_INVALID_TASK);
        return;
    }
    const auto status = pieces_of(node, *found->second, wiring->range, wiring->pieces[0].access, now);
    if (status != KERN_SUCCESS) { // unmapped or protected meanwhile
        undo(*wiring);
        finish(*wiring, status);
        return;
    }
    const auto before = node.take_wiring(*found->second, wiring->range);
    node.command(*found->second, Command::wire, {wiring->range.start, wiring->range.size},
                 [wiring, before](const Ack &ack) {
                     wiring->node.direct.when_quiet(
                         wiring->task, [wiring, before, error = ack.error] { locked(*wiring, before, error); });
                 });
}

void settled(const std::shared_ptr<Wiring> &wiring, const WiredPiece &piece, dsm::WiringResult result) {
    if (result == dsm::WiringResult::wired) {
        wiring->wired.push_back(piece);
    } else {
        wiring->status = result == dsm::WiringResult::lost ? KERN_MEMORY_FAILURE : KERN_RESOURCE_SHORTAGE;
    }
    if (--wiring->open > 0) {
        return;
    }
    if (wiring->status == KERN_SUCCESS) {
        lock_in_memory(wiring);
    } else {
        undo(*wiring);
        finish(*wiring, wiring->status);
    }
}

// From the first moment on nothing of it can be exported; the pages may go when the process has ended what is exported.
void unwire(Node &node, Task &task, Range range, const Done &done) {
    node.command(task, Command::unwire, {range.start, range.size},
                 [&node, id = task.id, taken = node.take_wiring(task, range), done](const Ack &ack) {
                     node.unwire(taken);
                     const auto status = !node.tasks.contains(id) ? KERN_INVALID_TASK
                                         : ack.error != 0         ? KERN_FAILURE
                                                                  : KERN_SUCCESS;
                     node.direct.when_quiet(id, [status, done] { done(status_reply(status)); });
                 });
}

bool all_wired(const Task &task, std::uint64_t address, std::uint64_t bytes, vm_prot_t access, std::int32_t &status) {
    const auto end = address + bytes;
    status = KERN_SUCCESS;
    while (address < end) {
        const auto next = task.wired.upper_bound(address);
        if (next == task.wired.begin() || std::prev(next)->second.end() <= address) {
            status = KERN_INVALID_ADDRESS;
            return false;
        }
        const auto &piece = std::prev(next)->second;
        if ((access & ~piece.access) != 0) {
            status = KERN_PROTECTION_FAILURE;
            return false;
        }
        address = piece.end();
    }
    return true;
}

} // namespace

// What is wired beyond the range stays so, under records of its own: it is wired anew before the old record goes.
std::vector<WiredPiece> Node::take_wiring(Task &task, Range range) {
    direct.close(task.id, range);
    std::vector<WiredPiece> taken;
    for (const auto &[start, piece] : task.wired) {
        if (piece.start < range.end() && range.start < piece.end()) {
            taken.push_back(piece);
        }
    }
    for (const auto &piece : taken) {
        const auto keep = [&](std::uint64_t from, std::uint64_t to) {
            if (from < to) {
                auto rest = piece;
                rest.start = from;
                rest.size = to - from;
                rest.first += (from - piece.start) / kMapPage;
                pager.wire(rest.stretch.object, rest.first, rest.size / kMapPage, [](dsm::WiringResult) {});
                task.wired[from] = rest;
            }
        };
        task.ledgers[kWired]->release(bytes_in(range, piece));
        task.wired.erase(piece.start);
        keep(piece.start, std::min(piece.end(), range.start));
        keep(std::max(piece.start, range.end()), piece.end());
    }
    return taken;
}

void Node::unwire(const std::vector<WiredPiece> &pieces) {
    for (const auto &piece : pieces) {
        pager.unwire(piece.stretch.object, piece.first, piece.size / kMapPage);
    }
}

void op_vm_wire(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr || (request.args[2] & ~kAccess) != 0) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    if (request.caller.node != node.self) { // wired is what is on the caller's host
        done(status_reply(KERN_INVALID_HOST));
        return;
    }
    if (request.args[1] == 0) {
        done(status_reply(KERN_SUCCESS));
        return;
    }
    const auto range = outward(node.window, request.args[0], request.args[1]);
    if (!range) {
        done(status_reply(KERN_INVALID_ADDRESS));
        return;
    }
    const auto access = static_cast<vm_prot_t>(request.args[2]);
    if (access == VM_PROT_NONE) {
        const auto status = task->map.check_mapped(range->start, range->size);
        status == KERN_SUCCESS ? unwire(node, *task, *range, done) : done(status_reply(status));
        return;
    }
    auto wiring = std::make_shared<Wiring>(Wiring{.node = node,
                                                  .task = task->id,
                                                  .range = *range,
                                                  .pieces = {},
                                                  .ledger = task->ledgers[kWired],
                                                  .done = std::move(done)});
    if (const auto status = pieces_of(node, *task, *range, access, wiring->pieces); status != KERN_SUCCESS) {
        wiring->done(status_reply(status));
        return;
    }
    const auto more = range->size - wired_in(*task, *range);
    if (!wiring->ledger->has_room(more)) {
        wiring->done(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    wiring->ledger->charge(wiring->charged = more);
    for (const auto &piece : wiring->pieces) {
        node.use(piece.stretch);
    }
    wiring->open = wiring->pieces.size();
    const auto pieces = wiring->pieces;
    for (const auto &piece : pieces) {
        node.pager.wire(piece.stretch.object, piece.first, piece.size / kMapPage,
                        [wiring, piece](dsm::WiringResult result) { settled(wiring, piece, result); });
    }
}

void op_region_export(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr || request.caller.task != request.target.task) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    const auto address = request.args[0], bytes = request.args[1], access = request.args[2];
    if (bytes == 0 || access == 0 || (access & ~kAccess) != 0 || address + bytes < address || request.blob.empty()) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    auto reply = status_reply(KERN_SUCCESS);
    if (all_wired(*task, address, bytes, static_cast<vm_prot_t>(access), reply.status)) {
        task->exporter = request.blob;
        reply.vals[0] = task->id;
        node.direct.add({.owner = task->id,
                         .place = request.args[3],
                         .address = address,
                         .bytes = bytes,
                         .access = static_cast<vm_prot_t>(access)},
                        {.high = request.args[4], .low = request.args[5]});
    }
    done(reply);
}

// Of what no importer has in its memory the owner's process knows all.
void op_region_withdraw(Node &node, const Request &request, Done done) {
    if (node.running(request.target) == nullptr || request.caller.task != request.target.task) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    node.direct.close(request.target.task, {.high = request.args[0], .low = request.args[1]});
    node.direct.when_quiet(request.target.task, [done = std::move(done)] { done(status_reply(KERN_SUCCESS)); });
}

void op_region_find(Node &node, const Request &request, Done done) {
    const auto found = node.tasks.find(request.args[0]);
    if (found == node.tasks.end() || found->second->exporter.empty()) {
        done(status_reply(found == node.tasks.end() ? KERN_INVALID_TASK : KERN_INVALID_CAPABILITY));
        return;
    }
    auto reply = status_reply(KERN_SUCCESS);
    const auto name = std::as_bytes(std::span(node.direct.name()));
    reply.vals[0] = name.size();
    reply.blob = found->second->exporter;
    reply.blob.insert(reply.blob.end(), name.begin(), name.end());
    done(reply);
}

} // namespace norma::rt
