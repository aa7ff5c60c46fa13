// SPDX-License-Identifier: BSD-3-Clause
// One access to a file that is open on another node, and the memory that it is about.
#pragma once

#include "runtime/protocol.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/types.h>
#include <sys/uio.h>

namespace norma::rt {

// Neither what is sent nor what comes may be coherent memory: a PrivateRoom<Piece>.
using Piece = std::array<std::byte, kFileBytesAtOnce + kMostAddressBytes>;

struct Orders {
    FileAction action;
    std::uint64_t first = 0, second = 0, third = 0;
};
struct Outcome {
    ssize_t result; // -1: errno says why
    FileKind kind = FileKind::other;
    std::uint64_t more = 0;
    std::size_t answered = 0; // bytes
};
Outcome reach(int fd, const Orders &orders, std::span<const std::byte> data = {},
              std::span<std::byte> answered = {}) noexcept;

// Parts of memory that belong together, gone through from the first to the last.
class Parts {
  public:
    explicit Parts(std::span<const iovec> parts) noexcept : parts_(parts) {}
    std::size_t left() const noexcept; // at most what one call can read or write
    void put(std::span<const std::byte> bytes) noexcept;
    // As much as there is room for; what has been taken is taken again until drop().
    std::size_t take(std::span<std::byte> room) const noexcept;
    void drop(std::size_t bytes) noexcept;

  private:
    std::span<const iovec> parts_;
    std::size_t done_ = 0; // of the first
};

// Whether these are parts, as a program gives them; or errno is set: EINVAL.
bool are_parts(std::span<const iovec> parts) noexcept;

} // namespace norma::rt
