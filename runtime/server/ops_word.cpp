// SPDX-License-Identifier: BSD-3-Clause
// Words of coherent memory that threads wait for. The caller's node knows which word an address means, the home of the
// word's memory knows who waits there; and what has become of the pages from there on.
#include "runtime/server/ops.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <optional>

namespace norma::rt {

namespace {

constexpr std::uint64_t kWordBytes = 4;

std::optional<SyncWord> word_of(const Node &node, const Request &request) {
    rpc::Reader reader(request.blob);
    SyncWord word;
    word.stretch = get_stretch(reader);
    word.offset = reader.get<std::uint64_t>();
    const bool valid =
        reader.done() && node.rehoming.home_of(word.stretch.object) == node.self && word.offset % kWordBytes == 0;
    return valid ? std::optional(word) : std::nullopt;
}

} // namespace

WordHomeFound find_word(const Task &task, Request &request) {
    const auto address = request.args[0];
    if (address % kWordBytes != 0) {
        return {KERN_INVALID_ARGUMENT, {}};
    }
    const auto *entry = task.map.lookup(address);
    if (entry == nullptr) {
        return {KERN_INVALID_ADDRESS, {}};
    }
    if ((entry->protection & VM_PROT_READ) == 0 && request.op != Op::pages_lost) { // which reads none
        return {KERN_PROTECTION_FAILURE, {}};
    }
    rpc::Writer writer;
    put_stretch(writer, entry->stretch);
    writer.put(entry->offset_of(address));
    request.blob = writer.bytes();
    return {KERN_SUCCESS, entry->stretch.object};
}

void serve_word_queue(Node &node, const Request &request, Done done) {
    const auto word = word_of(node, request);
    word ? node.sync.queue_at(*word, request, done) : done(status_reply(KERN_INVALID_ARGUMENT));
}

void serve_word_wake(Node &node, const Request &request, Done done) {
    const auto word = word_of(node, request);
    word ? node.sync.wake(*word, request, done) : done(status_reply(KERN_INVALID_ARGUMENT));
}

void serve_pages_lost(Node &node, const Request &request, Done done) {
    const auto word = word_of(node, request);
    if (!word || !node.in_use(word->stretch)) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto &[stretch, offset] = *word;
    const auto pages = node.pager.pages(stretch.object);
    const auto first = std::min(offset / kMapPage, pages);
    const auto asked = std::min<std::uint64_t>(64, pages - first);
    auto reply = status_reply(KERN_SUCCESS);
    const bool can_tell = node.router.nodes_down() >= request.args[1]; // has heard of what the asker has heard of
    reply.vals[0] =
        can_tell ? node.pager.lost(stretch.object, stretch.number * pages + first, asked) : ~std::uint64_t{0};
    done(std::move(reply));
}

} // namespace norma::rt
