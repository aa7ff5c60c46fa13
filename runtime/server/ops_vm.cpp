// SPDX-License-Identifier: BSD-3-Clause
// Virtual memory: the address map changes here, then the task's service thread does the same to the process.
#include "runtime/log.hpp"
#include "runtime/server/ops.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <system_error>

namespace norma::rt {

namespace {

dsm::Advice advice_of(vm_behavior_t behavior) {
    switch (behavior) {
    case VM_BEHAVIOR_SEQUENTIAL:
        return dsm::Advice::sequential;
    case VM_BEHAVIOR_RANDOM:
    case VM_BEHAVIOR_RSEQNTL: // what lies ahead has been read
        return dsm::Advice::random;
    default:
        return dsm::Advice::none;
    }
}

Done to_reply(Done done, std::uint64_t value) {
    return [done = std::move(done), value](Reply reply) {
        reply.vals[0] = value;
        done(std::move(reply));
    };
}

bool occupied(const Task &task, Range range) {
    const auto *region = task.map.region(range.start);
    const auto loan = task.loans.lower_bound(range.start);
    return (region != nullptr && region->start < range.end()) ||
           (loan != task.loans.end() && loan->first < range.end()) ||
           (loan != task.loans.begin() && std::prev(loan)->second.range().end() > range.start);
}

} // namespace

std::int32_t Node::check_place(const Task &task, const Place &place, std::uint64_t size) const {
    if (place.anywhere) {
        return KERN_SUCCESS;
    }
    if (!page_aligned(place.address)) {
        return KERN_INVALID_ARGUMENT;
    }
    if (!window.range().contains(place.address, size)) {
        return KERN_INVALID_ADDRESS;
    }
    const bool taken = (place.address & place.mask) != 0 || occupied(task, {.start = place.address, .size = size});
    return taken ? KERN_NO_SPACE : KERN_SUCCESS;
}

bool Node::take_place(const Task &task, Place &place, std::uint64_t size) {
    if (!place.anywhere) {
        addresses.reserve({.start = place.address, .size = size}); // for good: a part may be another object's own
        return true;
    }
    // The slice knows of all tasks of the node, but not of what this one has put at an address of its choice.
    std::vector<Range> unusable;
    auto start = addresses.allocate(size, place.mask);
    while (start && occupied(task, {.start = *start, .size = size})) {
        unusable.push_back({.start = *start, .size = size});
        start = addresses.allocate(size, place.mask);
    }
    for (const auto &other : unusable) {
        addresses.release(other);
    }
    place.address = start.value_or(0);
    return start.has_value();
}

std::int32_t Node::make_object(std::uint64_t size, const Ledgers &payers, dsm::ObjectId &id,
                               std::unique_ptr<dsm::Backing> file) {
    if (!has_room(payers, size)) {
        return KERN_RESOURCE_SHORTAGE;
    }
    try {
        id = pager.create(size / kMapPage, std::move(file));
    } catch (const std::system_error &error) {
        log_error("a memory object of {} bytes cannot be made: {}", size, error.what());
        return KERN_RESOURCE_SHORTAGE;
    }
    pay({.object = id, .number = 0}, payers);
    use({.object = id, .number = 0});
    return KERN_SUCCESS;
}

std::int32_t Node::allocate(Task &task, const Place &wanted, std::uint64_t bytes, MapEntry &entry) {
    const auto size = page_ceil(bytes);
    if (!size || *size > window.size) {
        return KERN_NO_SPACE;
    }
    if (const auto status = check_place(task, wanted, *size); status != KERN_SUCCESS) {
        return status;
    }
    if (const auto status = make_object(*size, task.ledgers, entry.stretch.object); status != KERN_SUCCESS) {
        return status;
    }
    auto place = wanted;
    if (!take_place(task, place, *size)) {
        release(entry.stretch);
        return KERN_NO_SPACE;
    }
    entry.start = place.address;
    entry.size = *size;
    if (place.anywhere) {
        objects.at(entry.stretch.object).addresses.push_back({.start = entry.start, .size = entry.size});
    }
    return task.map.insert(entry);
}

void Node::map_entry(Task &task, const MapEntry &entry, std::function<void(int)> done, Command how) {
    const auto id = task.id;
    command(
        task, how,
        {entry.start, entry.size, static_cast<std::uint64_t>(entry.protection), page_of(entry, entry.start) * kMapPage},
        [this, id, entry, done = std::move(done)](const Ack &ack) {
            const auto found = tasks.find(id);
            if (ack.error == 0 && found != tasks.end() && found->second->state == Task::State::running) {
                // Another thread may have deallocated some of it already; the process will hear of that next.
                auto &space = *found->second->space;
                for (const auto &part : found->second->map.parts_of(entry)) {
                    pager.map(space, part.start, part.size / kMapPage, part.stretch.object, page_of(part, part.start));
                    pager.advise(space, part.start, part.size / kMapPage, advice_of(part.behavior));
                }
            }
            done(ack.error);
        },
        pager.frames_fd(entry.stretch.object));
}

void Node::map_alias(Task &task, const MapEntry &entry, std::function<void(int)> done) {
    auto closed = entry;
    closed.protection = VM_PROT_NONE;
    map_entry(task, closed, [this, id = task.id, entry, done = std::move(done)](int error) {
        const auto found = tasks.find(id);
        // Of a task that is ending the pager has not been told: what it could still touch stays closed.
        const bool running = found != tasks.end() && found->second->state == Task::State::running;
        const auto parts = running ? found->second->map.parts_of(entry) : std::vector<MapEntry>();
        if (error != 0 || parts.empty()) {
            done(error);
            return;
        }
        auto open = std::make_shared<std::size_t>(parts.size());
        for (const auto &part : parts) {
            command(*found->second, Command::protect,
                    {part.start, part.size, static_cast<std::uint64_t>(part.protection)}, [open, done](const Ack &ack) {
                        if (--*open == 0) {
                            done(ack.error);
                        }
                    });
        }
    });
}

void Node::map_new(Task &task, const MapEntry &entry, Done done) {
    map_entry(task, entry, [this, id = task.id, entry, done = std::move(done)](int error) {
        const auto found = tasks.find(id);
        if (error == 0) {
            to_reply(done, entry.start)(status_reply(KERN_SUCCESS));
        } else if (found == tasks.end()) {
            done(status_reply(KERN_INVALID_TASK));
        } else {
            std::vector<MapEntry> pieces;
            found->second->map.remove(entry.start, entry.size, pieces);
            unmap_pieces(*found->second, std::move(pieces), [done] { done(status_reply(KERN_RESOURCE_SHORTAGE)); });
        }
    });
}

dsm::PageIndex Node::page_of(const MapEntry &entry, std::uint64_t address) const {
    return entry.stretch.number * pager.pages(entry.stretch.object) + entry.offset_of(address) / kMapPage;
}

// The pieces are out of the address map already. Their memory goes back once the process has unmapped them.
void Node::unmap_pieces(Task &task, std::vector<MapEntry> pieces, std::function<void()> done) {
    if (pieces.empty()) {
        done();
        return;
    }
    const auto id = task.id;
    auto open = std::make_shared<std::size_t>(pieces.size());
    auto finished = std::make_shared<std::function<void()>>(std::move(done));
    std::set<Stretch> gone;
    for (const auto &piece : pieces) {
        if (!task.map.maps(piece.stretch)) {
            gone.insert(piece.stretch);
        }
    }
    for (const auto &piece : pieces) {
        pager.unmap(*task.space, piece.start, piece.size / kMapPage);
        auto wired = take_wiring(task, {.start = piece.start, .size = piece.size});
        command(task, Command::unmap, {piece.start, piece.size},
                [this, id, piece, open, gone, finished, wired = std::move(wired)](const Ack &) {
                    unwire(wired);
                    // A thread that waited for a page of the range has not been told by the kernel: it looks again, and
                    // finds that nothing is there.
                    if (const auto found = tasks.find(id); found != tasks.end() && found->second->space != nullptr) {
                        found->second->space->userfault.wake(piece.start, piece.size);
                    }
                    if (--*open == 0) {
                        direct.when_quiet(id, [this, gone, finished] {
                            for (const auto &stretch : gone) {
                                release(stretch);
                            }
                            (*finished)();
                        });
                    }
                });
    }
}

namespace {

bool wired_whole(const Task &task, const MapEntry &entry) {
    std::uint64_t bytes = 0;
    for (auto piece = task.wired.lower_bound(entry.start); piece != task.wired.end() && piece->first < entry.end();
         ++piece) {
        bytes += piece->second.size;
    }
    return bytes == entry.size;
}

// Whether some of the range is wired for more than this protection: whoever carries out accesses from outside would be
// the one to be surprised.
bool wired_beyond(const Task &task, std::uint64_t address, std::uint64_t bytes, vm_prot_t protection) {
    return std::any_of(task.wired.begin(), task.wired.end(), [&](const auto &entry) {
        const auto &piece = entry.second;
        return bytes > 0 && piece.start < address + bytes && address < piece.end() && (piece.access & ~protection) != 0;
    });
}

bool mapped_here(const Node &node, const Stretch &stretch, const Task *except) {
    return std::any_of(node.tasks.begin(), node.tasks.end(), [&](const auto &entry) {
        return entry.second.get() != except && entry.second->map.maps(stretch);
    });
}

// Whether somebody on another node maps a stretch: only its home knows. A home that does not answer cannot say that
// nobody does.
void ask_home(Node &node, const Stretch &stretch, const std::function<void(bool shared)> &done) {
    rpc::Writer writer;
    put_stretch(writer, stretch);
    Request question;
    question.op = Op::stretch_shared;
    question.blob = writer.bytes();
    node.rehoming.with_homes({stretch.object}, [&node, object = stretch.object, question = std::move(question), done] {
        node.router.call(node.rehoming.home_of(object), question,
                         [done](const Reply &reply) { done(reply.status != KERN_SUCCESS || reply.vals[0] != 0); });
    });
}

} // namespace

void op_vm_allocate(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    const Place place{.address = request.args[0], .anywhere = request.args[2] != 0};
    if (request.args[1] == 0) {
        to_reply(std::move(done), place.address)(status_reply(KERN_SUCCESS));
        return;
    }
    MapEntry entry;
    const auto status = node.allocate(*task, place, request.args[1], entry);
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    node.map_new(*task, entry, std::move(done));
}

void op_vm_deallocate(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    std::vector<MapEntry> pieces;
    if (const auto status = task->map.remove(request.args[0], request.args[1], pieces); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    node.unmap_pieces(*task, std::move(pieces), [done] { done(status_reply(KERN_SUCCESS)); });
}

void op_vm_protect(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    std::vector<ProtectionChange> changed;
    const auto wanted = request.args[3];
    if (wanted <= VM_PROT_ALL &&
        wired_beyond(*task, request.args[0], request.args[1], static_cast<vm_prot_t>(wanted))) {
        done(status_reply(KERN_PROTECTION_FAILURE));
        return;
    }
    const auto status = wanted > VM_PROT_ALL ? KERN_INVALID_ARGUMENT
                                             : task->map.protect(request.args[0], request.args[1], request.args[2] != 0,
                                                                 static_cast<vm_prot_t>(wanted), changed);
    if (status != KERN_SUCCESS || changed.empty()) {
        done(status_reply(status));
        return;
    }
    auto open = std::make_shared<std::size_t>(changed.size());
    for (const auto &piece : changed) {
        node.command(*task, Command::protect,
                     {piece.entry.start, piece.entry.size, static_cast<std::uint64_t>(piece.entry.protection)},
                     [open, done](const Ack &ack) {
                         if (--*open == 0) {
                             done(status_reply(ack.error == 0 ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE));
                         }
                     });
    }
}

void op_vm_inherit(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    const auto wanted = request.args[2];
    if (task == nullptr || wanted > VM_INHERIT_NONE) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    done(status_reply(task->map.inherit(request.args[0], request.args[1], static_cast<vm_inherit_t>(wanted))));
}

void op_vm_behavior(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    if (task == nullptr || request.args[2] > VM_BEHAVIOR_DONTNEED) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    const auto address = request.args[0], bytes = request.args[1];
    const auto behavior = static_cast<vm_behavior_t>(request.args[2]);
    const bool order = behavior == VM_BEHAVIOR_WILLNEED || behavior == VM_BEHAVIOR_DONTNEED;
    const auto status =
        order ? task->map.check_mapped(address, bytes) : task->map.set_behavior(address, bytes, behavior);
    if (status == KERN_SUCCESS && bytes > 0) {
        const auto range = *task->map.round_outward(address, bytes); // it is mapped, so it is in the window
        const auto pages = range.size / kMapPage;
        if (behavior == VM_BEHAVIOR_WILLNEED) {
            node.pager.fetch(*task->space, range.start, pages);
        } else if (behavior == VM_BEHAVIOR_DONTNEED) {
            node.pager.evict(*task->space, range.start, pages);
        } else {
            node.pager.advise(*task->space, range.start, pages, advice_of(behavior));
        }
    }
    done(status_reply(status));
}

void op_vm_region(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    const auto *entry = task == nullptr ? nullptr : task->map.region(request.args[0]);
    if (entry == nullptr) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_NO_SPACE));
        return;
    }
    RegionInfo info{};
    info.address = entry->start;
    info.bytes = entry->size;
    info.offset = entry->offset;
    info.protection = static_cast<std::uint32_t>(entry->protection);
    info.max_protection = static_cast<std::uint32_t>(entry->max_protection);
    info.inheritance = entry->inheritance;
    info.behavior = static_cast<std::uint32_t>(entry->behavior);
    info.wired = wired_whole(*task, *entry);
    auto reply = status_reply(KERN_SUCCESS);
    if (request.args[1] != 0) {
        reply.rights.push_back(right_of(entry->stretch, Right::Kind::object_name));
    }
    const auto answer = [reply, info, done = std::move(done)](bool shared) {
        auto told = info;
        told.shared = shared;
        const auto bytes = std::as_bytes(std::span(&told, 1));
        auto full = reply;
        full.blob.assign(bytes.begin(), bytes.end());
        done(full);
    };
    if (request.args[2] == 0 || mapped_here(node, entry->stretch, task)) {
        answer(request.args[2] != 0);
    } else {
        ask_home(node, entry->stretch, answer);
    }
}

void serve_stretch_shared(Node &node, const Request &request, Done done) {
    rpc::Reader reader(request.blob);
    const auto stretch = get_stretch(reader);
    const auto asker = request.caller.node;
    if (!reader.done() || node.rehoming.home_of(stretch.object) != node.self || !node.in_use(stretch)) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    auto others = node.objects.at(stretch.object).stretches.at(stretch.number).mappers;
    others.reset(asker);
    auto reply = status_reply(KERN_SUCCESS);
    reply.vals[0] = others.any() || (asker != node.self && mapped_here(node, stretch, nullptr)) ? 1 : 0;
    done(reply);
}

} // namespace norma::rt
