// SPDX-License-Identifier: BSD-3-Clause
// Digests that have been seen, each with its number, for several threads at once: parts with a lock each, in which a
// digest is looked for from its own place on (open addressing).
#pragma once

#include "tests/exploration/digest.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace norma::exploration {

class DigestTable {
  public:
    // The number of the digest, and whether it is new. Numbers count from 0 without gaps.
    std::pair<std::uint32_t, bool> insert(const Digest &digest) {
        Part &part = parts_[digest.first >> (64 - kPartBits)];
        const std::lock_guard lock(part.mutex);
        if ((part.used + 1) * 3 > part.slots.size() * 2) {
            grow(part);
        }
        Slot &slot = find(part.slots, digest);
        if (slot.number != kNone) {
            return {slot.number, false};
        }
        ++part.used;
        slot = {.digest = digest, .number = size_.fetch_add(1)};
        return {slot.number, true};
    }
    std::uint32_t size() const { return size_; }

  private:
    static constexpr unsigned kPartBits = 6;
    static constexpr std::uint32_t kNone = UINT32_MAX;
    struct Slot {
        Digest digest;
        std::uint32_t number = kNone;
    };
    struct Part {
        std::mutex mutex;
        std::vector<Slot> slots;
        std::size_t used = 0;
    };

    static Slot &find(std::vector<Slot> &slots, const Digest &digest) {
        std::size_t place = digest.second & (slots.size() - 1);
        while (slots[place].number != kNone && slots[place].digest != digest) {
            place = (place + 1) & (slots.size() - 1);
        }
        return slots[place];
    }
    static void grow(Part &part) {
        std::vector<Slot> larger(part.slots.empty() ? 64 : part.slots.size() * 2);
        for (const Slot &slot : part.slots) {
            if (slot.number != kNone) {
                find(larger, slot.digest) = slot;
            }
        }
        part.slots = std::move(larger);
    }

    std::array<Part, 1U << kPartBits> parts_;
    std::atomic<std::uint32_t> size_ = 0;
};

} // namespace norma::exploration
