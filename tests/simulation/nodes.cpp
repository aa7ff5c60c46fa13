// SPDX-License-Identifier: BSD-3-Clause
// The machines of a run: node servers with their loops, processes, threads.
#include "tests/simulation/world.hpp"

#include <algorithm>
#include <utility>

namespace norma::sim {

namespace {

// How much slower a slow node is.
constexpr Nanoseconds kSlow = 100;

} // namespace

int World::add_loop(rt::Loop &loop) {
    loops_.push_back({.loop = &loop, .node = running_, .awake = false});
    return static_cast<int>(loops_.size() - 1);
}

void World::remove_loop(int number) {
    loops_[static_cast<std::size_t>(number)].loop = nullptr;
    fds.close_watched(number);
}

void World::wake_soon(int loop) {
    auto &record = loops_[static_cast<std::size_t>(loop)];
    if (record.awake) {
        return;
    }
    record.awake = true;
    const auto most = plan.turn * (hosts_[record.node].slow ? kSlow : 1);
    scheduler.after(random.between(200, 200 + most), [this, loop] { turn(loop); });
}

void World::wake_at(int loop, Nanoseconds delay) {
    scheduler.after(delay, [this, loop] {
        if (loops_[static_cast<std::size_t>(loop)].loop != nullptr) {
            wake_soon(loop);
        }
    });
}

void World::send_notices(int loop) {
    auto &record = loops_[static_cast<std::size_t>(loop)];
    if (record.loop != nullptr && record.loop->has_notices()) {
        as(record.node, [&] { record.loop->send_notices(); });
    }
}

void World::turn(int loop) {
    auto &record = loops_[static_cast<std::size_t>(loop)];
    record.awake = false;
    if (record.loop != nullptr) {
        as(record.node, [&] { record.loop->run(); });
    }
}

void World::start_node(NodeId number, std::uint32_t incarnation) {
    rt::Config config;
    config.transport = "sim";
    config.call_timeout = std::chrono::seconds(600);
    config.stack_size = 64 * 1024;
    config.tasks = 4096;
    config.window_base = std::uint64_t{1} << 40;
    config.window_size = std::uint64_t{1} << 38;
    config.memory = std::uint64_t{1} << 30;
    config.prefetch = plan.prefetch;
    auto &host = hosts_[number];
    as(number, [&] {
        host.loop = static_cast<int>(loops_.size());
        host.node = std::make_unique<rt::Node>(number, rt::JobSize{.nodes = plan.nodes}, incarnation, config);
        host.node->start({.self = number, .kind = "sim", .job_key = 0x5eed, .incarnation = incarnation});
        host.children = fds.add_signal();
        host.node->loop.watch(host.children, [this, number](std::uint32_t) {
            fds.clear(hosts_[number].children);
            node(number)->reap();
        });
    });
}

// The node server and its tasks are gone from one moment to the next.
void World::stop_node(NodeId number) {
    auto &host = hosts_[number];
    std::vector<pid_t> pids;
    for (const auto &[pid, process] : processes_) {
        if (process->node == number) {
            pids.push_back(pid);
        }
    }
    for (const auto pid : pids) {
        end_by_force(pid);
    }
    as(number, [&] { host.node.reset(); });
    host.dead = true;
}

pid_t World::add_process(int control) {
    const auto pid = next_pid_++;
    auto process = std::make_unique<Process>(*this, pid, running_, control);
    process->start();
    processes_[pid] = std::move(process);
    return pid;
}

Process *World::process(pid_t pid) {
    const auto found = processes_.find(pid);
    return found == processes_.end() ? nullptr : found->second.get();
}

std::set<pid_t> World::all_processes() const {
    std::set<pid_t> pids;
    for (const auto &[pid, process] : processes_) {
        pids.insert(pid);
    }
    return pids;
}

void World::end_process(pid_t pid, int status) {
    const auto found = processes_.find(pid);
    if (found == processes_.end()) {
        return;
    }
    auto process = std::move(found->second);
    processes_.erase(found);
    trace(process->node, "process ends", static_cast<std::uint64_t>(pid), static_cast<std::uint64_t>(status));
    probes.hit(Probe::fault_in_a_dying_task, process->space->anyone_waits() ? 1 : 0);
    for (const auto id : std::set<std::uint64_t>(process->actors)) {
        if (actor(id)->saved && !(actor(id)->halted && status == 0)) {
            actor(id)->process_gone();
        } else {
            remove_actor(id);
        }
    }
    auto &host = hosts_[process->node];
    fault_fds_.erase(pid);
    process.reset();
    if (host.node != nullptr) {
        host.ended.push_back({.pid = pid, .status = status, .cpu = {}});
        fds.signal(host.children);
    }
}

void World::end_by_force(pid_t pid) {
    ended_by_force_.insert(pid);
    end_process(pid, 9);
}

std::optional<rt::Processes::End> World::next_end() {
    auto &ended = hosts_[running_].ended;
    if (ended.empty()) {
        return std::nullopt;
    }
    const auto first = ended.front();
    ended.erase(ended.begin());
    return first;
}

int World::add_fault_descriptor(pid_t pid, std::shared_ptr<AddressSpace> space) {
    return fault_fds_[pid] = fds.add(std::move(space));
}

void World::fault_waits(pid_t pid) {
    if (const auto found = fault_fds_.find(pid); found != fault_fds_.end()) {
        fds.signal(found->second);
    }
}

// A region's first mapping is at its home: there its pages are new.
bool World::is_new(const AddressSpace::Mapping &mapping) const {
    const auto &pager = node(mapping.file->node())->pager;
    bool at_home = false;
    pager.for_each_core([&](const dsm::State &core) {
        at_home = at_home || (core.is_home() && fds.file(pager.frames_fd(core.object())) == mapping.file);
    });
    return at_home && !mapping.file->was_mapped();
}

Actor &World::add_actor(Process &process, std::uint64_t entry, std::uint64_t argument) {
    const auto id = next_actor_++;
    const bool dispensable = entry == kProgramHelper || entry == kProgramChild;
    auto &made = *(actors_[id] = std::make_unique<Actor>(*this, id, process, view_of(entry, argument), dispensable));
    trace(process.node, "thread starts", id, entry, argument);
    made.start(make_program(made, entry, argument));
    return made;
}

Actor *World::actor(std::uint64_t id) {
    const auto found = actors_.find(id);
    return found == actors_.end() ? nullptr : found->second.get();
}

void World::remove_actor(std::uint64_t id) {
    actors_.erase(id);
}

void World::thread_over(Actor &actor) {
    trace(actor.process->node, "thread ends", actor.id);
    actor.process->say(rt::TaskMsg::thread_ended, {actor.tid, 0, 0}, {}, -1);
    remove_actor(actor.id);
}

} // namespace norma::sim
