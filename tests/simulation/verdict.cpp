// SPDX-License-Identifier: BSD-3-Clause
// What has to be true when nothing moves any more, and again when all tasks are gone.
#include "rpc/sim/transport.hpp"
#include "tests/simulation/world.hpp"

#include "norma/mach.h"

#include <algorithm>

namespace norma::sim {

void World::judge_quiet() {
    for (const auto &[id, actor] : actors_) {
        if (actor->halted && actor->process == nullptr) {
            judge_nowhere(*actor);
            continue;
        }
        // Whoever would have let it go on may have died, or have been ended by the one who made it.
        const bool left_behind = actor->process == nullptr || actor->is_stopped();
        const bool may_be = deadly() || (actor->process != nullptr && actor->view != 0);
        if (!left_behind || !may_be) {
            fail(fmt::format("{} for ever", actor->describe()));
        }
    }
    if (network.in_flight() != 0) {
        fail(fmt::format("{} messages never arrive", network.in_flight()));
    }
    for (const auto &host : hosts_) {
        if (host.node != nullptr && error_.empty()) {
            judge_node(*host.node);
            judge_uses(*host.node);
            remember(*host.node);
        }
    }
    for (const auto &[pid, process] : processes_) {
        for (const auto &[first, mapping] : process->space->mappings()) {
            for (const auto &[page, content] : mapping.file->frames()) {
                mix(state_, first + page);
                mix(state_, content.version);
            }
        }
    }
}

// Its task was lost on its way: with the process that it had, before the move could not fail any more, or with the new
// one. Others than workers are ended by those who made them, too.
void World::judge_nowhere(const Actor &actor) {
    const auto &children = moves[actor.came_from_process].children;
    const bool lost = ended_by_force_.contains(actor.came_from_process) ||
                      std::ranges::any_of(children, [this](pid_t child) { return ended_by_force_.contains(child); });
    probes.hit(Probe::lost_on_the_move, lost ? 1 : 0);
    if (!lost && !actor.dispensable) {
        fail(fmt::format("thread {} goes on nowhere, although nobody has ended its task", actor.id));
    }
}

void World::remember(const rt::Node &node) {
    node.pager.for_each_core([&](const dsm::State &core) {
        for (const auto byte : core.canonical()) {
            mix(state_, byte);
        }
    });
    const auto &pages = node.pager.counters();
    const auto &wire = node.transport->counters();
    for (const auto count : {pages.faults_read, pages.faults_write, pages.zero_filled, pages.pages_in, pages.pages_out,
                             pages.poisoned, wire.sent, wire.received, wire.bytes_sent, wire.bytes_received}) {
        mix(state_, count);
    }
}

void World::judge_node(const rt::Node &node) {
    node.pager.for_each_core([&](const dsm::State &core) {
        const auto &id = core.object();
        const bool busy = core.pending_requests() + core.open_transactions() + core.queued_gets() != 0;
        if (busy) {
            fail(fmt::format("node {}, object {}.{}: {} requests, {} transactions, {} queued gets never end\n{}",
                             node.self, id.home, id.serial, core.pending_requests(), core.open_transactions(),
                             core.queued_gets(), core.describe()));
        }
        if (core.rejected() != 0) {
            fail(fmt::format("node {}, object {}.{}: {} messages of nodes that follow the protocol were rejected",
                             node.self, id.home, id.serial, core.rejected()));
        }
    });
    for (const auto &[id, task] : node.tasks) {
        if (task->awaited_by) {
            fail(fmt::format("node {}: task {:#x} was made for node {}, which never lets it go on", node.self, id,
                             *task->awaited_by));
        }
    }
    if (node.pager.threads_wait() || node.pager.has_notices()) {
        fail(fmt::format("node {}: its pager is not at rest", node.self));
    }
    if (node.bad_records != 0) {
        fail(fmt::format("node {} got {} bad records", node.self, node.bad_records));
    }
}

// Nothing is used that no task has: what a call that failed has left behind would stay as long as the object.
void World::judge_uses(const rt::Node &node) {
    for (const auto &[id, object] : node.objects) {
        for (const auto &[number, use] : object.stretches) {
            const rt::Stretch stretch{.object = id, .number = number};
            unsigned users = object.named && number == 0 ? 1 : 0;
            for (const auto &[task_id, task] : node.tasks) {
                users += task->map.maps(stretch) ? 1 : 0;
                for (const auto &[start, loan] : task->loans) {
                    users += std::any_of(loan.pieces.begin(), loan.pieces.end(),
                                         [&](const rt::MapEntry &piece) { return piece.stretch == stretch; })
                                 ? 1
                                 : 0;
                }
            }
            if (use.users != users) {
                fail(fmt::format("node {}: stretch {} of object {}.{} has {} users, but {} tasks have it", node.self,
                                 number, id.home, id.serial, use.users, users));
            }
            for (NodeId other = 0; other < plan.nodes && node.rehoming.home_of(id) == node.self; ++other) {
                const bool maps =
                    hosts_[other].node != nullptr && other != node.self && hosts_[other].node->in_use(stretch);
                if (use.mappers[other] != maps) {
                    fail(fmt::format("node {}: node {} {} stretch {} of object {}.{}", node.self, other,
                                     maps ? "is not known to map" : "is believed to map", number, id.home, id.serial));
                }
            }
        }
    }
}

// All or nothing: who could have had the call's result has it, whole, or was told that there is none.
void World::judge_drill() {
    if (!plan.drill || !error_.empty()) {
        return;
    }
    const auto died = [this](Drill::Victim who) { return drilled.struck && plan.drill->victim == who; };
    const auto call = plan.drill->call;
    const bool target_died = died(Drill::Victim::target) || died(Drill::Victim::child);
    // A task that has moved with all its threads does not need the node and the process where it was any more.
    const bool own_moves = call == Drill::Call::migrate, other_moves = call == Drill::Call::migrate_other;
    const bool left = drilled.struck_late && drilled.status == KERN_SUCCESS;
    const bool new_node_died = died(other_moves ? Drill::Victim::third : Drill::Victim::target);
    const bool lost = drilled.gone && (new_node_died || died(Drill::Victim::child));
    const bool caller_died = (died(Drill::Victim::source) || died(Drill::Victim::caller)) && !(own_moves && left);
    const bool excused = caller_died || (call == Drill::Call::teleport && target_died) || (own_moves && lost);
    const bool other_died = (died(Drill::Victim::target) || died(Drill::Victim::other)) && !left;
    if (other_moves && !other_died && !lost && !drilled.other_done) {
        fail("the task that was moved is gone, although nothing of it has died");
    }
    if (!excused && (!drilled.answered || !drilled.caller_done)) {
        fail("the caller is gone, although nothing of it has died");
    }
    const bool child = call == Drill::Call::create || call == Drill::Call::clone;
    const bool success = drilled.answered && drilled.status == KERN_SUCCESS;
    if (child && !target_died && !caller_died && drilled.child_done != success) {
        fail(fmt::format("the call said {}, and the child {}", drilled.status,
                         drilled.child_done ? "was there" : "was not whole"));
    }
    if (drilled.child_began && !success) {
        fail("a child ran of which nobody was told");
    }
    // A child may stay whose maker was told of it and died; and a thread's process whose thread is lost.
    if (!processes_.empty() && !excused) {
        fail(fmt::format("process {} on node {} stays", processes_.begin()->first, processes_.begin()->second->node));
    }
}

// The tasks that are left have no threads: nobody can start one any more.
void World::judge_end() {
    if (!error_.empty()) {
        return;
    }
    std::vector<pid_t> left;
    for (const auto &[pid, process] : processes_) {
        left.push_back(pid);
    }
    for (const auto pid : left) {
        end_process(pid, 9);
    }
    run_until_idle();
    for (const auto &host : hosts_) {
        if (host.node != nullptr) {
            judge_empty(*host.node);
        }
    }
}

void World::judge_empty(const rt::Node &node) {
    const auto expect_none = [&](std::uint64_t count, std::string_view what) {
        if (count != 0) {
            fail(fmt::format("node {} is left with {} {}", node.self, count, what));
        }
    };
    expect_none(node.tasks.size(), "tasks");
    for (const auto &[id, object] : node.objects) {
        auto what = fmt::format("node {} keeps object {}.{}, of which {} nodes may have frames", node.self, id.home,
                                id.serial, object.holders.count());
        for (const auto &[number, use] : object.stretches) {
            what += fmt::format("; stretch {}: {} users, {} nodes that map it", number, use.users, use.mappers.count());
        }
        fail(what);
    }
    std::uint64_t cores = 0;
    node.pager.for_each_core([&](const dsm::State &) { ++cores; });
    expect_none(cores, "objects in its pager");
    expect_none(node.freezes.size(), "freezes of its memory");
    expect_none(node.memory_used, "bytes of memory in use");
    expect_none(node.ledgers.roots()[rt::kPaged]->balance(), "bytes of memory charged to somebody");
    expect_none(node.window.slice_bytes() - node.addresses.free_bytes(), "bytes of addresses that nobody maps");
    expect_none(node.router.open_calls(), "calls that were never answered");
    expect_none(node.sync.waiting(), "waiting threads in its locks and barriers");
}

void World::collect(Report &report) {
    for (const auto &host : hosts_) {
        if (host.node != nullptr) {
            const auto &wire = host.node->transport->counters();
            probes.hit(Probe::garbage_dropped, wire.dropped_key + wire.dropped_version);
            probes.hit(Probe::former_life_dropped, wire.dropped_incarnation);
            probes.hit(Probe::late_of_the_dead_dropped, wire.dropped_late);
            const auto &fates = static_cast<const rpc::sim::SimTransport &>(*host.node->transport).fates();
            probes.hit(Probe::inbox_reordered, fates.held);
            probes.hit(Probe::repeat_dropped, fates.repeated);
        }
    }
    report = {.seed = seed,
              .error = error_,
              .reads = oracle.reads(),
              .writes = oracle.writes(),
              .poisons = oracle.poisons(),
              .events = scheduler.events(),
              .messages = messages_,
              .nodes = plan.nodes,
              .crashes = crashes_,
              .trace = trace.hash(),
              .state = state_,
              .injected = network.injected(),
              .partitions = partitions_,
              .slow_nodes = slowed_,
              .kills = killed_,
              .probes = {},
              .drilled = drilled};
    probes.hit(Probe::written_while_copied, oracle.writes_meanwhile());
    probes.hit(Probe::copy_kept_apart, oracle.old_reads());
    probes.hit(Probe::handled_out_of_order, report.injected.kept_back);
    probes.hit(Probe::held_by_partition, report.injected.held_by_partition);
    report.probes = probes;
}

} // namespace norma::sim
