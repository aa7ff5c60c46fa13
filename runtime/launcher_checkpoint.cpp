// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_checkpoint.hpp"

#include <fmt/format.h>

namespace norma::rt {

using Step = launch::CheckpointStep;

void CheckpointRun::begin(std::uint64_t number, std::size_t nodes, Ask ask, Answer answer) {
    ++run_;
    number_ = number;
    ask_ = std::move(ask);
    answer_ = std::move(answer);
    why_.clear();
    reading_.clear();
    alive_.clear();
    for (std::size_t node = 0; node < nodes; ++node) {
        alive_.insert(node);
    }
    begun_ = Clock::now();
    step(State::stop, Step::stop);
}

void CheckpointRun::ask_all(Step what) {
    for (const auto node : alive_) {
        ask_(node, launch::TakeStep{.number = run_, .step = what});
    }
}

void CheckpointRun::step(State state, Step what) {
    state_ = state;
    changed_ = false;
    awaited_ = alive_;
    ask_all(what);
}

// What was asked of the nodes before is given up: they answer to the last step only.
void CheckpointRun::undo(const std::string &why) {
    why_ = why;
    step(State::go_on, Step::go_on);
}

void CheckpointRun::reached(std::size_t node, const launch::CheckpointReached &answer) {
    const bool asked = (state_ == State::stop && answer.step == Step::stop) ||
                       (state_ == State::take && answer.step == Step::take) ||
                       (state_ == State::go_on && answer.step == Step::go_on);
    if (answer.number != run_ || !asked || awaited_.erase(node) == 0) {
        return;
    }
    changed_ = changed_ || answer.changed;
    if (!answer.why.empty() && state_ != State::go_on) {
        undo(answer.why);
    } else if (awaited_.empty()) {
        all_reached();
    }
}

void CheckpointRun::all_reached() {
    switch (state_) {
    case State::stop: // who still ran may have made a thread or a task where all had stopped
        return changed_ ? step(State::stop, Step::stop) : step(State::take, Step::take);
    case State::take:
        return step(State::go_on, Step::go_on);
    case State::go_on:
        break;
    case State::idle:
    case State::taken:
        return;
    }
    const auto pause = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun_).count();
    state_ = why_.empty() ? State::taken : State::idle;
    if (!why_.empty()) {
        ask_all(Step::drop);
    }
    answer_(launch::CheckpointTaken{.number = number_,
                                    .nodes = static_cast<std::uint16_t>(alive_.size()),
                                    .pause_us = static_cast<std::uint64_t>(pause),
                                    .why = why_});
}

namespace {

launch::CheckpointPiece no_piece(std::uint64_t number, std::uint16_t node, const std::string &why) {
    launch::CheckpointPiece piece{.number = number, .node = node, .kind = 0, .bytes = {}};
    const auto text = std::as_bytes(std::span(why));
    piece.bytes.assign(text.begin(), text.end());
    return piece;
}

} // namespace

void CheckpointRun::read(const launch::CheckpointRead &wanted) {
    if (state_ != State::taken || !alive_.contains(wanted.node)) {
        answer_(no_piece(wanted.number, wanted.node, "its node server has ended"));
        return;
    }
    number_ = wanted.number;
    reading_.insert(wanted.node);
    ask_(wanted.node, launch::CheckpointRead{.number = run_, .node = wanted.node});
}

void CheckpointRun::piece(std::size_t node, const launch::CheckpointPiece &piece) {
    if (state_ != State::taken || piece.number != run_ || reading_.erase(node) == 0) {
        return;
    }
    auto to_client = piece;
    to_client.number = number_;
    to_client.node = static_cast<std::uint16_t>(node);
    answer_(to_client);
}

void CheckpointRun::node_ended(std::size_t node) {
    if (state_ == State::idle) {
        return;
    }
    alive_.erase(node);
    const bool awaited = awaited_.erase(node) != 0;
    const auto why = fmt::format("node {} has died", node);
    if (state_ == State::stop || state_ == State::take) {
        undo(why);
    } else if (state_ == State::go_on) {
        why_ = why; // what it has taken is gone
        if (awaited && awaited_.empty()) {
            all_reached();
        }
    } else if (reading_.erase(node) != 0) {
        answer_(no_piece(number_, static_cast<std::uint16_t>(node), "its node server has ended"));
    }
}

void CheckpointRun::end() {
    answer_ = [](const launch::Record &) {};
    if (state_ == State::taken) {
        state_ = State::idle;
        ask_all(Step::drop);
    } else if (state_ == State::stop || state_ == State::take) {
        undo("nobody wants it any more");
    } else if (state_ == State::go_on) {
        why_ = "nobody wants it any more";
    }
}

} // namespace norma::rt
