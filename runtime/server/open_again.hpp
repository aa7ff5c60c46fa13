// SPDX-License-Identifier: BSD-3-Clause
// A file that is open on a node which leaves, opened again on another one: what has to be known of it, and doing it.
#pragma once

#include "runtime/moved_files.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace norma::rt {

const std::string &this_machine(); // empty: nobody knows

// Says of an open file what it is and how it is open; or else why no other node can open it: "/tmp/a is locked".
std::string look_at(int fd, MovedFile &file);

// If it cannot be had there is no descriptor, and `why` says so. `settled`: as compare() has it.
struct OpenedAgain {
    int fd = -1;
    std::string why{};
};
OpenedAgain open_again(const MovedFile &file, bool settled);

// Descriptors of those that are to be a node's, which end with this.
class OpenedFiles {
  public:
    OpenedFiles() = default;
    OpenedFiles(OpenedFiles &&other) noexcept : fds_(std::exchange(other.fds_, {})) {}
    OpenedFiles &operator=(OpenedFiles &&) = delete;
    OpenedFiles(const OpenedFiles &) = delete;
    OpenedFiles &operator=(const OpenedFiles &) = delete;
    ~OpenedFiles();

    std::string open(const std::vector<MovedFile> &files); // empty; or why one of them cannot be had
    int at(std::size_t index) const { return fds_.at(index); }

  private:
    std::vector<int> fds_;
};

// ---- whether two descriptors stand for one open file, which has one offset ----
bool can_be_told_apart(int fd);    // false: the kernel does not say
bool is_before(int fd, int other); // an order of all of them
bool are_one(int fd, int other);

} // namespace norma::rt
