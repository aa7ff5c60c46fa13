// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/heap/part.hpp"

#include <algorithm>
#include <cassert>

#include "runtime/heap/inbox.hpp"
#include "runtime/heap/slot.hpp"

namespace norma::rt::heap {
namespace {

constexpr std::size_t kMostSlots = 1024;
constexpr std::size_t kFewestSlots = 4;
constexpr std::size_t kSlotsShare = 8; // of a part's bytes, at most, unless there would be too few

std::size_t pages(std::size_t bytes) {
    return (bytes + kPage - 1) / kPage * kPage;
}

} // namespace

Geometry::Geometry(const Layout &where) : layout(where) {
    units = static_cast<std::uint32_t>(where.part_bytes / kUnit);
    slot_bytes = Slot::kOwnBytes + where.parts * sizeof(Outgoing);
    slots =
        static_cast<std::uint32_t>(std::clamp(where.part_bytes / kSlotsShare / slot_bytes, kFewestSlots, kMostSlots));
    const std::size_t bitmap = (units + 63) / 64 * sizeof(Word);
    partial_bytes = bitmap;
    std::size_t at = kPage; // the first page has what belongs nowhere else
    const auto place = [&at](std::size_t bytes) {
        const std::size_t here = at;
        at += pages(bytes);
        return here;
    };
    used_at = place(bitmap);
    descriptors_at = place(units * sizeof(Word));
    partial_at = place(kClasses * partial_bytes);
    blocks_at = place(units * (kUnit / kGrain / 8));
    owners_at = place(slots * sizeof(Word));
    slots_at = place(slots * slot_bytes);
    inboxes_at = place(where.parts * sizeof(Inbox));
    first = static_cast<std::uint32_t>((at + kUnit - 1) / kUnit);
}

bool Geometry::possible(const Layout &where) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(where.base) % kUnit == 0 && where.part_bytes % kUnit == 0;
    if (where.base == nullptr || where.parts == 0 || where.part_bytes == 0 || !aligned ||
        where.part_bytes / kUnit > UINT32_MAX / 2) {
        return false;
    }
    const Geometry geometry(where);
    return geometry.first < geometry.units;
}

Inbox &Part::inbox(std::uint32_t from) const {
    return reinterpret_cast<Inbox *>(base_ + geometry_->inboxes_at)[from];
}

} // namespace norma::rt::heap
