// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/memory.hpp"

#include <algorithm>
#include <cerrno>

namespace norma::sim {

const Content *FrameFile::find(std::uint64_t page) const {
    const auto found = frames_.find(page);
    return found == frames_.end() ? nullptr : &found->second;
}

void FrameFile::drop(std::uint64_t page, std::uint64_t count) {
    for (auto each = page; each < page + count; ++each) {
        frames_.erase(each);
        for (auto *mapper : mappers_) {
            mapper->zap(*this, each);
        }
    }
}

void AddressSpace::zap(const FrameFile &file, std::uint64_t page) {
    for (const auto &[first, mapping] : mappings_) {
        if (mapping.file.get() != &file || page < mapping.offset || page - mapping.offset >= mapping.pages) {
            continue;
        }
        const auto found = table_.find(first + (page - mapping.offset));
        if (found != table_.end()) {
            found->second.present = false;
            found->second.marked = found->second.marked && file.markers_survive_;
        }
    }
}

void AddressSpace::map(PageNumber first, std::uint64_t pages, std::shared_ptr<FrameFile> file, std::uint64_t offset) {
    unmap(first, pages);
    file->was_mapped_ = true;
    file->mappers_.push_back(this);
    mappings_[first] = {.first = first, .pages = pages, .file = std::move(file), .offset = offset, .registered = false};
}

void AddressSpace::clear(PageNumber page) {
    table_.erase(page);
    poisoned_.erase(page);
    forbidden_.erase(page);
}

// Who sleeps in the range goes on sleeping: the kernel does not wake it.
void AddressSpace::unmap(PageNumber first, std::uint64_t pages) {
    const auto end = first + pages;
    std::vector<Mapping> cut;
    for (const auto &[start, mapping] : mappings_) {
        if (start < end && first < start + mapping.pages) {
            cut.push_back(mapping);
        }
    }
    for (const auto &mapping : cut) {
        mappings_.erase(mapping.first);
        auto &mappers = mapping.file->mappers_;
        mappers.erase(std::find(mappers.begin(), mappers.end(), this));
        const auto put = [&](PageNumber from, PageNumber to) {
            auto rest = mapping;
            rest.first = from;
            rest.pages = to - from;
            rest.offset += from - mapping.first;
            mappers.push_back(this);
            mappings_[from] = rest;
        };
        if (mapping.first < first) {
            put(mapping.first, first);
        }
        if (end < mapping.first + mapping.pages) {
            put(end, mapping.first + mapping.pages);
        }
    }
    for (auto page = first; page < end; ++page) {
        clear(page);
    }
}

void AddressSpace::forbid(PageNumber first, std::uint64_t pages) {
    for (auto page = first; page < first + pages; ++page) {
        forbidden_.insert(page);
    }
}

void AddressSpace::allow(PageNumber first, std::uint64_t pages) {
    for (auto page = first; page < first + pages; ++page) {
        forbidden_.erase(page);
    }
}

void AddressSpace::end() {
    ended_ = true;
    waiting_.clear();
    faults_.clear();
    while (!mappings_.empty()) {
        const auto mapping = mappings_.begin()->second;
        unmap(mapping.first, mapping.pages);
    }
}

const AddressSpace::Mapping *AddressSpace::find(PageNumber page) const {
    auto next = mappings_.upper_bound(page);
    if (next == mappings_.begin()) {
        return nullptr;
    }
    const auto &mapping = std::prev(next)->second;
    return page < mapping.first + mapping.pages ? &mapping : nullptr;
}

AddressSpace::Touch AddressSpace::fault(std::uint64_t actor, PageNumber page, bool write, bool write_protected) {
    waiting_.push_back({.actor = actor, .page = page});
    faults_.push_back({.address = page << 12,
                       .thread = static_cast<std::uint32_t>(actor),
                       .write = write || write_protected,
                       .write_protected = write_protected});
    hooks_.message();
    return Touch::waits;
}

AddressSpace::Touch AddressSpace::touch(std::uint64_t actor, PageNumber page, bool write, Content *&content) {
    if (poisoned_.contains(page)) {
        return Touch::poisoned;
    }
    const auto *mapping = find(page);
    if (mapping == nullptr || forbidden_.contains(page)) {
        return Touch::no_memory;
    }
    auto &file = *mapping->file;
    const auto offset = mapping->offset + (page - mapping->first);
    auto &entry = table_[page];
    if (!entry.present) {
        if (mapping->registered && file.find(offset) == nullptr) {
            return fault(actor, page, write, false);
        }
        // A frame that is here, or memory that nobody watches: the kernel maps it without a word, and writable unless
        // there is a marker.
        entry.present = true;
    }
    if (write && entry.marked) {
        return fault(actor, page, true, true);
    }
    content = &file.make(offset);
    return Touch::allowed;
}

void AddressSpace::forget(std::uint64_t actor) {
    std::erase_if(waiting_, [actor](const Sleeper &sleeper) { return sleeper.actor == actor; });
    withdraw(actor);
}

// A thread that does not sleep any more takes its message with it, if nobody has read it.
void AddressSpace::withdraw(std::uint64_t actor) {
    std::erase_if(faults_, [actor](const dsm::PageFault &fault) { return fault.thread == actor; });
}

std::optional<dsm::PageFault> AddressSpace::next_fault() {
    if (faults_.empty()) {
        return std::nullopt;
    }
    const auto first = faults_.front();
    faults_.pop_front();
    return first;
}

int AddressSpace::add_range(PageNumber first, std::uint64_t pages) {
    if (ended_) {
        return ESRCH;
    }
    bool any = false;
    for (auto &[start, mapping] : mappings_) { // the range is one mapping, or the pieces of one
        if (start < first + pages && first < start + mapping.pages) {
            mapping.registered = true;
            any = true;
        }
    }
    return any ? 0 : ENOENT;
}

int AddressSpace::copy(PageNumber page, const Content &content, bool protect) {
    const auto *mapping = find(page);
    if (ended_ || mapping == nullptr || !mapping->registered || poisoned_.contains(page)) {
        return ended_ ? ESRCH : ENOENT;
    }
    const auto offset = mapping->offset + (page - mapping->first);
    auto &entry = table_[page];
    if (entry.present || mapping->file->find(offset) != nullptr) {
        return EEXIST;
    }
    mapping->file->make(offset) = content;
    entry = {.present = true, .marked = protect};
    return wake(page, 1);
}

int AddressSpace::protect(PageNumber first, std::uint64_t pages, bool on) {
    if (ended_) {
        return ESRCH;
    }
    bool all = true;
    for (auto page = first; page < first + pages; ++page) {
        const auto *mapping = find(page);
        if (mapping == nullptr || !mapping->registered) {
            all = false;
        } else {
            table_[page].marked = on;
        }
    }
    if (!on) {
        wake(first, pages);
    }
    return all ? 0 : ENOENT;
}

int AddressSpace::wake(PageNumber first, std::uint64_t pages) {
    if (ended_) {
        return ESRCH;
    }
    std::vector<std::uint64_t> woken;
    std::erase_if(waiting_, [&](const Sleeper &sleeper) {
        const bool in_range = sleeper.page >= first && sleeper.page < first + pages;
        if (in_range) {
            woken.push_back(sleeper.actor);
        }
        return in_range;
    });
    for (const auto actor : woken) {
        withdraw(actor);
        hooks_.retry(actor);
    }
    return 0;
}

} // namespace norma::sim
