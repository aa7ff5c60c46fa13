// SPDX-License-Identifier: BSD-3-Clause
// Waiting at words of coherent memory: conditions that exist while a thread is queued there, under ids that are used
// again, since programs may wait at as many words, and as often, as they like.
#include "runtime/sync.hpp"

namespace norma::rt {

kern_return_t SyncHome::queue_at(const SyncWord &word, const Waiter &who, SyncId &id) {
    if (parked_.contains(who.thread)) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto known = words_.find(word);
    SyncId queue = known == words_.end() ? 0 : known->second;
    if (queue == 0 && !spare_ids_.empty()) {
        queue = spare_ids_.back();
        spare_ids_.pop_back();
    } else if (queue == 0 && (queue = new_id()) == 0) {
        return KERN_RESOURCE_SHORTAGE;
    }
    Object &object = objects_[queue];
    if (known == words_.end()) {
        object.kind = SyncKind::word;
        object.word = word;
        words_.emplace(word, queue);
    }
    park(object, queue, who, Stage::enqueued);
    id = queue;
    return KERN_SUCCESS;
}

std::uint32_t SyncHome::wake(const SyncWord &word, std::uint32_t most, Outcomes &out) {
    std::uint32_t woken = 0;
    // The last one may take the word along, so it is looked for each time.
    for (; woken < most; ++woken) {
        const auto known = words_.find(word);
        if (known == words_.end() || find(known->second)->queue.empty()) {
            break;
        }
        settle(find(known->second)->queue.front(), {KERN_SUCCESS, false}, last_turn_, out);
    }
    return woken;
}

// An id is free for another word when no thread's record names it any more: nobody can mean the old one by it.
void SyncHome::let_go(SyncId id) {
    Object *object = find(id);
    if (object == nullptr || --object->parked > 0 || object->kind != SyncKind::word) {
        return;
    }
    words_.erase(object->word);
    objects_.erase(id);
    spare_ids_.push_back(id);
}

bool SyncHome::waits_in(const dsm::ObjectId &object) const {
    const auto first = words_.lower_bound({.stretch = {.object = object, .number = 0}, .offset = 0});
    return first != words_.end() && first->first.stretch.object == object;
}

} // namespace norma::rt
