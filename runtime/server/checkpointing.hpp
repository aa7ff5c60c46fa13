// SPDX-License-Identifier: BSD-3-Clause
// A node server's part in a checkpoint (docs/checkpoint.md): it stops its tasks, takes snapshots of the memory with its
// home here, notes what else there is, lets the tasks go on, and then is read, piece by piece. What the launcher says
// decides what comes next; whatever fails, it says so, and is told to let the tasks go on.
#pragma once

#include "runtime/checkpoint.hpp"
#include "runtime/launch.hpp"
#include "runtime/server/node.hpp"

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace norma::rt {

class Checkpointing {
  public:
    using Say = std::function<void(const launch::Record &)>; // to the launcher
    Checkpointing(Node &node, Say say) : node_(node), say_(std::move(say)) {}
    Checkpointing(const Checkpointing &) = delete;
    Checkpointing &operator=(const Checkpointing &) = delete;
    ~Checkpointing() = default;

    void take_step(const launch::TakeStep &order);
    void read(const launch::CheckpointRead &wanted);

  private:
    // A task whose threads have all stopped, as it says itself.
    struct Stopped {
        std::vector<StoppedThread> threads;
        std::uint64_t registers = 0;
        std::vector<std::byte> process;
    };
    using Found = std::vector<std::pair<TaskId, std::uint64_t>>; // which threads have stopped
    struct Snapshot {
        checkpoint::SavedStretch of;
        std::uint64_t number = 0;
    };

    // ---- checkpointing.cpp ----
    void reached(launch::CheckpointStep step, const std::string &why, bool changed = false);
    void let_go_on();
    void drop();
    void release(const std::vector<Snapshot> &snapshots);

    // ---- checkpointing_stop.cpp ----
    void stop();
    void look();
    void look_again(const std::string &why_not);
    void gather(Task &task);
    void gathered(TaskId id, const Ack &ack);
    void asked_all();
    void all_stopped();
    void withdraw_waits(const Task &task, std::span<const StillRunning> running);
    Found found() const;

    // ---- checkpointing_take.cpp ----
    void take();
    void take_snapshots();
    std::string note_all();
    std::string note_task(const Task &task, const Stopped &stopped);

    // ---- checkpointing_read.cpp ----
    void say_pieces();
    void next_pages();
    void bring(dsm::Batch wanted);
    void say_failure(std::string_view why);
    void say_pages(dsm::PageIndex base, std::uint64_t mask);

    Node &node_;
    Say say_;
    std::uint64_t number_ = 0; // of the checkpoint
    std::uint64_t turn_ = 0;   // of the step: what comes back from an earlier one is too late
    Clock::time_point deadline_;

    std::map<TaskId, Stopped> stopped_;
    Found last_found_;
    std::size_t open_ = 0;   // answers awaited
    std::string still_runs_; // why not all have stopped; empty: they have
    std::string refused_;    // why it cannot be

    std::vector<Snapshot> snapshots_;
    std::vector<checkpoint::Piece> pieces_; // without the pages
    // What is read next.
    bool reading_ = false;
    std::size_t piece_ = 0, snapshot_ = 0;
    std::vector<bool> content_; // of that snapshot; empty: not known yet
    dsm::PageIndex page_ = 0;
};

} // namespace norma::rt
