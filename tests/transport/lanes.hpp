// SPDX-License-Identifier: BSD-3-Clause
// The networks that the conformance suite is run over. A lane makes transports for the nodes of one test, and ends a
// node the way a crash would.
#pragma once

#include "rpc/transport.hpp"

#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace norma::rpc::test {

class Lane {
  public:
    virtual ~Lane() = default;
    virtual std::unique_ptr<Transport> make(const Options &options, Handlers handlers) = 0;
    // The node's process ends, without a word of its transport. In a lane of processes it does not return.
    virtual void die(NodeId self) = 0;
    // What the network has to complain about after all transports are gone; empty if nothing.
    virtual std::string complaints() { return {}; }
};

// What differs between networks, as far as a test must know.
struct Kind {
    std::string name;
    bool processes = true;         // each node is a process of its own; otherwise a thread
    bool blocks = true;            // event_fd() can be waited on
    bool refuses_early = false;    // a wrong peer is refused when it connects, rather than message by message
    bool misses_ends = false;      // a transport that ends in a process that lives on is not noticed
    bool misses_strangers = false; // a peer that was gone before connect() is not noticed
    unsigned divide = 1;           // counts and floods are that much smaller
};

// For GoogleTest, which would print the bytes, addresses among them.
inline void PrintTo(const Kind &kind, std::ostream *out) {
    *out << kind.name;
}

// Those that this machine can run. NORMA_TEST_VERBS=1 asks for real verbs where no device was found (and so fails
// rather than leaves them out).
std::vector<Kind> kinds();
std::unique_ptr<Lane> make_lane(const Kind &kind);

} // namespace norma::rpc::test
