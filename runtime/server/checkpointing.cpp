// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/checkpointing.hpp"

#include "norma/mach.h"

#include <memory>

namespace norma::rt {

using Step = launch::CheckpointStep;

void Checkpointing::take_step(const launch::TakeStep &order) {
    ++turn_;
    if (order.number != number_) { // the launcher has dropped the last one
        drop();
        let_go_on();
        number_ = order.number;
    }
    switch (order.step) {
    case Step::stop:
        return stop();
    case Step::take:
        return take();
    case Step::go_on:
        let_go_on();
        return reached(Step::go_on, "");
    case Step::drop:
        return drop();
    }
}

void Checkpointing::reached(Step step, const std::string &why, bool changed) {
    say_(launch::CheckpointReached{.number = number_, .step = step, .changed = changed, .why = why});
}

void Checkpointing::let_go_on() {
    node_.homes_stay = false;
    for (auto &[id, task] : node_.tasks) {
        if (std::exchange(task->held, false)) {
            node_.command(*task, Command::go_on, {KERN_SUCCESS}, [](const Ack &) {});
        }
    }
    stopped_.clear();
    last_found_.clear();
}

void Checkpointing::release(const std::vector<Snapshot> &snapshots) {
    for (const auto &snapshot : snapshots) {
        node_.release({.object = snapshot.of.stretch.object, .number = snapshot.number});
    }
}

void Checkpointing::drop() {
    release(std::exchange(snapshots_, {}));
    pieces_.clear();
    content_.clear();
    reading_ = false;
    piece_ = snapshot_ = page_ = 0;
}

} // namespace norma::rt
