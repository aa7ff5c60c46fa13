// SPDX-License-Identifier: BSD-3-Clause
// What a node does for another one that leaves the job (docs/draining.md): it holds back what it would ask there, takes
// over memory, and as the successor what the other's services know.
#pragma once

#include "runtime/server/router.hpp"
#include "runtime/server/services.hpp"

#include <cstddef>
#include <map>
#include <vector>

namespace norma::rt {

class Node;

class Succession {
  public:
    explicit Succession(Node &node) : node_(node) {}

    void serve_hold(const Request &request, const Done &done);
    void serve_adopt(const Request &request, const Done &done);
    void serve_entrust(const Request &request, const Done &done);
    // The launcher has said so: what the node has entrusted is this node's. Throws std::runtime_error: it has not.
    void serve(dsm::NodeId node);
    // It has died, or stays.
    void forget(dsm::NodeId node);

  private:
    void let_go(dsm::NodeId node);

    Node &node_;
    std::map<dsm::NodeId, std::vector<std::byte>> arriving_; // a part of it
    std::map<dsm::NodeId, Services> entrusted_;              // all of it, until the node has left
};

} // namespace norma::rt
