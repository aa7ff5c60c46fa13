// SPDX-License-Identifier: BSD-3-Clause
// Joins the pure synchronisation service to the node server: keeps who is to be answered, and the clock.
#pragma once

#include "runtime/server/router.hpp"
#include "runtime/sync.hpp"

#include <cassert>
#include <map>
#include <set>

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
    // A task that has ended, and what may be on its way from the dead node of its parent, of whose death this node has
    // yet to hear, says still that it is to have what the parent had.
    void never_takes_over(TaskId task, dsm::NodeId parent) { over_[parent].insert(task); }
    bool is_known_to_be_over(TaskId task) const;
    void node_died(dsm::NodeId node);
    void abort(std::uint64_t thread, std::int32_t status);
    std::vector<SavedSync> save() const { // for a checkpoint: nobody waits
        assert(home_.waiting() == 0);
        return home_.save();
    }
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
    std::map<dsm::NodeId, std::set<TaskId>> over_; // by the node of their parents
};

} // namespace norma::rt
