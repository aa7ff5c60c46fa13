// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/following.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"
#include "runtime/server/node.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <optional>

namespace norma::rt {

namespace {

constexpr std::size_t kMostBatches = 128; // of one answer
constexpr std::size_t kBatchBytes = 17;

Request ask_for(const Stretch &stretch, dsm::PageIndex first, std::uint64_t pages, bool in_use_too) {
    rpc::Writer writer;
    put_stretch(writer, stretch);
    Request request;
    request.op = Op::pages_held;
    request.args = {first, pages, in_use_too ? 1U : 0U};
    request.blob = writer.bytes();
    return request;
}

std::vector<std::byte> encode(std::span<const dsm::Batch> batches) {
    rpc::Writer writer;
    writer.put(static_cast<std::uint32_t>(batches.size()));
    for (const auto &batch : batches) {
        writer.put(batch.base).put(batch.mask).put(std::uint8_t{batch.write});
    }
    return writer.bytes();
}

// No value: it is not about pages of [first, end).
std::optional<dsm::Held> held_in(const Reply &reply, dsm::PageIndex first, dsm::PageIndex end) {
    rpc::Reader reader(reply.blob);
    dsm::Held held{.batches = {}, .next = reply.vals[0]};
    held.batches.resize(reader.get_count(kBatchBytes));
    for (auto &batch : held.batches) {
        batch.base = reader.get<dsm::PageIndex>();
        batch.mask = reader.get<std::uint64_t>();
        batch.write = reader.get<bool>();
        const auto room = batch.base >= first && batch.base < end ? end - batch.base : 0;
        if (room == 0 || (room < dsm::kBatch && batch.mask >> room != 0)) {
            return std::nullopt;
        }
    }
    return reader.done() && held.next > first && held.next <= end ? std::optional(std::move(held)) : std::nullopt;
}

} // namespace

void Following::add_pieces(Trail &trail, const Stretch &stretch, const dsm::NodeSet &from) const {
    const auto pages = node_.pager.pages(stretch.object), first = stretch.number * pages;
    for (dsm::NodeId node = 0; node < node_.count; ++node) {
        if (node != node_.self && from[node]) {
            trail.pieces.push_back({.from = node, .stretch = stretch, .next = first, .end = first + pages, .bytes = 0});
        }
    }
}

// At first all are asked how much there is; most have nothing.
void Following::begin(Task &task) {
    auto &trail = trails_[task.id];
    trail.copied = std::move(task.copied);
    for (const auto &[stretch, pages] : node_.stretches_of(task.map.entries())) {
        add_pieces(trail, stretch, task.been);
    }
    begin_weighing(task.id);
}

void Following::fetch(const Stretch &stretch, dsm::NodeId from, bool home,
                      std::function<void(std::int32_t status)> done) {
    const auto errand = next_errand_++;
    auto &trail = trails_[errand];
    add_pieces(trail, stretch, dsm::NodeSet().set(from));
    trail.home = home ? std::optional(stretch.object) : std::nullopt;
    trail.done = [done = std::move(done)](const Trail &over) { done(over.status); };
    begin_weighing(errand);
}

void Following::copy(TaskId task, const std::vector<Stretch> &stretches, const dsm::NodeSet &from,
                     std::function<void(std::uint64_t pages)> done) {
    const auto errand = next_errand_++;
    auto &trail = trails_[errand];
    for (const auto &stretch : stretches) {
        add_pieces(trail, stretch, from);
    }
    trail.copies_for = task;
    trail.done = [done = std::move(done)](const Trail &over) { done(over.pages); };
    begin_weighing(errand);
}

void Following::begin_weighing(TaskId task) {
    auto &trail = trails_.at(task);
    const auto pieces = trail.unweighed = trail.pieces.size();
    for (std::size_t place = 0; place < pieces; ++place) {
        weigh(task, place); // the last may end the trail
    }
    go_on(task);
}

void Following::weigh(TaskId task, std::size_t place) {
    const auto piece = trails_.at(task).pieces[place];
    auto request = ask_for(piece.stretch, piece.next, 0, trails_.at(task).copies_for.has_value());
    node_.router.call(piece.from, std::move(request), [this, task, place](const Reply &reply) {
        const auto found = trails_.find(task);
        if (found == trails_.end()) {
            return; // it has ended, or moved on
        }
        auto &trail = found->second;
        trail.pieces[place].bytes = reply.status == KERN_SUCCESS ? reply.vals[1] : 0;
        if (--trail.unweighed == 0) {
            std::erase_if(trail.pieces, [](const Piece &weighed) { return weighed.bytes == 0; });
            go_on(task);
        }
    });
}

void Following::go_on(TaskId task) {
    const auto found = trails_.find(task);
    if (found == trails_.end() || found->second.unweighed > 0) {
        return;
    }
    auto &copied = found->second.copied;
    auto &pieces = found->second.pieces;
    while (!copied.empty()) {
        auto [stretch, batches] = std::move(copied.front());
        copied.pop_front();
        if (node_.in_use(stretch)) {
            node_.pager.bring(stretch.object, std::move(batches), [this, task] { go_on(task); });
            return;
        }
    }
    while (!pieces.empty() && (pieces.front().next == pieces.front().end || !node_.in_use(pieces.front().stretch))) {
        pieces.pop_front();
    }
    if (pieces.empty()) {
        ask_for_homes(task);
        return;
    }
    const auto &piece = pieces.front();
    auto request = ask_for(piece.stretch, piece.next, piece.end - piece.next, found->second.copies_for.has_value());
    node_.router.call(piece.from, std::move(request), [this, task](const Reply &reply) { heard(task, reply); });
}

void Following::heard(TaskId task, const Reply &reply) {
    const auto found = trails_.find(task);
    if (found == trails_.end()) {
        return;
    }
    auto &pieces = found->second.pieces;
    auto &piece = pieces.front();
    auto held = reply.status == KERN_SUCCESS ? held_in(reply, piece.next, piece.end) : std::nullopt;
    if (!held) { // that node is of no use
        std::erase_if(pieces, [from = piece.from](const Piece &other) { return other.from == from; });
        go_on(task);
        return;
    }
    piece.bytes = reply.vals[1];
    piece.next = held->next;
    if (!node_.in_use(piece.stretch)) {
        go_on(task);
        return;
    }
    if (found->second.copies_for) {
        note_copies(found->second, piece.stretch, held->batches);
    }
    node_.pager.bring(piece.stretch.object, std::move(held->batches), [this, task] { go_on(task); });
}

// What is being written over there will be written here when the task has come.
void Following::note_copies(Trail &trail, const Stretch &stretch, std::vector<dsm::Batch> &batches) {
    CopiedPages written{.stretch = stretch, .batches = {}};
    for (auto &batch : batches) {
        if (batch.write) {
            written.batches.push_back(batch);
        }
        batch.write = false;
        trail.pages += static_cast<unsigned>(std::popcount(node_.pager.missing(stretch.object, batch)));
    }
    const auto task = node_.tasks.find(*trail.copies_for);
    if (task != node_.tasks.end() && !written.batches.empty()) {
        task->second->copied.push_back(std::move(written));
    }
}

// The pages are here, so it is little that moves with a home.
void Following::ask_for_homes(TaskId task) {
    auto &trail = trails_.at(task);
    if (trail.homes > 0) {
        return;
    }
    if (trail.asked_for_homes) {
        finish(task);
        return;
    }
    trail.asked_for_homes = true;
    trail.homes = 1; // one more, until all have been asked for
    const auto settled = [this, task](std::int32_t status) {
        const auto found = trails_.find(task);
        if (found == trails_.end()) {
            return;
        }
        found->second.status = status != KERN_SUCCESS ? status : found->second.status;
        if (--found->second.homes == 0) {
            go_on(task);
        }
    };
    for (const auto &id : homes_wanted(task)) {
        ++trails_.at(task).homes;
        node_.rehoming.fetch(id, settled);
    }
    settled(KERN_SUCCESS);
}

std::vector<dsm::ObjectId> Following::homes_wanted(TaskId task) const {
    std::vector<dsm::ObjectId> wanted;
    const auto &trail = trails_.at(task);
    if (trail.home && node_.rehoming.home_of(*trail.home) != node_.self) {
        wanted.push_back(*trail.home);
    }
    if (const auto runs = node_.tasks.find(task); runs != node_.tasks.end()) {
        for (const auto &[stretch, pages] : node_.stretches_of(runs->second->map.entries())) {
            const auto home = node_.rehoming.home_of(stretch.object);
            if (stretch.number == 0 && home != node_.self && runs->second->been[home]) {
                wanted.push_back(stretch.object);
            }
        }
    }
    return wanted;
}

void Following::finish(TaskId task) {
    const auto trail = std::move(trails_.extract(task).mapped());
    if (trail.done) {
        trail.done(trail);
    }
}

std::uint64_t Following::bytes(TaskId task) const {
    const auto found = trails_.find(task);
    if (found == trails_.end()) {
        return 0;
    }
    const auto &pieces = found->second.pieces;
    const auto known = std::accumulate(pieces.begin(), pieces.end(), std::uint64_t{0},
                                       [](std::uint64_t sum, const Piece &piece) { return sum + piece.bytes; });
    return std::max(known, std::uint64_t{kMapPage}); // 0 would say that it is over
}

void Following::serve(const Request &request, const Done &done) const {
    rpc::Reader reader(request.blob);
    const auto stretch = get_stretch(reader);
    const auto [first, pages] = std::pair(request.args[0], request.args[1]);
    if (!reader.done() || first >= dsm::kEndOfPages || pages > dsm::kEndOfPages - first) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    dsm::Held held{.batches = {}, .next = first + pages};
    Reply reply;
    const bool in_use_too = request.args[2] != 0;
    if (node_.pager.knows(stretch.object) && (in_use_too || !used_here(stretch))) {
        const auto size = node_.pager.pages(stretch.object);
        if (first / size != stretch.number || pages > size - first % size) {
            done(status_reply(KERN_INVALID_VALUE));
            return;
        }
        reply.vals[1] = node_.pager.resident(stretch.object);
        held = node_.pager.held(stretch.object, first, pages, kMostBatches);
    }
    reply.vals[0] = held.next;
    reply.blob = encode(held.batches);
    done(reply);
}

// By tasks, or for the moment by an operation. That an object has a name does not count, nor that a process has yet to
// be ended whose threads go on elsewhere.
bool Following::used_here(const Stretch &stretch) const {
    const auto object = node_.objects.find(stretch.object);
    if (object == node_.objects.end()) {
        return false;
    }
    const auto use = object->second.stretches.find(stretch.number);
    const unsigned name = object->second.named && stretch.number == 0 ? 1 : 0;
    return use != object->second.stretches.end() && use->second.users > name + left_behind(stretch);
}

unsigned Following::left_behind(const Stretch &stretch) const {
    return static_cast<unsigned>(std::ranges::count_if(node_.tasks, [&stretch](const auto &task) {
        const auto &entries = task.second->map.entries();
        return task.second->threads_moved && std::ranges::find(entries, stretch, &MapEntry::stretch) != entries.end();
    }));
}

} // namespace norma::rt
