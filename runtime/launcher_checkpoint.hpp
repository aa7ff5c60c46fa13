// SPDX-License-Identifier: BSD-3-Clause
// The launcher's part in a checkpoint (docs/checkpoint.md): it has all nodes do the same step before any does the next,
// and hands on what is read afterwards. One at a time. Whatever goes wrong, the job goes on, and nothing is kept.
#pragma once

#include "runtime/launch.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace norma::rt {

class CheckpointRun {
  public:
    using Ask = std::function<void(std::size_t node, const launch::Record &)>;
    using Answer = std::function<void(const launch::Record &)>; // who wants the checkpoint

    bool idle() const { return state_ == State::idle; }
    // All nodes have to be alive.
    void begin(std::uint64_t number, std::size_t nodes, Ask ask, Answer answer);
    void read(const launch::CheckpointRead &wanted);
    void end(); // nobody wants it any more

    void reached(std::size_t node, const launch::CheckpointReached &answer);
    void piece(std::size_t node, const launch::CheckpointPiece &piece);
    void node_ended(std::size_t node);

  private:
    using Clock = std::chrono::steady_clock;
    enum class State : std::uint8_t { idle, stop, take, go_on, taken };

    void step(State state, launch::CheckpointStep what);
    void all_reached();
    void undo(const std::string &why);
    void ask_all(launch::CheckpointStep what);

    State state_ = State::idle;
    std::uint64_t run_ = 0;    // what node servers know it by
    std::uint64_t number_ = 0; // the client's
    std::set<std::size_t> alive_, awaited_;
    std::set<std::size_t> reading_; // nodes that have been asked for a piece
    Ask ask_;
    Answer answer_;
    Clock::time_point begun_;
    bool changed_ = false; // in this round
    std::string why_;      // it is being undone
};

} // namespace norma::rt
