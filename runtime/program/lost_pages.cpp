// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/program/lost_pages.hpp"

#include <algorithm>
#include <sys/mman.h>

namespace norma::rt {

// Null: there is no memory to remember anything in.
LostPages::Group *LostPages::groups() {
    Group *made = groups_.load();
    if (made != nullptr) {
        return made;
    }
    const std::size_t bytes = (own_.size() / kGroup + 1) * sizeof(Group);
    void *const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return nullptr;
    }
    if (!groups_.compare_exchange_strong(made, static_cast<Group *>(memory))) {
        ::munmap(memory, bytes); // another thread was quicker
        return made;
    }
    return static_cast<Group *>(memory);
}

// Whoever asks after a death is told what it has left; who asked before does not say so.
std::uint64_t LostPages::lost_in(const std::byte *group) {
    const auto offset = static_cast<std::size_t>(group - own_.data());
    Group *const known = offset < own_.size() ? groups() : nullptr;
    if (known == nullptr) {
        return lost_from_(group);
    }
    Group &here = known[offset / kGroup];
    const std::uint64_t deaths = deaths_.load();
    if (here.asked.load(std::memory_order_acquire) != deaths) {
        here.lost.fetch_or(lost_from_(group));
        here.asked.store(deaths, std::memory_order_release);
    }
    return here.lost.load();
}

bool LostPages::any(const std::byte *start, std::size_t bytes) {
    for (const std::byte *at = start; at < start + bytes;) {
        const auto offset = static_cast<std::size_t>(at - own_.data()); // before the own part it wraps around, evenly
        const std::byte *const group = at - offset % kGroup;
        const auto from = static_cast<std::size_t>(at - group) / kPage;
        const auto to = (std::min(kGroup, static_cast<std::size_t>(start + bytes - group)) - 1) / kPage;
        if ((lost_in(group) >> from & (~std::uint64_t{0} >> (63 - (to - from)))) != 0) {
            return true;
        }
        at = group + kGroup;
    }
    return false;
}

} // namespace norma::rt
