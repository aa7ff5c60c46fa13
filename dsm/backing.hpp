// SPDX-License-Identifier: BSD-3-Clause
// The file behind a memory object, at its home: where the object's pages come from when they are first wanted, and
// where they go when they are saved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace norma::dsm {

class Backing {
  public:
    // Where the content of a page is. `nowhere`: the file could not be read.
    enum class Content : std::uint8_t { in_file, in_memory, nowhere };

    // Takes the descriptor over. The object is the file's first `bytes`, whatever becomes of the file's size.
    Backing(int fd, std::uint64_t bytes, bool writable);
    ~Backing();
    Backing(const Backing &) = delete;
    Backing &operator=(const Backing &) = delete;

    int fd() const { return fd_; }
    std::uint64_t bytes() const { return bytes_; }
    bool writable() const { return writable_; }
    void make_writable(int fd); // the same file, opened for writing too; takes the descriptor over

    Content content(std::uint64_t page) const { return content_[page]; }
    void set(std::uint64_t page, std::uint64_t count, Content content);

    // Reads whole pages; behind the file's end are zeros. 0 or an errno value.
    int read(std::uint64_t page, std::span<std::byte> into) const;
    // Writes what of a page differs from the file, and nothing behind the object's end. 0 or an errno value.
    int write(std::uint64_t page, std::span<const std::byte> from) const;

  private:
    int fd_;
    std::uint64_t bytes_;
    bool writable_;
    std::vector<Content> content_;
};

} // namespace norma::dsm
