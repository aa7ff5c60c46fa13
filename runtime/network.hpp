// SPDX-License-Identifier: BSD-3-Clause
// TCP connections between the launcher and the joiners of other hosts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace norma::rt {

// Where to listen or connect: "192.0.2.1:4000", "host", "[::1]:4000".
struct Endpoint {
    std::string host;
    std::string port; // empty: none is given
};
// Throws std::invalid_argument with a message that names the text.
Endpoint parse_endpoint(std::string_view text);
std::string format_endpoint(const Endpoint &endpoint);

// All descriptors are close-on-exec and non-blocking.

// Throws std::runtime_error. Without a port the system chooses one.
int listen_at(const Endpoint &endpoint);
// At all addresses of this host, at a port of the system's choice.
int listen_anywhere();
// At which other hosts may reach it: not the loopback device's, which come last, and are for this one.
std::vector<Endpoint> addresses_of(int listener);
bool is_loopback(const Endpoint &endpoint);
// The next connection; -1: there is none.
int accept_from(int listener);
// Begins to connect, with each attempt to another one of its addresses; the descriptor is ready for writing once it has
// been decided. -1, and errno, if it has been already. Throws std::runtime_error if there is nothing to attempt.
int begin_to_connect(const Endpoint &endpoint, unsigned attempt);
// 0 or an errno value: how the connecting ended.
int connect_outcome(int fd);

Endpoint local_endpoint(int fd);
Endpoint remote_endpoint(int fd);

} // namespace norma::rt
