// SPDX-License-Identifier: BSD-3-Clause
// Synchronisation objects on their way to another job, by a checkpoint, or to another node, when theirs leaves.
#include "runtime/sync.hpp"

#include <algorithm>

namespace norma::rt {

void put_sync(rpc::Writer &writer, const SavedSync &object) {
    writer.put(object.id).put(object.kind).put(object.value).put(std::uint8_t{object.tainted});
    writer.put(std::uint8_t{object.holder.has_value()});
    if (object.holder) {
        writer.put(object.holder->node).put(object.holder->task).put(object.holder->thread);
    }
    writer.put(static_cast<std::uint32_t>(object.users.size()));
    for (const auto &[task, node] : object.users) {
        writer.put(task).put(node);
    }
}

bool get_sync(rpc::Reader &reader, SavedSync &object) {
    constexpr std::size_t kUserBytes = 10;
    object.id = reader.get<SyncId>();
    object.kind = reader.get<SyncKind>();
    object.value = reader.get<std::uint32_t>();
    object.tainted = reader.get<bool>();
    if (reader.get<bool>()) {
        auto &holder = object.holder.emplace();
        holder.node = reader.get<std::uint16_t>();
        holder.task = reader.get<std::uint64_t>();
        holder.thread = reader.get<std::uint64_t>();
    }
    const auto users = reader.get_count(kUserBytes);
    for (std::uint32_t i = 0; i < users; ++i) {
        const auto task = reader.get<std::uint64_t>();
        object.users[task] = reader.get<std::uint16_t>();
    }
    return object.users.size() == users;
}

std::vector<SavedSync> SyncHome::save() const {
    std::vector<SavedSync> saved;
    for (const auto &[id, object] : objects_) {
        saved.push_back({.id = id,
                         .kind = object.kind,
                         .value = object.value,
                         .tainted = object.tainted,
                         .holder = object.holder,
                         .users = object.users});
    }
    return saved;
}

kern_return_t SyncHome::restore(const SavedSync &saved) {
    const auto serial = split_sync_id(saved.id).serial;
    const bool barrier = saved.kind == SyncKind::barrier, mutex = saved.kind == SyncKind::mutex;
    const bool known = saved.kind >= SyncKind::barrier && saved.kind <= SyncKind::semaphore;
    if (!known || serial == 0 || objects_.contains(saved.id) || (barrier && saved.value == 0) ||
        (!barrier && !saved.users.empty()) || (!mutex && saved.holder) || (saved.holder && saved.holder->thread == 0)) {
        return KERN_INVALID_ARGUMENT;
    }
    if (objects_.size() >= limits_.objects || serial > limits_.serials) {
        return KERN_RESOURCE_SHORTAGE;
    }
    last_serial_ = std::max(last_serial_, serial);
    Object &object = objects_[saved.id];
    object.kind = saved.kind;
    object.value = saved.value;
    object.tainted = saved.tainted;
    object.holder = saved.holder;
    object.users = saved.users;
    return KERN_SUCCESS;
}

} // namespace norma::rt
