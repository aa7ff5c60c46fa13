// SPDX-License-Identifier: BSD-3-Clause
// What memory should be, in the plainest way: each task has a map of pages, and a copy is made when it is asked for.
#pragma once

#include "tests/system/puppet.hpp"

#include <array>
#include <map>
#include <memory>

namespace systest {

struct PageRange {
    vm_address_t first = 0;
    std::size_t pages = 0;

    vm_address_t page(std::size_t index) const { return first + index * kPageBytes; }
    vm_size_t bytes() const { return pages * kPageBytes; }
};

class ReferenceMemory {
  public:
    static constexpr std::size_t kWords = 8; // of each page that are looked at

    static vm_address_t word_address(vm_address_t page, std::size_t word) {
        return page + word * (kPageBytes / kWords) + word * sizeof(std::uint64_t);
    }

    struct Page {
        std::shared_ptr<std::array<std::uint64_t, kWords>> words;
        vm_inherit_t inheritance = VM_INHERIT_COPY;
        vm_prot_t protection = VM_PROT_DEFAULT, maximum = VM_PROT_ALL;
    };

    kern_return_t allocate(const PageRange &range) {
        for (std::size_t i = 0; i < range.pages; ++i) {
            if (at(range.page(i)) != nullptr) {
                return KERN_NO_SPACE;
            }
        }
        for (std::size_t i = 0; i < range.pages; ++i) {
            pages_[range.page(i)].words = std::make_shared<std::array<std::uint64_t, kWords>>();
        }
        return KERN_SUCCESS;
    }

    kern_return_t deallocate(const PageRange &range) {
        for (std::size_t i = 0; i < range.pages; ++i) {
            pages_.erase(range.page(i));
        }
        return KERN_SUCCESS;
    }

    kern_return_t inherit(const PageRange &range, vm_inherit_t inheritance) {
        if (has_hole(range)) {
            return KERN_INVALID_ADDRESS;
        }
        for (std::size_t i = 0; i < range.pages; ++i) {
            pages_[range.page(i)].inheritance = inheritance;
        }
        return KERN_SUCCESS;
    }

    kern_return_t protect(const PageRange &range, bool maximum, vm_prot_t protection) {
        if (has_hole(range)) {
            return KERN_INVALID_ADDRESS;
        }
        for (std::size_t i = 0; i < range.pages; ++i) {
            if ((protection & ~at(range.page(i))->maximum) != 0) {
                return KERN_PROTECTION_FAILURE;
            }
        }
        for (std::size_t i = 0; i < range.pages; ++i) {
            auto &page = pages_[range.page(i)];
            page.protection = maximum ? page.protection & protection : protection;
            page.maximum = maximum ? protection : page.maximum;
        }
        return KERN_SUCCESS;
    }

    /// Of task_create; clone and teleport have all of it, which is a copy of this object.
    ReferenceMemory inherited() const {
        ReferenceMemory child;
        for (const auto &[address, page] : pages_) {
            if (page.inheritance == VM_INHERIT_NONE) {
                continue;
            }
            auto &mine = child.pages_[address] = page;
            if (page.inheritance == VM_INHERIT_COPY) {
                mine.words = std::make_shared<std::array<std::uint64_t, kWords>>(*page.words);
            }
        }
        return child;
    }

    /// Null: a hole.
    const Page *at(vm_address_t page) const {
        const auto found = pages_.find(page);
        return found == pages_.end() ? nullptr : &found->second;
    }

    bool shares(vm_address_t page, const ReferenceMemory &other) const {
        for (const auto &[address, theirs] : other.pages_) {
            if (at(page) != nullptr && at(page)->words == theirs.words) {
                return true;
            }
        }
        return false;
    }

    /// Does the access, and fills in what comes of it.
    void access(vm_address_t page_address, std::size_t word, Access &access) const {
        const auto *const page = at(page_address);
        const vm_prot_t needed = access.write ? VM_PROT_WRITE : VM_PROT_READ;
        access.fault = page == nullptr || (page->protection & needed) == 0;
        if (!access.fault && access.write) {
            page->words->at(word) = access.value;
        } else if (!access.fault) {
            access.value = page->words->at(word);
        }
    }

  private:
    bool has_hole(const PageRange &range) const {
        for (std::size_t i = 0; i < range.pages; ++i) {
            if (at(range.page(i)) == nullptr) {
                return true;
            }
        }
        return false;
    }

    std::map<vm_address_t, Page> pages_;
};

} // namespace systest
