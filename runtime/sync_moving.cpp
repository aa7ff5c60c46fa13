// SPDX-License-Identifier: BSD-3-Clause
// Synchronisation objects that go to another node, since theirs leaves the job. They keep their ids. Who waits is told
// to begin again, and does so there.
#include "runtime/sync.hpp"

#include <algorithm>

namespace norma::rt {

namespace {

constexpr std::size_t kParkedBytes = 55;

void put_waiter(rpc::Writer &writer, const Waiter &waiter) {
    writer.put(waiter.node).put(waiter.task).put(waiter.thread).put(waiter.call);
}

Waiter get_waiter(rpc::Reader &reader) {
    Waiter waiter;
    waiter.node = reader.get<std::uint16_t>();
    waiter.task = reader.get<std::uint64_t>();
    waiter.thread = reader.get<std::uint64_t>();
    waiter.call = reader.get<std::uint64_t>();
    return waiter;
}

} // namespace

// Who is queued at a word but does not wait for it yet is told so when he does.
void SyncHome::withdraw_all(std::int32_t status, Outcomes &out) {
    std::vector<std::uint64_t> threads;
    for (const auto &[thread, parked] : parked_) {
        const bool at_word = objects_.contains(parked.object) && objects_.at(parked.object).kind == SyncKind::word;
        if (parked.stage == Stage::blocked || (at_word && parked.stage == Stage::enqueued)) {
            threads.push_back(thread);
        }
    }
    for (const auto thread : threads) {
        settle(thread, {status, false}, 0, out);
    }
    words_.clear();
    std::erase_if(objects_, [](const auto &object) { return object.second.kind == SyncKind::word; });
}

void SyncHome::write(rpc::Writer &writer) const {
    const auto objects = save();
    writer.put(last_turn_).put(static_cast<std::uint32_t>(objects.size()));
    for (const auto &object : objects) {
        put_sync(writer, object);
    }
    writer.put(static_cast<std::uint32_t>(parked_.size()));
    for (const auto &[thread, parked] : parked_) {
        put_waiter(writer, parked.waiter);
        writer.put(parked.object).put(std::uint8_t{parked.stage == Stage::settled}).put(parked.turn);
        writer.put(parked.result).put(parked.signal);
    }
}

bool SyncHome::read(rpc::Reader &reader) {
    last_turn_ = reader.get<std::uint64_t>();
    for (auto left = reader.get_count(kSyncBytes); left > 0 && reader.ok(); --left) {
        SavedSync object;
        if (!get_sync(reader, object) || restore(object) != KERN_SUCCESS) {
            return false;
        }
    }
    std::vector<Parked> all(reader.get_count(kParkedBytes));
    for (auto &parked : all) {
        parked.waiter = get_waiter(reader);
        parked.object = reader.get<SyncId>();
        parked.stage = reader.get<bool>() ? Stage::settled : Stage::enqueued;
        parked.turn = reader.get<std::uint64_t>();
        parked.result = reader.get<kern_return_t>();
        parked.signal = reader.get<std::uint64_t>();
    }
    std::ranges::sort(all, {}, &Parked::turn); // as they stood in the queues
    for (auto &parked : all) {
        auto *object = find(parked.object); // none: a word, or it has been destroyed, and he has yet to hear
        if ((object == nullptr && parked.stage != Stage::settled) || parked_.contains(parked.waiter.thread)) {
            return false;
        }
        if (parked.stage == Stage::enqueued) {
            parked.place = object->queue.insert(object->queue.end(), parked.waiter.thread);
        }
        if (object != nullptr) {
            ++object->parked;
        }
        parked_[parked.waiter.thread] = parked;
    }
    return reader.ok();
}

// Ids and threads are unique in the job. Later turns here are later than those there were.
void SyncHome::merge(SyncHome &&other) {
    objects_.merge(other.objects_);
    parked_.merge(other.parked_);
    last_turn_ = std::max(last_turn_, other.last_turn_);
}

} // namespace norma::rt
