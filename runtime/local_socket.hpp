// SPDX-License-Identifier: BSD-3-Clause
// Local sockets with abstract names (unix(7)): a name goes with the process that has it, however that ends. As anybody
// may bind and connect to such a name, both sides look at who the other is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace norma::rt {

// All descriptors are close-on-exec and non-blocking; a type is SOCK_STREAM or SOCK_SEQPACKET. Each: -1, and errno.
int listen_as(const std::string &name, int type, int backlog);
int connect_to(const std::string &name, int type);

// Of all users, without the zero in front.
std::vector<std::string> names_listened_at();

// Eight bytes of a name that others cannot take first, as hexadecimal digits.
std::string random_part();

// Whoever has connected, or listens where one has connected to. No value: the kernel does not say.
struct Peer {
    pid_t pid = 0; // 0: of a name space that cannot be seen from here
    uid_t user = 0;
};
std::optional<Peer> peer_behind(int fd);

// Takes a number with a '-' behind it off the front of a name. False: there is none.
bool take_number(std::string_view &text, unsigned &number);
bool take_number(std::string_view &text, int &number);

} // namespace norma::rt
