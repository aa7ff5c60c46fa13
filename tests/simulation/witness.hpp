// SPDX-License-Identifier: BSD-3-Clause
// Watches the coherence messages between nodes from outside, and recognises the rare situations by what a node answers.
#pragma once

#include "runtime/server/wire.hpp"
#include "tests/simulation/probes.hpp"
#include "tests/simulation/trace.hpp"

#include <map>
#include <set>
#include <tuple>

namespace norma::sim {

class Witness {
  public:
    Witness(Probes &probes, Trace &trace) : probes_(probes), trace_(trace) {}

    static bool is_coherence(std::span<const std::byte> record);
    // Returns the coherence messages of the record.
    std::vector<rt::Coherence> sent(dsm::NodeId from, dsm::NodeId to, std::span<const std::byte> record);
    // Around a node's handling of a record, and of the news that another has died.
    void begins(dsm::NodeId self, dsm::NodeId from, std::span<const std::byte> record);
    void begins_death(dsm::NodeId self, dsm::NodeId dead);
    void ends();

  private:
    using Coherence = rt::Coherence;
    using Key = std::tuple<dsm::NodeId, dsm::ObjectId, std::uint64_t>;
    static std::vector<Coherence> messages(std::span<const std::byte> record);
    void judge(const Coherence &handled);
    void judge_data(const Coherence &handled);
    void judge_death();
    bool answered(dsm::MsgType type, const Coherence &about) const;

    Probes &probes_;
    Trace &trace_;
    dsm::NodeId self_ = 0, dead_ = 0;
    bool handling_ = false, death_ = false;
    std::vector<Coherence> handled_, answers_;
    std::set<Key> failed_;                      // node, object, request: told that it failed
    std::map<Key, std::uint64_t> newest_;       // node, object, page: the newest transaction heard of
    std::map<Key, dsm::NodeId> promised_write_; // home, object, transaction: to whom, until it is done
};

} // namespace norma::sim
