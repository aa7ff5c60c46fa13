// SPDX-License-Identifier: BSD-3-Clause
// The file of a checkpoint (docs/checkpoint.md): a head, then pieces (runtime/checkpoint.hpp), then an end that says
// how many there were. Everything has a checksum, and a file without its end is none.
#pragma once

#include "runtime/checkpoint.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>

namespace norma::rt::checkpoint {

// What is wrong with a file, for people.
class FileError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// Writes beside the place where the file is to be, until finish(): a crash leaves the file that was there, or none.
class Writer {
  public:
    explicit Writer(std::string path); // throws FileError, as all of them do
    ~Writer();                         // without finish() nothing is left
    Writer(const Writer &) = delete;
    Writer &operator=(const Writer &) = delete;

    void add(const Piece &piece);
    void finish(); // it is on the disk, and has its name
    std::uint64_t bytes() const { return bytes_; }

  private:
    void put(std::uint8_t kind, dsm::NodeId node, std::span<const std::byte> bytes);
    void write(std::span<const std::byte> bytes);
    [[noreturn]] void fail(const char *what) const;

    std::string path_, temporary_;
    int fd_ = -1;
    std::uint64_t pieces_ = 0, bytes_ = 0;
};

class Reader {
  public:
    explicit Reader(const std::string &path);
    ~Reader();
    Reader(const Reader &) = delete;
    Reader &operator=(const Reader &) = delete;

    // No value: there are no more, and it has been complete.
    std::optional<Piece> next();
    void rewind(); // to the first piece

  private:
    bool read(std::span<std::byte> into); // false: the file has ended before its first byte
    [[noreturn]] void fail(const std::string &what) const;

    std::string path_;
    int fd_ = -1;
    std::uint64_t pieces_ = 0;
};

} // namespace norma::rt::checkpoint
