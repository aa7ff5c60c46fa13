// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/address_map.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <limits>

namespace norma::rt {

namespace {

bool valid_protection(vm_prot_t protection) {
    return (protection & ~VM_PROT_ALL) == 0;
}

bool exceeds(vm_prot_t protection, vm_prot_t maximum) {
    return (protection & ~maximum) != 0;
}

bool valid_inheritance(vm_inherit_t inheritance) {
    return inheritance <= VM_INHERIT_NONE;
}

bool valid_behavior(vm_behavior_t behavior) {
    return behavior >= VM_BEHAVIOR_DEFAULT && behavior <= VM_BEHAVIOR_RSEQNTL;
}

bool valid_attributes(const MapEntry &entry) {
    return valid_protection(entry.protection) && valid_protection(entry.max_protection) &&
           valid_inheritance(entry.inheritance) && valid_behavior(entry.behavior);
}

bool valid_geometry(const MapEntry &entry) {
    return page_aligned(entry.start) && page_aligned(entry.size) && page_aligned(entry.offset) &&
           entry.size <= std::numeric_limits<std::uint64_t>::max() - entry.offset;
}

bool continues(const MapEntry &left, const MapEntry &right) {
    return left.end() == right.start && left.stretch == right.stretch && left.offset + left.size == right.offset &&
           left.protection == right.protection && left.max_protection == right.max_protection &&
           left.inheritance == right.inheritance && left.behavior == right.behavior;
}

MapEntry cut(const MapEntry &entry, Range range) {
    MapEntry piece = entry;
    piece.start = std::max(entry.start, range.start);
    piece.size = std::min(entry.end(), range.end()) - piece.start;
    piece.offset = entry.offset_of(piece.start);
    return piece;
}

// The first address from `address` on, a multiple of the page size, that has none of the bits of `mask`.
std::optional<std::uint64_t> without_bits(std::uint64_t address, std::uint64_t mask) {
    while ((address & (mask | (kMapPage - 1))) != 0) {
        // The highest bit that is wrong goes when what is above it is counted up; all below it become 0.
        const auto wrong = std::bit_width(address & (mask | (kMapPage - 1))) - 1;
        if (wrong == 63 || (address >> (wrong + 1)) + 1 > std::numeric_limits<std::uint64_t>::max() >> (wrong + 1)) {
            return std::nullopt;
        }
        address = ((address >> (wrong + 1)) + 1) << (wrong + 1);
    }
    return address;
}

} // namespace

// ---- SliceAllocator ----

SliceAllocator::SliceAllocator(Range slice) : slice_(slice), free_bytes_(slice.size) {
    assert(page_aligned(slice.start) && page_aligned(slice.size));
    if (slice.size > 0) {
        gaps_.emplace(slice.start, slice.end());
    }
}

std::optional<std::uint64_t> SliceAllocator::allocate(std::uint64_t size, std::uint64_t mask) {
    assert(size > 0 && page_aligned(size));
    for (const auto &[begin, end] : gaps_) {
        const auto start = without_bits(begin, mask);
        if (start && *start < end && end - *start >= size) {
            reserve({*start, size});
            return start;
        }
    }
    return std::nullopt;
}

void SliceAllocator::reserve(Range wanted) {
    const Range range = clip(wanted);
    if (range.size == 0) {
        return;
    }
    auto gap = gaps_.upper_bound(range.start);
    if (gap != gaps_.begin()) {
        --gap;
    }
    while (gap != gaps_.end() && gap->first < range.end()) {
        const auto [start, end] = *gap;
        if (end <= range.start) {
            ++gap;
            continue;
        }
        gap = gaps_.erase(gap);
        free_bytes_ -= std::min(end, range.end()) - std::max(start, range.start);
        if (start < range.start) {
            gaps_.emplace(start, range.start);
        }
        if (end > range.end()) {
            gaps_.emplace(range.end(), end);
        }
    }
}

void SliceAllocator::release(Range returned) {
    const Range range = clip(returned);
    if (range.size == 0) {
        return;
    }
    std::uint64_t start = range.start;
    std::uint64_t end = range.end();
    auto gap = gaps_.upper_bound(start);
    if (gap != gaps_.begin() && std::prev(gap)->second >= start) {
        --gap;
    }
    while (gap != gaps_.end() && gap->first <= end) {
        start = std::min(start, gap->first);
        end = std::max(end, gap->second);
        free_bytes_ -= gap->second - gap->first;
        gap = gaps_.erase(gap);
    }
    gaps_.emplace(start, end);
    free_bytes_ += end - start;
}

Range SliceAllocator::clip(Range range) const {
    assert(page_aligned(range.start) && page_aligned(range.size) && range.start <= range.end());
    const std::uint64_t start = std::max(range.start, slice_.start);
    const std::uint64_t end = std::min(range.end(), slice_.end());
    return start < end ? Range{start, end - start} : Range{};
}

// ---- AddressMap ----

AddressMap::AddressMap(Window window, Range data) : window_(window.range()), data_(data) {
    assert(window.valid() && page_aligned(data.start) && page_aligned(data.size));
}

bool AddressMap::possible(std::uint64_t address, std::uint64_t size) const {
    return window_.contains(address, size) || (data_.size != 0 && data_.contains(address, size));
}

kern_return_t AddressMap::insert(const MapEntry &entry) {
    if (entry.size == 0) {
        return KERN_SUCCESS;
    }
    if (!valid_geometry(entry) || !valid_attributes(entry)) {
        return KERN_INVALID_ARGUMENT;
    }
    if (exceeds(entry.protection, entry.max_protection)) {
        return KERN_PROTECTION_FAILURE;
    }
    if (!possible(entry.start, entry.size)) {
        return KERN_INVALID_ADDRESS;
    }
    const auto next = first_ending_after(entry.start);
    if (next != entries_.end() && next->start < entry.end()) {
        return KERN_NO_SPACE;
    }
    entries_.insert(next, entry);
    merge_around({entry.start, entry.size});
    return KERN_SUCCESS;
}

kern_return_t AddressMap::remove(std::uint64_t address, std::uint64_t size, std::vector<MapEntry> &removed) {
    if (size == 0) {
        return KERN_SUCCESS;
    }
    const auto range = round_outward(address, size);
    if (!range) {
        return KERN_INVALID_ADDRESS;
    }
    split_at(range->start);
    split_at(range->end());
    const auto first = first_ending_after(range->start);
    const auto last = first_ending_after(range->end());
    removed.insert(removed.end(), first, last);
    entries_.erase(first, last);
    return KERN_SUCCESS;
}

kern_return_t AddressMap::protect(std::uint64_t address, std::uint64_t size, bool set_maximum, vm_prot_t protection,
                                  std::vector<ProtectionChange> &changed) {
    if (!valid_protection(protection)) {
        return KERN_INVALID_ARGUMENT;
    }
    if (size == 0) {
        return KERN_SUCCESS;
    }
    const auto range = round_outward(address, size);
    if (!range || !covered(*range)) {
        return KERN_INVALID_ADDRESS;
    }
    const auto touched = [&] { return first_ending_after(range->start); };
    for (auto entry = touched(); entry != entries_.end() && entry->start < range->end(); ++entry) {
        if (exceeds(protection, entry->max_protection)) {
            return KERN_PROTECTION_FAILURE;
        }
    }
    split_at(range->start);
    split_at(range->end());
    for (auto entry = touched(); entry != entries_.end() && entry->start < range->end(); ++entry) {
        const vm_prot_t before = entry->protection;
        if (set_maximum) {
            entry->max_protection = protection;
        }
        entry->protection = set_maximum ? before & protection : protection;
        if (entry->protection != before) {
            changed.push_back({*entry, before});
        }
    }
    merge_around(*range);
    return KERN_SUCCESS;
}

kern_return_t AddressMap::inherit(std::uint64_t address, std::uint64_t size, vm_inherit_t inheritance) {
    if (!valid_inheritance(inheritance)) {
        return KERN_INVALID_ARGUMENT;
    }
    return change(address, size, [inheritance](MapEntry &entry) { entry.inheritance = inheritance; });
}

kern_return_t AddressMap::set_behavior(std::uint64_t address, std::uint64_t size, vm_behavior_t behavior) {
    if (!valid_behavior(behavior)) {
        return KERN_INVALID_ARGUMENT;
    }
    return change(address, size, [behavior](MapEntry &entry) { entry.behavior = behavior; });
}

kern_return_t AddressMap::check_mapped(std::uint64_t address, std::uint64_t size) const {
    const auto range = round_outward(address, size);
    return size == 0 || (range && covered(*range)) ? KERN_SUCCESS : KERN_INVALID_ADDRESS;
}

std::vector<MapEntry> AddressMap::parts_of(const MapEntry &entry) const {
    std::vector<MapEntry> parts;
    for (const auto *next = region(entry.start); next != nullptr && next->start < entry.end();
         next = region(next->end())) {
        const auto part = cut(*next, {entry.start, entry.size});
        if (part.stretch == entry.stretch && part.offset == entry.offset_of(part.start)) {
            parts.push_back(part);
        }
    }
    return parts;
}

kern_return_t AddressMap::pieces(std::uint64_t address, std::uint64_t size, vm_prot_t access,
                                 std::vector<MapEntry> &found) const {
    const auto range = round_outward(address, size);
    if (!range || !covered(*range)) {
        return KERN_INVALID_ADDRESS;
    }
    for (const auto *next = lookup(range->start); next != nullptr && next->start < range->end();
         next = region(next->end())) {
        if (exceeds(access, next->protection)) {
            return KERN_PROTECTION_FAILURE;
        }
        found.push_back(cut(*next, *range));
    }
    return KERN_SUCCESS;
}

// Of a range without holes; else nothing changes.
template <class Change> kern_return_t AddressMap::change(std::uint64_t address, std::uint64_t size, Change change) {
    if (size == 0) {
        return KERN_SUCCESS;
    }
    const auto range = round_outward(address, size);
    if (!range || !covered(*range)) {
        return KERN_INVALID_ADDRESS;
    }
    split_at(range->start);
    split_at(range->end());
    for (auto entry = first_ending_after(range->start); entry != entries_.end() && entry->start < range->end();
         ++entry) {
        change(*entry);
    }
    merge_around(*range);
    return KERN_SUCCESS;
}

const MapEntry *AddressMap::region(std::uint64_t address) const {
    const auto past = [&](const MapEntry &entry) { return entry.end() <= address; };
    const auto found = std::ranges::partition_point(entries_, past);
    return found == entries_.end() ? nullptr : &*found;
}

const MapEntry *AddressMap::lookup(std::uint64_t address) const {
    const MapEntry *entry = region(address);
    return entry != nullptr && entry->start <= address ? entry : nullptr;
}

bool AddressMap::maps(const Stretch &stretch) const {
    return std::ranges::any_of(entries_, [&](const MapEntry &entry) { return entry.stretch == stretch; });
}

std::optional<Range> AddressMap::round_outward(std::uint64_t address, std::uint64_t size) const {
    if (!possible(address, size)) {
        return std::nullopt;
    }
    // Window and data are page-aligned, so rounding does not leave them.
    const std::uint64_t start = page_floor(address);
    return Range{start, *page_ceil(address - start + size)};
}

AddressMap::Iterator AddressMap::first_ending_after(std::uint64_t address) {
    return std::ranges::partition_point(entries_, [&](const MapEntry &entry) { return entry.end() <= address; });
}

bool AddressMap::covered(Range range) const {
    std::uint64_t reached = range.start;
    while (reached < range.end()) {
        const MapEntry *entry = lookup(reached);
        if (entry == nullptr) {
            return false;
        }
        reached = entry->end();
    }
    return true;
}

void AddressMap::split_at(std::uint64_t address) {
    const auto entry = first_ending_after(address);
    if (entry == entries_.end() || entry->start >= address) {
        return;
    }
    const MapEntry whole = *entry;
    *entry = cut(whole, {whole.start, address - whole.start});
    entries_.insert(entry + 1, cut(whole, {address, whole.end() - address}));
}

// Joins what can be joined, from the entry before `range` to the one after it.
void AddressMap::merge_around(Range range) {
    auto kept = first_ending_after(range.start);
    if (kept != entries_.begin()) {
        --kept;
    }
    auto next = kept;
    while (next != entries_.end() && ++next != entries_.end() && next->start <= range.end()) {
        if (continues(*kept, *next)) {
            kept->size += next->size;
        } else {
            *++kept = *next;
        }
    }
    if (kept != entries_.end()) {
        entries_.erase(kept + 1, next);
    }
}

// ---- On the wire ----

void put_stretch(rpc::Writer &writer, const Stretch &stretch) {
    writer.put(stretch.object.home).put(stretch.object.incarnation).put(stretch.object.serial).put(stretch.number);
}

Stretch get_stretch(rpc::Reader &reader) {
    Stretch stretch;
    stretch.object.home = reader.get<std::uint32_t>();
    stretch.object.incarnation = reader.get<std::uint32_t>();
    stretch.object.serial = reader.get<std::uint64_t>();
    stretch.number = reader.get<std::uint64_t>();
    return stretch;
}

void put_stretches(rpc::Writer &writer, std::span<const Stretch> stretches) {
    writer.put(static_cast<std::uint32_t>(stretches.size()));
    for (const Stretch &stretch : stretches) {
        put_stretch(writer, stretch);
    }
}

std::vector<Stretch> get_stretches(rpc::Reader &reader) {
    std::vector<Stretch> stretches(reader.get_count(kStretchBytes));
    for (Stretch &stretch : stretches) {
        stretch = get_stretch(reader);
    }
    return stretches;
}

void encode_entries(rpc::Writer &writer, std::span<const MapEntry> entries) {
    writer.put(static_cast<std::uint32_t>(entries.size()));
    for (const MapEntry &entry : entries) {
        writer.put(entry.start).put(entry.size);
        put_stretch(writer, entry.stretch);
        writer.put(entry.offset);
        writer.put(static_cast<std::uint8_t>(entry.protection)).put(static_cast<std::uint8_t>(entry.max_protection));
        writer.put(static_cast<std::uint8_t>(entry.inheritance)).put(static_cast<std::uint8_t>(entry.behavior));
    }
}

namespace {

MapEntry decode_entry(rpc::Reader &reader) {
    MapEntry entry;
    entry.start = reader.get<std::uint64_t>();
    entry.size = reader.get<std::uint64_t>();
    entry.stretch = get_stretch(reader);
    entry.offset = reader.get<std::uint64_t>();
    entry.protection = reader.get<std::uint8_t>();
    entry.max_protection = reader.get<std::uint8_t>();
    entry.inheritance = reader.get<std::uint8_t>();
    entry.behavior = reader.get<std::uint8_t>();
    return entry;
}

} // namespace

bool decode_entries(rpc::Reader &reader, AddressMap &map) {
    AddressMap result = map;
    const std::uint32_t count = reader.get_count(kMapEntryBytes);
    for (std::uint32_t i = 0; i < count; ++i) {
        const MapEntry entry = decode_entry(reader);
        if (!reader.ok() || entry.size == 0 || result.insert(entry) != KERN_SUCCESS) {
            return false;
        }
    }
    if (!reader.ok()) {
        return false;
    }
    map = std::move(result);
    return true;
}

} // namespace norma::rt
