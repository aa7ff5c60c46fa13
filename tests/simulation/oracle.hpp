// SPDX-License-Identifier: BSD-3-Clause
// The observer outside the system: it knows every write, who holds which lock, who has arrived at a barrier, and judges
// what threads see. It goes by addresses, by which tasks are to share memory, and by the simulation's own time, not by
// anything the system under test says.
#pragma once

#include "rpc/transport.hpp"

#include <bitset>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace norma::sim {

using rpc::NodeId;
using PageNumber = std::uint64_t; // of an address

// The bytes of a page: where it was allocated, of which memory it is, and which write made it. All 0: zeros.
struct Content {
    std::uint64_t page = 0;
    std::uint64_t version = 0;
    std::uint64_t memory = 0;
    bool operator==(const Content &) const = default;
};

// Tasks of one view see the same memory at the same address: a task and its clones. A child by inheritance has another,
// which shares some of it.
using View = std::uint32_t;
enum class Inheritance : std::uint8_t { none, share, copy };
struct Inherited {
    PageNumber first = 0;
    std::uint64_t pages = 0;
    Inheritance how = Inheritance::none;
};

class Oracle {
  public:
    explicit Oracle(std::function<void(const std::string &)> wrong) : wrong_(std::move(wrong)), views_(1) {}

    // Pages of a new region, whose home is known from its address.
    void fresh(View view, PageNumber first, std::uint64_t count, NodeId home);
    void holds(View view, PageNumber page, NodeId node); // the node has it mapped
    Content write(View view, PageNumber page, NodeId node, const Content &seen);
    void read(View view, PageNumber page, NodeId node, const Content &seen);
    void poisoned(View view, PageNumber page, NodeId node);
    void node_died(NodeId node) { dead_.set(node); }
    bool home_is_dead(View view, PageNumber page) const;
    bool knows(View view, PageNumber page) const { return views_.at(view).contains(page); }

    // A child by inheritance is asked for, and has come: its copies are of one moment in between.
    View copying(View parent, const std::vector<Inherited> &parts);
    void copied(View child);
    // What one view has at some pages another has now too, at `at`.
    void shared(View from, PageNumber first, std::uint64_t count, View with, PageNumber at);

    void locked(std::uint64_t mutex, std::uint64_t actor);
    void unlocks(std::uint64_t mutex, std::uint64_t actor);
    std::uint64_t holder(std::uint64_t mutex) const; // 0: nobody
    bool has_lock(std::uint64_t actor) const;
    void actor_ended(std::uint64_t actor);
    void arrives(unsigned round) { ++arrived_[round]; }
    void passes(unsigned round, unsigned participants);

    std::uint64_t reads() const { return reads_; }
    std::uint64_t writes() const { return writes_; }
    std::uint64_t poisons() const { return poisons_; }
    std::uint64_t old_reads() const { return old_reads_; } // of copies whose original had been written since
    std::uint64_t writes_meanwhile() const { return writes_meanwhile_; }

  private:
    using Nodes = std::bitset<rpc::kMaxNodes>;
    // What is known of the moment of a snapshot; a read of a copy can narrow it down.
    struct Moment {
        std::uint64_t earliest = 0, latest = 0;
    };
    struct Record {
        PageNumber place = 0; // where it, or what it is a copy of, was allocated
        std::uint64_t memory = 0;
        NodeId home = 0;
        NodeId writer = 0;
        Nodes mapped;
        std::vector<std::uint64_t> writes; // when each was made
        std::shared_ptr<Record> source;    // of a copy, as it was at the moment
        std::shared_ptr<Moment> moment;
    };
    Record *find(View view, PageNumber page);
    void judge(PageNumber page, NodeId node, const Content &seen, const Record &record);
    bool fits(const Content &seen, const Record &record, Moment *moment);
    bool may_be_lost(const Record &record) const;

    std::function<void(const std::string &)> wrong_;
    std::vector<std::unordered_map<PageNumber, std::shared_ptr<Record>>> views_;
    std::map<View, std::shared_ptr<Moment>> copying_; // of those that are being made
    std::uint64_t now_ = 0, next_memory_ = 1;
    std::map<std::uint64_t, std::uint64_t> holders_; // of locks: actor
    std::map<unsigned, unsigned> arrived_;           // at a barrier, by round
    Nodes dead_;
    std::uint64_t reads_ = 0, writes_ = 0, poisons_ = 0, old_reads_ = 0, writes_meanwhile_ = 0;
};

} // namespace norma::sim
