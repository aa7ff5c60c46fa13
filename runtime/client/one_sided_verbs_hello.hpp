// SPDX-License-Identifier: BSD-3-Clause
// What importer and owner tell each other while librdmacm connects them, in its private data (56 bytes at most).
#pragma once

#include "norma/region.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace norma::rt {

// The request: which export.
struct Visit {
    static constexpr std::uint32_t kMagic = 0x6e727631;
    std::uint32_t magic = kMagic;
    std::uint32_t reserved = 0;
    std::uint64_t place = 0;
    std::uint64_t secret[2] = {};
};
// The answer, if there is such an export.
struct Welcome {
    static constexpr std::uint32_t kMagic = 0x6e727732;
    std::uint32_t magic = kMagic;
    std::uint32_t key = 0; // of the registration
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
    std::uint32_t access = 0;
    std::uint32_t atomics = 0; // whether the owner's device has them
};
// And if not.
struct Refusal {
    static constexpr std::uint32_t kMagic = 0x6e727233;
    std::uint32_t magic = kMagic;
    kern_return_t status = KERN_SUCCESS;
};
static_assert(sizeof(Visit) == 32 && sizeof(Welcome) == 32 && sizeof(Refusal) == 8);

// The library pads private data; what is behind the hello is not looked at.
template <class Hello> std::optional<Hello> read_hello(std::span<const std::byte> data) {
    Hello hello;
    if (data.size() < sizeof hello) {
        return std::nullopt;
    }
    std::memcpy(&hello, data.data(), sizeof hello);
    return hello.magic == Hello::kMagic ? std::optional(hello) : std::nullopt;
}
template <class Hello> std::span<const std::byte> bytes_of(const Hello &hello) {
    return std::as_bytes(std::span(&hello, 1));
}

} // namespace norma::rt
