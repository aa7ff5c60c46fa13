// SPDX-License-Identifier: BSD-3-Clause
// Files that are open on another node, used through that node's server. These return as the system calls do.
#pragma once

#include <cstddef>
#include <span>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace norma::rt {

inline constexpr off_t kCurrentOffset = -1; // the common one, which moves on

// Into several parts of memory, or out of them.
ssize_t read_elsewhere(int fd, std::span<const iovec> parts, off_t offset = kCurrentOffset) noexcept;
ssize_t write_elsewhere(int fd, std::span<const iovec> parts, off_t offset = kCurrentOffset) noexcept;
ssize_t read_elsewhere(int fd, void *buffer, std::size_t size, off_t offset = kCurrentOffset) noexcept;
ssize_t write_elsewhere(int fd, const void *buffer, std::size_t size, off_t offset = kCurrentOffset) noexcept;
off_t seek_elsewhere(int fd, off_t offset, int whence) noexcept;
int status_elsewhere(int fd, struct stat *status) noexcept;
int system_status_elsewhere(int fd, struct statfs *status) noexcept;
int truncate_elsewhere(int fd, off_t size) noexcept;
int allocate_elsewhere(int fd, int mode, off_t offset, off_t size) noexcept;
int sync_elsewhere(int fd, bool only_data) noexcept;
int flags_elsewhere(int fd) noexcept;
int set_flags_elsewhere(int fd, int flags) noexcept;
int lock_elsewhere(int fd, int operation) noexcept;
bool is_terminal_elsewhere(int fd) noexcept;

// ---- messages_elsewhere.cpp: sockets ----
ssize_t send_elsewhere(int fd, const msghdr &message, int flags) noexcept;
ssize_t receive_elsewhere(int fd, msghdr &message, int flags) noexcept; // messages have no control data
int shut_down_elsewhere(int fd, int how) noexcept;

} // namespace norma::rt
