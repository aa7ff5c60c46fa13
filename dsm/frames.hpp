// SPDX-License-Identifier: BSD-3-Clause
// The frames of one object on this node: a sparse memfd that every local task maps. Only the node server reads it by
// descriptor, makes holes in it and, rarely, writes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace norma::dsm {

class Frames {
  public:
    explicit Frames(std::uint64_t pages); // throws std::system_error
    ~Frames();
    Frames(const Frames &) = delete;
    Frames &operator=(const Frames &) = delete;

    int fd() const { return fd_; }
    // Has room for at least so many pages. Throws std::system_error.
    void grow(std::uint64_t pages);
    // Reads whole pages; a hole reads as zeros and stays a hole.
    void read(std::uint64_t page, std::span<std::byte> into) const;
    void write(std::uint64_t page, std::span<const std::byte> from);
    // The first pages of [page, page + count) that have frames, as far as they follow each other; none: {page + count,
    // 0}.
    struct Run {
        std::uint64_t first, count;
    };
    Run next(std::uint64_t page, std::uint64_t count) const;
    std::uint64_t bytes() const; // of all frames
    // Has frames for the pages, of zeros where there were none. False: the machine has no memory for them.
    bool allocate(std::uint64_t page, std::uint64_t count);
    // Frees the frames and takes them out of every mapping at once.
    void drop(std::uint64_t page, std::uint64_t count);

  private:
    int fd_;
    std::uint64_t pages_ = 0;
};

} // namespace norma::dsm
