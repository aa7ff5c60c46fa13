// SPDX-License-Identifier: BSD-3-Clause
// What the tasks of one node may use, and what they do use (docs/ledgers.md). Pure: the caller charges and releases.
#pragma once

#include "dsm/core/core.hpp"
#include "rpc/wire.hpp"
#include "runtime/right.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace norma::rt {

inline constexpr std::size_t kWired = 0, kPaged = 1, kNetwork = 2; // resources, in the order of task_create's array
inline constexpr std::size_t kResources = 3;

using LedgerId =
    std::uint64_t; // birth node 16 | its incarnation 16 | serial 32; the roots of all nodes: 1 .. kResources
inline constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

class Ledger;
using LedgerPtr = std::shared_ptr<Ledger>;
using Ledgers = std::array<LedgerPtr, kResources>; // what a task draws from, or what memory is charged to

// A ledger as other nodes hear of it: what it was given out of its parent's limit.
struct LedgerMark {
    LedgerId id = 0;
    std::uint64_t granted = 0;
    auto operator<=>(const LedgerMark &) const = default;
};
// From the ledger below the root down to the one that is meant; empty: the root.
using LedgerMarks = std::array<std::vector<LedgerMark>, kResources>;
inline constexpr std::size_t kDeepestLedger = 8;

class Ledger {
  public:
    Ledger(LedgerId id, std::size_t resource) : id_(id), resource_(resource) {} // a root
    Ledger(LedgerId id, LedgerPtr parent, std::uint64_t granted);

    LedgerId id() const { return id_; }
    const Key &key() const { return key_; } // of the rights to it; none: there are none yet
    void set_key(const Key &key) { key_ = key; }
    std::size_t resource() const { return resource_; }
    const LedgerPtr &parent() const { return parent_; } // null: a root
    std::uint64_t balance() const { return balance_; }
    std::uint64_t limit() const { return limit_; }
    std::uint64_t granted() const { return granted_; }
    bool terminated() const { return terminated_; }
    std::size_t depth() const { return depth_; } // 0: a root

    bool has_room(std::uint64_t bytes) const { return limit_ == kNoLimit || bytes <= unused(); }
    void charge(std::uint64_t bytes) { balance_ += bytes; } // also if there is no room
    void release(std::uint64_t bytes);

    // Gives a part of its limit to one below it, which exists (transfer) or is about to (grant). False: it has not as
    // much that is unused, or `bytes` cannot be had at all; then nothing has changed.
    bool grant(std::uint64_t bytes);
    bool transfer(Ledger &to, std::uint64_t bytes);
    // What is unused goes back to the parent, and later what is released. Who draws from it gets no more.
    void terminate();

  private:
    std::uint64_t unused() const { return limit_ - (balance_ < limit_ ? balance_ : limit_); }
    void take_back(std::uint64_t bytes);

    LedgerId id_;
    Key key_;
    std::size_t resource_;
    LedgerPtr parent_;
    std::size_t depth_ = 0;
    std::uint64_t balance_ = 0, limit_ = kNoLimit;
    std::uint64_t granted_ = kNoLimit; // in all, also what it has passed on since
    bool terminated_ = false;
};

// The ledgers of a node.
class LedgerBook {
  public:
    LedgerBook(dsm::NodeId self, std::uint32_t incarnation);

    const Ledgers &roots() const { return roots_; }
    LedgerPtr find(LedgerId id) const; // null: none, or terminated
    LedgerPtr create(const LedgerPtr &parent,
                     std::uint64_t granted); // null: the parent has not as much, or is too deep
    bool are_made() const;                   // here, and have not ended
    // What a task from anywhere draws from here. What is not known is made, from the limits of those above it. False:
    // they have not as much, or the marks contradict what is known; `ledgers` is then not to be used.
    bool draw(const LedgerMarks &marks, Ledgers &ledgers);

  private:
    LedgerPtr make(LedgerId id, const LedgerPtr &parent, std::uint64_t granted);
    LedgerPtr follow(const LedgerPtr &root, const std::vector<LedgerMark> &path);
    void forget_terminated();

    std::uint64_t next_id_;
    Ledgers roots_;
    std::map<LedgerId, LedgerPtr> ledgers_; // without the roots
};

LedgerMarks marks_of(const Ledgers &ledgers);

//   for each resource: count 4 | (id 8 | granted 8) ...
void put_marks(rpc::Writer &writer, const LedgerMarks &marks);
bool get_marks(rpc::Reader &reader, LedgerMarks &marks); // false: nothing that marks_of() makes

} // namespace norma::rt
