// SPDX-License-Identifier: BSD-3-Clause
#include "tests/system/map_model.hpp"

#include <algorithm>
#include <set>

namespace systest {

namespace {

ModelRegion copy_of(const ModelRegion &region) {
    auto copy = region;
    copy.page = std::make_shared<std::array<std::byte, kModelPage>>(*region.page);
    return copy;
}

// Calls visit(page, offset in it, offset in the range, bytes) for each page of a range.
template <class Visit> void for_each_page(ByteRange range, Visit visit) {
    for (std::size_t done = 0; done < range.bytes;) {
        const auto offset = (range.start + done) % kModelPage;
        const auto bytes = std::min(kModelPage - offset, range.bytes - done);
        visit((range.start + done) / kModelPage, offset, done, bytes);
        done += bytes;
    }
}

} // namespace

const ModelRegion *MapModel::at(std::size_t page) const {
    const auto found = regions_.find(page);
    return found == regions_.end() ? nullptr : &found->second;
}

bool MapModel::repeats(ByteRange range) const {
    std::set<const void *> met;
    for (auto page = range.first(); page <= range.last(); ++page) {
        const auto *region = at(page);
        if (region != nullptr && !met.insert(region->page.get()).second) {
            return true;
        }
    }
    return false;
}

bool MapModel::covers(ByteRange range) const {
    for (auto page = range.first(); page <= range.last(); ++page) {
        if (!regions_.contains(page)) {
            return false;
        }
    }
    return true;
}

kern_return_t MapModel::check(ByteRange range, vm_prot_t access) const {
    if (!covers(range)) {
        return KERN_INVALID_ADDRESS;
    }
    for (auto page = range.first(); page <= range.last(); ++page) {
        if ((access & ~regions_.at(page).protection) != 0) {
            return KERN_PROTECTION_FAILURE;
        }
    }
    return KERN_SUCCESS;
}

kern_return_t MapModel::allocate(ByteRange range) {
    const auto taken = regions_.lower_bound(range.first());
    if (taken != regions_.end() && taken->first <= range.last()) {
        return KERN_NO_SPACE;
    }
    for (auto page = range.first(); page <= range.last(); ++page) {
        regions_[page].page = std::make_shared<std::array<std::byte, kModelPage>>();
    }
    return KERN_SUCCESS;
}

kern_return_t MapModel::deallocate(ByteRange range) {
    regions_.erase(regions_.lower_bound(range.first()), regions_.upper_bound(range.last()));
    return KERN_SUCCESS;
}

kern_return_t MapModel::protect(ByteRange range, bool maximum, vm_prot_t protection) {
    if (!covers(range)) {
        return KERN_INVALID_ADDRESS;
    }
    for (auto page = range.first(); page <= range.last(); ++page) {
        if ((protection & ~regions_.at(page).maximum) != 0) {
            return KERN_PROTECTION_FAILURE;
        }
    }
    for (auto page = range.first(); page <= range.last(); ++page) {
        auto &region = regions_.at(page);
        region.maximum = maximum ? protection : region.maximum;
        region.protection = maximum ? region.protection & protection : protection;
    }
    return KERN_SUCCESS;
}

kern_return_t MapModel::inherit(ByteRange range, vm_inherit_t inheritance) {
    if (!covers(range)) {
        return KERN_INVALID_ADDRESS;
    }
    for (auto page = range.first(); page <= range.last(); ++page) {
        regions_.at(page).inheritance = inheritance;
    }
    return KERN_SUCCESS;
}

kern_return_t MapModel::read(ByteRange range, std::vector<std::byte> &bytes) const {
    const auto status = check(range, VM_PROT_READ);
    if (status == KERN_SUCCESS) {
        bytes.resize(range.bytes);
        for_each_page(range, [&](std::size_t page, std::size_t offset, std::size_t done, std::size_t count) {
            std::copy_n(regions_.at(page).page->data() + offset, count, bytes.data() + done);
        });
    }
    return status;
}

kern_return_t MapModel::write(std::size_t start, std::span<const std::byte> bytes) {
    const ByteRange range{.start = start, .bytes = bytes.size()};
    const auto status = check(range, VM_PROT_WRITE);
    if (status == KERN_SUCCESS) {
        for_each_page(range, [&](std::size_t page, std::size_t offset, std::size_t done, std::size_t count) {
            std::copy_n(bytes.data() + done, count, regions_.at(page).page->data() + offset);
        });
    }
    return status;
}

kern_return_t MapModel::copy(ByteRange from, std::size_t to) {
    std::vector<std::byte> bytes;
    const auto status = read(from, bytes);
    return status == KERN_SUCCESS ? write(to, bytes) : status;
}

kern_return_t MapModel::remap(std::size_t first, const MapModel &source, ByteRange range, bool copied,
                              vm_inherit_t inheritance) {
    if (!source.covers(range)) {
        return KERN_INVALID_ADDRESS;
    }
    std::vector<ModelRegion> regions;
    for (auto page = range.first(); page <= range.last(); ++page) {
        const auto &region = source.regions_.at(page);
        regions.push_back(copied ? copy_of(region) : region);
        regions.back().inheritance = inheritance;
    }
    const ByteRange place{.start = first * kModelPage, .bytes = regions.size() * kModelPage};
    if (const auto status = allocate(place); status != KERN_SUCCESS) {
        return status;
    }
    for (std::size_t i = 0; i < regions.size(); ++i) {
        regions_[first + i] = regions[i];
    }
    return KERN_SUCCESS;
}

MapModel MapModel::created() const {
    MapModel child;
    for (const auto &[page, region] : regions_) {
        if (region.inheritance == VM_INHERIT_SHARE) {
            child.regions_[page] = region;
        } else if (region.inheritance == VM_INHERIT_COPY) {
            child.regions_[page] = copy_of(region);
        }
    }
    return child;
}

} // namespace systest
