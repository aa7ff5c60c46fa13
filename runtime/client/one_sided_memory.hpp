// SPDX-License-Identifier: BSD-3-Clause
// What an access does to the memory of a region, by whomever it is carried out.
#pragma once

#include "norma/region.h"
#include "runtime/client/one_sided.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace norma::rt {

// What an export must allow.
constexpr vm_prot_t needed_for(AccessKind kind) {
    switch (kind) {
    case AccessKind::get:
        return VM_PROT_READ;
    case AccessKind::put:
        return VM_PROT_WRITE;
    default:
        return VM_PROT_READ | VM_PROT_WRITE;
    }
}

// To and from memory that another core has just used. From some size on the processor's own instruction is the quicker
// one there: it takes the cache lines that it writes to without reading them first.
inline void copy_across(std::byte *to, const std::byte *from, std::size_t bytes) {
    constexpr std::size_t kLeast = 1024;
    if (bytes < kLeast) {
        std::memcpy(to, from, bytes);
    } else {
        asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    }
}

// One load or store where the whole is an aligned word, which others may change at the same time.
inline void copy_shared(std::byte *to, const std::byte *from, std::size_t bytes) {
    const auto aligned = ((reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from)) & 7) == 0;
    if (bytes == sizeof(std::uint64_t) && aligned) {
        const auto word = __atomic_load_n(reinterpret_cast<const std::uint64_t *>(from), __ATOMIC_ACQUIRE);
        __atomic_store_n(reinterpret_cast<std::uint64_t *>(to), word, __ATOMIC_RELEASE);
        return;
    }
    copy_across(to, from, bytes);
}

// fetch_add or compare_swap of an aligned word; what was there before.
inline std::uint64_t change_word(std::byte *at, AccessKind kind, const std::uint64_t (&operand)[2]) {
    auto *const word = reinterpret_cast<std::uint64_t *>(at);
    if (kind == AccessKind::fetch_add) {
        return __atomic_fetch_add(word, operand[0], __ATOMIC_SEQ_CST);
    }
    auto before = operand[0];
    __atomic_compare_exchange_n(word, &before, operand[1], false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return before;
}

} // namespace norma::rt
