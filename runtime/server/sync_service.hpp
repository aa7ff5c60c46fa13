// SPDX-License-Identifier: BSD-3-Clause
// Joins the pure synchronisation service to the node server: keeps who is to be answered, and the clock.
#pragma once

#include "runtime/server/router.hpp"
#include "runtime/sync.hpp"

#include <map>

namespace norma::rt {

class SyncService {
  public:
    SyncService(dsm::NodeId self, std::uint32_t incarnation, Loop &loop)
        : self_(self), home_(self, incarnation), loop_(loop) {}

    void create(const Request &request, const Done &done);
    void request(const Request &request, Done done);
    void queue_at(const SyncWord &word, const Request &request, const Done &done);
    void wake(const SyncWord &word, const Request &request, const Done &done);
    void task_died(TaskId task, bool cleanly);
    void thread_died(std::uint64_t thread);
    void task_moved(const TaskMove &move) { home_.task_moved(move); }
    void node_died(dsm::NodeId node);
    void abort(std::uint64_t thread, std::int32_t status);
    std::vector<SavedSync> save() const { return home_.save(); }
    std::int32_t restore(const SavedSync &saved) { return home_.restore(saved); }
    std::size_t waiting() const { return home_.waiting(); }
    // For when it goes to another node.
    void withdraw_all();
    const SyncHome &home() const { return home_; }
    void merge(SyncHome &&other) { home_.merge(std::move(other)); }
    bool waits_in(const dsm::ObjectId &object) const { return home_.waits_in(object); }

  private:
    using Key = std::pair<dsm::NodeId, std::uint64_t>; // node, call
    struct Pending {
        Waiter waiter;
        Done done;
        std::uint64_t timer; // 0: none
    };
    void deliver(Outcomes outcomes);
    template <class Match> void forget(Match match); // waits of the dead

    dsm::NodeId self_;
    SyncHome home_;
    Loop &loop_;
    std::map<Key, Pending> pending_;
};

} // namespace norma::rt
