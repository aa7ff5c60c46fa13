// SPDX-License-Identifier: BSD-3-Clause
// The observer outside the system: it knows every write, who holds which lock, who has arrived at a barrier, and judges
// what threads see. It goes by addresses and by the simulation's own time, not by anything the system under test says.
#pragma once

#include "rpc/transport.hpp"

#include <bitset>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace norma::sim {

using rpc::NodeId;
using PageNumber = std::uint64_t; // of an address

// The bytes of a page: which page it is and which write made it. Both 0: zeros.
struct Content {
    std::uint64_t page = 0;
    std::uint64_t version = 0;
    bool operator==(const Content &) const = default;
};

class Oracle {
  public:
    explicit Oracle(std::function<void(const std::string &)> wrong) : wrong_(std::move(wrong)) {}

    // Pages of a new region, whose home is known from its address.
    void fresh(PageNumber first, std::uint64_t count, NodeId home);
    void holds(PageNumber page, NodeId node); // the node has the page's object mapped
    Content write(PageNumber page, NodeId node, const Content &seen);
    void read(PageNumber page, NodeId node, const Content &seen);
    void poisoned(PageNumber page, NodeId node);
    void node_died(NodeId node) { dead_.set(node); }
    bool home_is_dead(PageNumber page) const;

    void locked(std::uint64_t mutex, std::uint64_t actor);
    void unlocks(std::uint64_t mutex, std::uint64_t actor);
    void actor_ended(std::uint64_t actor);
    void arrives(unsigned round) { ++arrived_[round]; }
    void passes(unsigned round, unsigned participants);

    std::uint64_t reads() const { return reads_; }
    std::uint64_t writes() const { return writes_; }
    std::uint64_t poisons() const { return poisons_; }

  private:
    using Nodes = std::bitset<rpc::kMaxNodes>;
    struct Record {
        std::uint64_t version = 0;
        NodeId home = 0;
        NodeId writer = 0;
        Nodes mapped;
    };
    Record *find(PageNumber page);
    void judge(PageNumber page, NodeId node, const Content &seen, const Record &record);

    std::function<void(const std::string &)> wrong_;
    std::unordered_map<PageNumber, Record> pages_;
    std::map<std::uint64_t, std::uint64_t> holders_; // of locks: actor
    std::map<unsigned, unsigned> arrived_;           // at a barrier, by round
    Nodes dead_;
    std::uint64_t reads_ = 0, writes_ = 0, poisons_ = 0;
};

} // namespace norma::sim
