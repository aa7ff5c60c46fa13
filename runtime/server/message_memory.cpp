// SPDX-License-Identifier: BSD-3-Clause
// Out-of-line memory of messages: copied out of the sender's map, held while nobody has it in his map, and put into the
// receiver's. Until then the sender pays for it, from then on the receiver.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace norma::rt {

namespace {

using Copies = MemoryLinks::Copies;
using Pieces = MemoryLinks::Pieces;

Task *running(Node &node, TaskId id) {
    return node.running({.kind = Right::Kind::task, .task = id, .thread = 0});
}

// ---- out of a map ----

std::int32_t send_status(std::int32_t status) {
    switch (status) {
    case KERN_SUCCESS:
        return MACH_MSG_SUCCESS;
    case KERN_RESOURCE_SHORTAGE:
    case KERN_OPERATION_TIMED_OUT:
        return MACH_SEND_NO_BUFFER;
    default:
        return MACH_SEND_INVALID_MEMORY;
    }
}

// What is behind each of the ranges, as many pieces as `counts` says; false: not all of it can be read.
bool find_pieces(const AddressMap &map, const MemoryLinks::Ranges &ranges, Pieces &pieces,
                 std::vector<std::size_t> &counts) {
    for (const auto &range : ranges) {
        Pieces found;
        if (range.bytes > 0 && map.pieces(range.address, range.bytes, VM_PROT_READ, found) != KERN_SUCCESS) {
            return false;
        }
        pieces.insert(pieces.end(), found.begin(), found.end());
        counts.push_back(found.size());
    }
    return true;
}

// Those of one range, at the addresses that pieces of a message have, and with the attributes of new memory.
Pieces laid_out(std::span<const MapEntry> copies) {
    Pieces pieces;
    std::uint64_t start = 0;
    for (const auto &copy : copies) {
        MapEntry piece;
        piece.start = start;
        piece.size = copy.size;
        piece.stretch = copy.stretch;
        piece.offset = copy.offset;
        pieces.push_back(piece);
        start += copy.size;
    }
    return pieces;
}

void copy_ranges(Node &node, TaskId id, const MemoryLinks::Ranges &ranges, const std::function<void(Copies)> &then) {
    const auto *task = running(node, id);
    Copies copies;
    Pieces pieces;
    std::vector<std::size_t> counts;
    if (task == nullptr || !find_pieces(task->map, ranges, pieces, counts)) {
        copies.status = MACH_SEND_INVALID_MEMORY;
        then(copies);
        return;
    }
    auto next = pieces.begin();
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const auto end = next + static_cast<std::ptrdiff_t>(counts[i]);
        if (ranges[i].deallocate) {
            copies.leaving.insert(copies.leaving.end(), next, end);
        }
        next = end;
    }
    if (pieces.empty()) {
        copies.pieces.resize(ranges.size());
        then(copies);
        return;
    }
    for (const auto &shared : node.stretches_of(pieces)) {
        node.use(shared.stretch);
    }
    node.copy_pieces(std::move(pieces), task->ledgers,
                     [copies = std::move(copies), counts, then](std::int32_t status, const Pieces &made) {
                         auto result = copies;
                         result.status = send_status(status);
                         std::span<const MapEntry> rest(made);
                         for (std::size_t i = 0; status == KERN_SUCCESS && i < counts.size(); ++i) {
                             result.pieces.push_back(laid_out(rest.first(counts[i])));
                             rest = rest.subspan(counts[i]);
                         }
                         then(std::move(result));
                     });
}

// Only what is still there: another thread may have put something else in its place.
void remove_pieces(Node &node, TaskId id, const Pieces &leaving, const std::function<void()> &then) {
    auto *task = running(node, id);
    Pieces removed;
    for (const auto &piece : leaving) {
        for (const auto &part : task == nullptr ? Pieces() : task->map.parts_of(piece)) {
            task->map.remove(part.start, part.size, removed);
        }
    }
    if (removed.empty()) {
        then();
        return;
    }
    node.unmap_pieces(*task, std::move(removed), then);
}

// ---- into a map ----

void charge_at_homes(Node &node, const LedgerMarks &payers, std::span<const SharedStretch> all,
                     const std::function<void(std::int32_t status)> &then) {
    std::map<dsm::NodeId, std::vector<Stretch>> homes;
    for (const auto &shared : all) {
        homes[node.rehoming.home_of(shared.stretch.object)].push_back(shared.stretch);
    }
    struct Progress {
        std::size_t open;
        std::int32_t status = KERN_SUCCESS;
    };
    const auto progress = std::make_shared<Progress>(Progress{.open = homes.size() + 1});
    const auto answered = [progress, then](const Reply &reply) {
        progress->status = reply.status != KERN_SUCCESS ? reply.status : progress->status;
        if (--progress->open == 0) {
            then(progress->status);
        }
    };
    for (const auto &[home, stretches] : homes) {
        rpc::Writer writer;
        put_stretches(writer, stretches);
        put_marks(writer, payers);
        Request request;
        request.op = Op::stretch_pay;
        request.blob = writer.bytes();
        node.router.call(home, std::move(request), answered);
    }
    answered(status_reply(KERN_SUCCESS));
}

// Has the homes of the memory charge it to `payers`. If one cannot, some of it may be charged already; it is to be let
// go of then.
void charge(Node &node, const Ledgers &payers, std::span<const MapEntry> pieces,
            const std::function<void(std::int32_t status)> &then) {
    std::vector<dsm::ObjectId> objects;
    const auto shared = node.stretches_of(pieces);
    for (const auto &one : shared) {
        objects.push_back(one.stretch.object);
    }
    node.rehoming.with_homes(std::move(objects), [&node, marks = marks_of(payers), shared, then] {
        charge_at_homes(node, marks, shared, then);
    });
}

struct Giving {
    std::vector<CarriedMemory> memory;
    Pieces pieces; // of all of it
    std::vector<std::uint64_t> addresses;
    std::function<void(std::vector<std::uint64_t>)> then;
    std::size_t open = 1; // one more, until all has been begun

    void one() {
        if (--open == 0) {
            then(addresses);
        }
    }
};

// The map gets uses of its own: two ranges of a message may be of one stretch.
void map_each(Node &node, TaskId id, const std::shared_ptr<Giving> &giving) {
    for (std::size_t i = 0; i < giving->memory.size(); ++i) {
        const auto &memory = giving->memory[i];
        if (memory.pieces.empty()) {
            continue;
        }
        for (const auto &shared : node.stretches_of(memory.pieces)) {
            node.use(shared.stretch);
        }
        ++giving->open;
        node.map_pieces(id, Place{}, memory.pieces, [giving, i](const Reply &reply) {
            giving->addresses[i] = reply.status == KERN_SUCCESS ? reply.vals[0] + giving->memory[i].within : 0;
            giving->one();
        });
    }
    node.release_all(giving->pieces);
    giving->one();
}

void give_memory(Node &node, TaskId id, const std::vector<CarriedMemory> &memory,
                 std::function<void(std::vector<std::uint64_t>)> then) {
    const auto giving = std::make_shared<Giving>();
    giving->memory = memory;
    giving->addresses.resize(memory.size());
    giving->then = std::move(then);
    for (const auto &one : memory) {
        giving->pieces.insert(giving->pieces.end(), one.pieces.begin(), one.pieces.end());
    }
    const auto *task = running(node, id);
    if (task == nullptr) {
        node.release_all(giving->pieces);
        giving->one();
        return;
    }
    charge(node, task->ledgers, giving->pieces, [&node, id, giving](std::int32_t status) {
        if (status == KERN_SUCCESS) {
            map_each(node, id, giving);
        } else {
            node.release_all(giving->pieces);
            giving->one();
        }
    });
}

} // namespace

MemoryLinks Node::memory_links() {
    return {.copy = [this](TaskId task, const MemoryLinks::Ranges &ranges,
                           const std::function<void(Copies)> &then) { copy_ranges(*this, task, ranges, then); },
            .remove = [this](TaskId task, const Pieces &leaving,
                             const std::function<void()> &then) { remove_pieces(*this, task, leaving, then); },
            .hold =
                [this](const Pieces &pieces, const std::function<void(bool)> &then) {
                    const bool homes = std::ranges::all_of(
                        pieces, [this](const MapEntry &piece) { return piece.stretch.object.home < count; });
                    if (!homes) { // in a message of a node that does as it likes
                        then(false);
                        return;
                    }
                    hold_all(pieces, [then](std::int32_t status) { then(status == KERN_SUCCESS); });
                },
            .release = [this](const Pieces &pieces) { release_all(pieces); },
            .give =
                [this](TaskId task, const std::vector<CarriedMemory> &memory,
                       std::function<void(std::vector<std::uint64_t>)> then) {
                    give_memory(*this, task, memory, std::move(then));
                }};
}

// Memory of this node that the node that asks holds for one of its tasks.
void serve_stretch_pay(Node &node, const Request &request, Done done) {
    rpc::Reader reader(request.blob);
    const auto wanted = get_stretches(reader);
    LedgerMarks marks;
    const auto asker = request.caller.node;
    const bool sound =
        get_marks(reader, marks) && reader.done() &&
        std::ranges::all_of(wanted, [&node, asker](const Stretch &stretch) {
            return node.rehoming.home_of(stretch.object) == node.self && node.in_use(stretch) &&
                   (asker == node.self || node.objects.at(stretch.object).stretches.at(stretch.number).mappers[asker]);
        });
    Ledgers payers;
    if (!sound || !node.ledgers.draw(marks, payers)) {
        done(status_reply(sound ? KERN_RESOURCE_SHORTAGE : KERN_INVALID_VALUE));
        return;
    }
    const auto payers_of = [&node](const Stretch &stretch) -> Ledgers & {
        return node.objects.at(stretch.object).stretches.at(stretch.number).payers;
    };
    std::set<Stretch> others; // that somebody else has paid for
    std::uint64_t bytes = 0;
    for (const auto &stretch : wanted) {
        if (payers_of(stretch)[kPaged] != payers[kPaged] && others.insert(stretch).second) {
            bytes += node.pager.pages(stretch.object) * kMapPage;
        }
    }
    if (!payers[kPaged]->has_room(bytes)) {
        done(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    for (const auto &stretch : others) {
        const auto size = node.pager.pages(stretch.object) * kMapPage;
        payers_of(stretch)[kPaged]->release(size);
        payers[kPaged]->charge(size);
        payers_of(stretch) = payers;
    }
    done(status_reply(KERN_SUCCESS));
}

} // namespace norma::rt
