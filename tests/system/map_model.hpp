// SPDX-License-Identifier: BSD-3-Clause
// What the calls on address maps are to do, in the simplest way: each task has a map from page numbers to pages, a page
// is an array that those who share it point to, and a copy is made by copying, at once. Only a few pages at fixed
// addresses are looked at.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include <norma/mach.h>

namespace systest {

inline constexpr std::size_t kModelPage = 4096;

struct ModelRegion {
    std::shared_ptr<std::array<std::byte, kModelPage>> page;
    vm_prot_t protection = VM_PROT_DEFAULT, maximum = VM_PROT_ALL;
    vm_inherit_t inheritance = VM_INHERIT_COPY;
};

// Bytes are counted from the first of the pages; ranges lie within them and are not empty.
struct ByteRange {
    std::size_t start = 0, bytes = 0;
    std::size_t first() const { return start / kModelPage; }
    std::size_t last() const { return (start + bytes - 1) / kModelPage; }
};

class MapModel {
  public:
    const ModelRegion *at(std::size_t page) const;
    bool covers(ByteRange range) const;  // there is no hole in it
    bool repeats(ByteRange range) const; // some page is there more than once

    kern_return_t allocate(ByteRange range);
    kern_return_t deallocate(ByteRange range);
    kern_return_t protect(ByteRange range, bool maximum, vm_prot_t protection);
    kern_return_t inherit(ByteRange range, vm_inherit_t inheritance);
    kern_return_t read(ByteRange range, std::vector<std::byte> &bytes) const;
    kern_return_t write(std::size_t start, std::span<const std::byte> bytes);
    kern_return_t copy(ByteRange from, std::size_t to);
    // Puts what `source` has at `range`, or a copy of it, at page `first`.
    kern_return_t remap(std::size_t first, const MapModel &source, ByteRange range, bool copied,
                        vm_inherit_t inheritance);
    MapModel created() const; // as a child has it from task_create
                              // A child of norma_task_clone has what its parent has: a copy of this.

  private:
    kern_return_t check(ByteRange range, vm_prot_t access) const;

    std::map<std::size_t, ModelRegion> regions_;
};

} // namespace systest
