// SPDX-License-Identifier: BSD-3-Clause
// What a process exports: ranges, and the keys that name them. Whoever has it has a lock for it.
#pragma once

#include "norma/region.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <stdexcept>
#include <sys/random.h>

namespace norma::rt {

// Backing: what the network has for an export.
template <class Backing> class Exports {
  public:
    struct Export {
        bool live = false;
        std::byte *base = nullptr;
        std::uint64_t bytes = 0;
        vm_prot_t access = VM_PROT_NONE;
        std::uint64_t secret[2] = {};
        Backing backing{};
    };

    norma_key_t add(std::uint64_t address, std::uint64_t bytes, vm_prot_t access) { // throws
        static std::uint64_t random[2]; // not on the stack, which may be coherent memory
        if (getrandom(random, sizeof random, 0) != sizeof random) {
            throw std::runtime_error("the kernel gives no random bytes for a key");
        }
        auto place = std::find_if(exports_.begin(), exports_.end(), [](const Export &other) { return !other.live; });
        if (place == exports_.end()) {
            place = exports_.emplace(exports_.end());
        }
        place->live = true;
        place->base = reinterpret_cast<std::byte *>(address);
        place->bytes = bytes;
        place->access = access;
        std::copy(std::begin(random), std::end(random), place->secret);
        return {{0, static_cast<std::uint64_t>(place - exports_.begin()), random[0], random[1]}};
    }
    // Null: no live export has that place and secret.
    Export *find(std::uint64_t place, const std::uint64_t (&secret)[2]) {
        const bool there = place < exports_.size() && exports_[place].live &&
                           std::equal(std::begin(secret), std::end(secret), exports_[place].secret);
        return there ? &exports_[place] : nullptr;
    }
    Export *find(const norma_key_t &key) { return find(key.words[1], {key.words[2], key.words[3]}); }
    void end(Export &ended) { ended = {}; }
    void end_all_of(std::uint64_t address, std::uint64_t bytes) {
        for (auto &other : exports_) {
            const auto base = reinterpret_cast<std::uint64_t>(other.base);
            if (other.live && base < address + bytes && address < base + other.bytes) {
                end(other);
            }
        }
    }
    template <class Visit> void for_each(Visit visit) {
        for (auto &other : exports_) {
            if (other.live) {
                visit(other);
            }
        }
    }

  private:
    std::deque<Export> exports_;
};

} // namespace norma::rt
