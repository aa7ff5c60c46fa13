// SPDX-License-Identifier: BSD-3-Clause
// A job that goes on from a checkpoint (docs/checkpoint.md). Every node gets from the launcher what it needs of it:
// memory is made and filled at its home, and its addresses are kept free for it; node 0 then makes the tasks, wherever
// they are to be, as if they moved there from it. All tasks and objects have new names; the rights that tasks have to
// them are to the new ones.
#pragma once

#include "runtime/checkpoint.hpp"
#include "runtime/server/image.hpp"
#include "runtime/server/node.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace norma::rt {

class Restoration {
  public:
    using Done = std::function<void(const std::string &why)>; // empty: it has been done
    explicit Restoration(Node &node) : node_(node) {}
    Restoration(const Restoration &) = delete;
    Restoration &operator=(const Restoration &) = delete;
    ~Restoration() = default;

    void take(const checkpoint::Piece &piece, const Done &done);
    // Node 0: there are no more pieces.
    void make_tasks(Done done);

  private:
    struct Memory {
        Stretch stretch; // in this job
        std::uint64_t pages = 0;
    };
    struct Made {
        checkpoint::SavedTask saved;
        TaskImage image;
        dsm::NodeId where = 0;
        Right child{};
    };

    // ---- restoration.cpp: at every node ----
    std::string take_job(const checkpoint::Piece &piece);
    std::string take_stretches(const checkpoint::Piece &piece);
    std::string take_pages(const checkpoint::Piece &piece);
    std::string take_task(const checkpoint::Piece &piece);
    std::string take_ends(const checkpoint::Piece &piece);
    std::string take_sync(const checkpoint::Piece &piece);
    std::string make_memory(const checkpoint::SavedStretch &saved, const Stretch &wanted);

    // ---- restoration_names.cpp: what things are called now ----
    std::string name_tasks();
    Right renamed(const Right &right);
    Right new_task_of(TaskId old) const; // kind none: there was none
    std::string rename(Made &made);
    void rename(SavedSync &object) const;

    // ---- restoration_tasks.cpp: at node 0 ----
    void each(std::size_t next, void (Restoration::*action)(Made &, const Done &), void (Restoration::*then)());
    void make(Made &made, const Done &done);
    void furnish(Made &made, const Done &done);
    void make_room(const Made &made, const Done &done);
    void name_and_furnish();
    void give_sync();
    void end_preparation();
    void resume_all();
    void all_run();
    void call_all(std::vector<std::pair<dsm::NodeId, Request>> requests, const char *what, void (Restoration::*then)());

    Node &node_;
    Done done_; // of make_tasks()
    std::optional<checkpoint::Job> job_;
    std::map<Stretch, Memory> memory_;                                 // by what it was
    std::map<std::pair<dsm::NodeId, std::uint32_t>, Memory> by_place_; // by node and number there
    std::vector<std::uint32_t> listed_;                                // how many stretches of each node
    std::vector<std::uint64_t> serials_;                               // how many objects each node has made
    std::vector<Stretch> used_;                                        // here, until the tasks have them
    std::vector<Made> tasks_;
    std::map<TaskId, checkpoint::SavedEnd> ends_;
    std::map<TaskId, Right> names_;                     // of tasks, by what they were called
    std::map<std::uint64_t, std::uint64_t> identities_; // of threads, likewise
    std::vector<std::pair<dsm::NodeId, SavedSync>> sync_;
    std::uint64_t unknown_objects_ = 0;
};

} // namespace norma::rt
