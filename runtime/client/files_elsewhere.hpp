// SPDX-License-Identifier: BSD-3-Clause
// Files that are open on another node, used through that node's server. These return as the system calls do.
#pragma once

#include <cstddef>
#include <span>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace norma::rt {

inline constexpr off_t kCurrentOffset = -1; // the common one, which moves on

ssize_t read_elsewhere(int fd, void *buffer, std::size_t size, off_t offset = kCurrentOffset) noexcept;
ssize_t write_elsewhere(int fd, const void *buffer, std::size_t size, off_t offset = kCurrentOffset) noexcept;
ssize_t read_elsewhere(int fd, std::span<const iovec> parts) noexcept;
ssize_t write_elsewhere(int fd, std::span<const iovec> parts) noexcept;
off_t seek_elsewhere(int fd, off_t offset, int whence) noexcept;
int status_elsewhere(int fd, struct stat *status) noexcept;
int truncate_elsewhere(int fd, off_t size) noexcept;
int sync_elsewhere(int fd, bool only_data) noexcept;
int flags_elsewhere(int fd) noexcept;
int set_flags_elsewhere(int fd, int flags) noexcept;

} // namespace norma::rt
