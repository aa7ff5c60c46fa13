// SPDX-License-Identifier: BSD-3-Clause
// What libnorma does for a task that moves with all its threads (runtime/client/migration.cpp). Here also is seen who
// goes on twice, or without the others, or is left behind.
#include "tests/simulation/process.hpp"
#include "tests/simulation/world.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace norma::sim {

namespace {

constexpr std::uint64_t kRegisters = 7; // that the processors of all nodes have

template <class Value> void append(std::vector<std::byte> &bytes, const Value &value) {
    const auto more = std::as_bytes(std::span(&value, 1));
    bytes.insert(bytes.end(), more.begin(), more.end());
}

} // namespace

void Process::halt(Actor &actor) {
    actor.halt();
    halted_.insert(actor.id);
}

// Some are in a library, and cannot be stopped yet.
Process::Done Process::gather(bool first) {
    if (first) {
        gathering = true;
        outcome = rt::kWithdrawn;
        halted_.clear();
    }
    Done running{.error = EAGAIN, .value = 0, .blob = {}};
    for (const auto id : actors) {
        auto &actor = *world_.actor(id);
        if (!actor.halted && actor.can_halt() && !world_.random.chance(150)) {
            halt(actor);
        } else if (!actor.halted) {
            append(running.blob, rt::StillRunning{.tid = actor.tid, .pc = 1, .where = {}});
        }
    }
    return running.blob.empty() ? all_halted() : running;
}

Process::Done Process::all_halted() {
    Done done{.error = 0, .value = kRegisters, .blob = {}};
    append(done.blob, rt::Stopped{.threads = actors.size(), .shares_files = 0});
    for (const auto id : actors) {
        append(done.blob, rt::StoppedThread{.tid = world_.actor(id)->tid, .state = id});
    }
    append(done.blob, pid);
    world_.moves[pid].arriving = arriving;
    return done;
}

void Process::go_on(std::int32_t status) {
    gathering = false;
    outcome = status;
    for (const auto id : std::exchange(halted_, {})) {
        auto &actor = *world_.actor(id);
        if (actor.process != this) {
            world_.fail(fmt::format("thread {} goes on in process {}, and went on elsewhere before", id, pid));
            return;
        }
        actor.go_on();
    }
}

Process::Done Process::make_threads(const rt::Packet<rt::CommandHead> &command) {
    if (command.head.args[1] != kRegisters || command.blob.size() != sizeof former_ || room_ != 0) {
        return {.error = EINVAL, .value = 0, .blob = {}};
    }
    std::memcpy(&former_, command.blob.data(), sizeof former_);
    room_ = command.head.args[0];
    auto &move = world_.moves[former_];
    move.children.push_back(pid);
    arriving = move.arriving;
    return {};
}

Process::Done Process::carry_on(std::span<const std::byte> bytes) {
    std::vector<std::uint64_t> states(bytes.size() / sizeof(std::uint64_t));
    std::memcpy(states.data(), bytes.data(), states.size() * sizeof(std::uint64_t));
    Done done;
    if (!may_go_on(states)) {
        return done;
    }
    world_.probes.hit(Probe::threads_moved_together, states.size() > 1 ? 1 : 0);
    for (const auto id : states) {
        auto &actor = *world_.actor(id);
        world_.probes.hit(Probe::moved_with_a_lock, world_.oracle.has_lock(id) ? 1 : 0);
        actor.move_to(*this);
        append(done.blob, actor.tid);
    }
    return done;
}

// All threads of the former process and no others, and none of them elsewhere.
bool Process::may_go_on(const std::vector<std::uint64_t> &states) {
    const auto *former = world_.process(former_);
    if (room_ != states.size()) {
        world_.fail(fmt::format("process {} has room for {} threads, and gets {}", pid, room_, states.size()));
        return false;
    }
    for (const auto id : states) {
        const auto *actor = world_.actor(id);
        if (actor == nullptr || !actor->halted || actor->process != former) {
            world_.fail(
                fmt::format("thread {} is to go on in process {}, and is not halted in process {}", id, pid, former_));
            return false;
        }
    }
    if (former != nullptr && former->actors != std::set(states.begin(), states.end())) {
        world_.fail(fmt::format("a thread of process {} is left behind", former_));
        return false;
    }
    return true;
}

} // namespace norma::sim
