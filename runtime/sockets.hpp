// SPDX-License-Identifier: BSD-3-Clause
// Packets, with a descriptor if need be, over SOCK_SEQPACKET sockets; used by the node server and by libnorma.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/types.h>
#include <utility>

namespace norma::rt {

// Close-on-exec; throws std::system_error. The first end is non-blocking.
std::pair<int, int> socket_pair();

// 0 or an errno value. The packet is `head` followed by `blob`; fd -1: none.
int send_packet(int socket, std::span<const std::byte> head, std::span<const std::byte> blob, int fd = -1) noexcept;

// Its size; 0 at the end of the connection; -1 if there is nothing (EAGAIN) or a signal came (EINTR). A descriptor that
// came along is put into `fd` (close-on-exec), else -1. A packet that is larger than the buffer is an end.
ssize_t receive_packet(int socket, std::span<std::byte> buffer, int &fd) noexcept;

void close_if_open(int fd) noexcept;

} // namespace norma::rt
