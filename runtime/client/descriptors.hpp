// SPDX-License-Identifier: BSD-3-Clause
// The open files of this process: which of them are the library's own, and how the others get to a child.
#pragma once

#include "runtime/parcel.hpp"

#include <vector>

namespace norma::rt {

// The library's own: no child gets them. Any thread, signal handlers too.
void keep_private(int fd) noexcept;
void close_private(int fd) noexcept;
bool is_private(int fd) noexcept;

// A file that the library needs for a moment, and no child gets either. Not for signal handlers. -1 with errno set.
int open_briefly(const char *path) noexcept;
void close_briefly(int fd) noexcept; // or -1

// Appends all open files that are not the library's. 0 or an errno value.
int list_files(std::vector<PackedFile> &files) noexcept;

// What is open from the start. opened_files(): what the program has opened besides it and the standard streams.
void remember_files();
std::vector<int> opened_files();

// A socket in which there are all open files that are not the library's, or -1 with errno set.
int pack_files() noexcept;
// Makes what pack_files() has packed the open files of this process, under the same numbers, and closes all others but
// the library's. Closes the parcel. For a process with one thread. 0 or an errno value.
int unpack_files(int parcel) noexcept;
// The same, with what has been unpacked already, and moves those that are in each other's way. Those that are open
// elsewhere only get room.
int adopt_files(std::vector<PackedFile> &files) noexcept;

} // namespace norma::rt
