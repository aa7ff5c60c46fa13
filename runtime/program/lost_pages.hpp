// SPDX-License-Identifier: BSD-3-Clause
// Which pages of the heap have died with a node that had them last. Their homes know; what they say of the own part is
// remembered until the next node dies.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace norma::rt {

// Of 64 pages from this one on, a bit each.
using LostFrom = std::uint64_t (*)(const void *page);

class LostPages {
  public:
    LostPages(std::span<std::byte> own_part, LostFrom lost_from) : own_(own_part), lost_from_(lost_from) {}

    // A node has died: what is remembered is old.
    void ask_again() { deaths_.fetch_add(1); }
    // Whether any page of the range is lost. From any thread, after the first death.
    bool any(const std::byte *start, std::size_t bytes);

  private:
    static constexpr std::size_t kPage = 4096;
    static constexpr std::size_t kGroup = 64 * kPage;

    struct Group {
        std::atomic<std::uint64_t> lost;
        std::atomic<std::uint64_t> asked; // after so many deaths
    };

    std::uint64_t lost_in(const std::byte *group);
    Group *groups();

    std::span<std::byte> own_;
    LostFrom lost_from_;
    std::atomic<std::uint64_t> deaths_{0};
    std::atomic<Group *> groups_{nullptr}; // of the own part; made at the first question
};

} // namespace norma::rt
