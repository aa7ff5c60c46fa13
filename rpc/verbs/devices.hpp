// SPDX-License-Identifier: BSD-3-Clause
// Which RDMA device, port and GID to use. Connections are made by IP address (librdmacm), so what can be used is a GID
// that is an IP address: all GIDs of RoCE v2 are.
#pragma once

#include "rpc/transport.hpp"
#include "rpc/verbs/provider.hpp"

#include <netinet/in.h>
#include <string>
#include <vector>

namespace norma::rpc::verbs {

// One GID of one port: an address at which this machine can be reached over RDMA.
struct Candidate {
    std::string device;
    unsigned port = 0;
    unsigned gid_index = 0;
    ibv_gid gid{};
    bool active = false;  // the port
    bool roce_v2 = false; // the kind of GID
    unsigned mtu = 0;     // bytes
    unsigned interface = 0;

    bool ipv4() const;        // the GID is an IPv4 address
    std::string ip() const;   // "10.77.0.1"
    std::string text() const; // "rxe0 port 1 GID 1 (10.77.0.1, RoCE v2, MTU 1024, active)"
    // The socket address for a port number of librdmacm's.
    sockaddr_storage address(std::uint16_t cm_port) const;
};

std::vector<Candidate> find_candidates(Provider &provider);
// The best of those that the settings allow; throws std::runtime_error that says what is there if none will do.
const Candidate &choose(const std::vector<Candidate> &candidates, const VerbsSettings &settings);

} // namespace norma::rpc::verbs
