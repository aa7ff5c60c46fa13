// SPDX-License-Identifier: BSD-3-Clause
// A fingerprint of a result: 64-bit FNV-1a over the bytes of doubles or words, so two results with one hash agree bit
// for bit.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace apps {

class Hash {
  public:
    /// Bytes go in least significant first, so that the hash does not depend on the machine's byte order.
    void add(std::span<const double> values) {
        for (const double value : values) {
            add(std::bit_cast<std::uint64_t>(value));
        }
    }
    void add(std::uint64_t word) {
        for (int shift = 0; shift < 64; shift += 8) {
            state_ = (state_ ^ ((word >> shift) & 0xff)) * kPrime;
        }
    }
    std::uint64_t value() const { return state_; }

  private:
    static constexpr std::uint64_t kPrime = 0x100000001b3;
    std::uint64_t state_ = 0xcbf29ce484222325;
};

inline std::uint64_t hash_of(std::span<const double> values) {
    Hash hash;
    hash.add(values);
    return hash.value();
}

} // namespace apps
