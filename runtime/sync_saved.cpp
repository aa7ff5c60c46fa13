// SPDX-License-Identifier: BSD-3-Clause
// Synchronisation objects of a checkpoint.
#include "runtime/sync.hpp"

#include <algorithm>
#include <cassert>

namespace norma::rt {

std::vector<SavedSync> SyncHome::save() const {
    assert(parked_.empty());
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
