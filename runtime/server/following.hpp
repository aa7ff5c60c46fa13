// SPDX-License-Identifier: BSD-3-Clause
// Memory that follows a task which has moved here with all its threads (docs/migration.md): what lies on the nodes
// where the task has been, and no task there uses, is brought here a portion at a time, while the task runs; then the
// homes of what no task there uses. Or copies of it come before the task does. A convenience: what is touched comes at
// once, and what cannot be had now stays where it is.
#pragma once

#include "runtime/server/router.hpp"
#include "runtime/server/task.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace norma::rt {

class Node;

class Following {
  public:
    explicit Following(Node &node) : node_(node) {}

    void begin(Task &task); // which has come
    void end(TaskId task) { trails_.erase(task); }
    // Brings here what one node has of a stretch, which is in use here, and if wanted the object's home.
    void fetch(const Stretch &stretch, dsm::NodeId from, bool home, std::function<void(std::int32_t status)> done);
    // Brings copies here of what these nodes have of stretches that are in use here, for a task that is to come; the
    // task remembers what it is to have for writing. `done`: so many pages were not here.
    void copy(TaskId task, const std::vector<Stretch> &stretches, const dsm::NodeSet &from,
              std::function<void(std::uint64_t pages)> done);
    std::uint64_t bytes(TaskId task) const; // that are still to come, about; 0 of a task that nothing follows

    // At a node where a task has been.
    void serve(const Request &request, const Done &done) const;
    // How many processes have the stretch that have yet to be ended, since their threads go on elsewhere.
    unsigned left_behind(const Stretch &stretch) const;

  private:
    struct Piece { // what one node has of a stretch
        dsm::NodeId from = 0;
        Stretch stretch;
        dsm::PageIndex next = 0, end = 0;
        std::uint64_t bytes = 0; // of the object, when it was asked last
    };
    struct Trail {
        std::deque<CopiedPages> copied; // to be had for writing, before the pieces
        std::deque<Piece> pieces;       // the first is being fetched, once all have been weighed
        std::size_t unweighed = 0;
        bool asked_for_homes = false;
        std::size_t homes = 0; // that have been asked for, when there are no pieces left
        // Of what no task has asked for:
        std::optional<dsm::ObjectId> home; // that is to come, too
        std::int32_t status = 0;           // of that
        std::optional<TaskId> copies_for;  // copies are to come, not the pages
        std::uint64_t pages = 0;           // of these
        std::function<void(const Trail &trail)> done;
    };
    void add_pieces(Trail &trail, const Stretch &stretch, const dsm::NodeSet &from) const;
    std::vector<dsm::ObjectId> homes_wanted(TaskId task) const;
    void begin_weighing(TaskId task);
    void finish(TaskId task);
    void weigh(TaskId task, std::size_t place);
    void go_on(TaskId task);
    void heard(TaskId task, const Reply &reply);
    void note_copies(Trail &trail, const Stretch &stretch, std::vector<dsm::Batch> &batches);
    void ask_for_homes(TaskId task);
    bool used_here(const Stretch &stretch) const;

    Node &node_;
    std::map<TaskId, Trail> trails_;
    TaskId next_errand_ = TaskId{0xffff} << 48; // the name of a trail that is no task's: no node has this number
};

} // namespace norma::rt
