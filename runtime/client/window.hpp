// SPDX-License-Identifier: BSD-3-Clause
// The coherent window of this process, changed by the service thread as the node server says.
#pragma once

#include <cstdint>

namespace norma::rt {

// All of it, while none of it is in use: 0 or an errno value, EEXIST if there is something else.
int reserve_window();
void release_window();
// Every access to any of it raises SIGBUS from now on.
void poison_window();

// Each returns 0 or an errno value; EINVAL for a range outside the window.
int map_frames(std::uint64_t address, std::uint64_t bytes, int mach_protection, int fd, std::uint64_t offset);
// The same, and the range has the contents afterwards that it had before. For memory that nobody else maps yet, and
// while no other thread runs.
int map_data(std::uint64_t address, std::uint64_t bytes, int mach_protection, int fd, std::uint64_t offset);
int unmap_range(std::uint64_t address, std::uint64_t bytes);
int protect_range(std::uint64_t address, std::uint64_t bytes, int mach_protection);
int poison_page(std::uint64_t address);
int blank_page(std::uint64_t address);
int lock_range(std::uint64_t address, std::uint64_t bytes); // the frames are there
int unlock_range(std::uint64_t address, std::uint64_t bytes);

} // namespace norma::rt
