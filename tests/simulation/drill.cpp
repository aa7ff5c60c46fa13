// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/drill.hpp"

#include "norma/mach.h"
#include "norma/norma.h"
#include "runtime/sync.hpp"
#include "tests/simulation/world.hpp"

#include <utility>

namespace norma::sim {

namespace {

using rt::kNameTaskSelf;
using rt::Op;
using rt::SyncOp;

constexpr std::uint64_t kForEver = ~std::uint64_t{0};
constexpr Nanoseconds kPoll = 500 * kMicrosecond;
constexpr unsigned kMostPolls = 100;

// All that is mapped and that the observer knows of; a mapping may come or go meanwhile.
Fiber touch_all(Actor &me, bool write) {
    std::vector<PageNumber> pages;
    for (const auto &[first, mapping] : me.process->space->mappings()) {
        for (std::uint64_t i = 0; i < mapping.pages; ++i) {
            pages.push_back(first + i);
        }
    }
    for (const auto page : pages) {
        if (me.world.oracle.knows(me.view, page)) {
            co_await me.access(page, write);
        }
    }
}

Fiber allocate(Actor &me, unsigned node) {
    const auto got = co_await me.call(Op::vm_allocate, kNameTaskSelf, {0, kDrillPages << 12, 1});
    if (got.status != KERN_SUCCESS) {
        me.world.fail(fmt::format("memory on node {} was refused", node));
        co_return;
    }
    const auto first = me.world.drilled.regions.at(node) = got.vals[0] >> 12;
    for (std::uint64_t i = 0; i < kDrillPages; ++i) {
        co_await me.access(first + i, true);
    }
}

// What the program needs before anybody dies.
Fiber start_next(Actor &me, NodeId node, DrillRole role, std::uint32_t *port) {
    const auto made = co_await me.call(Op::task_clone, kNameTaskSelf, {1, node});
    *port = static_cast<std::uint32_t>(made.vals[0]);
    if (made.status == KERN_SUCCESS) {
        const auto started =
            co_await me.call(Op::thread_start, *port, {kProgramDrill, static_cast<std::uint64_t>(role), 0});
        if (started.status == KERN_SUCCESS) {
            co_return;
        }
    }
    me.world.fail("a task of the drill could not be made");
}

// Nothing may be frozen, and every node answers.
Fiber look_around(Actor &me) {
    auto &world = me.world;
    co_await touch_all(me, true);
    co_await touch_all(me, false);
    const auto got = co_await me.call(Op::vm_allocate, kNameTaskSelf, {0, 4096, 1});
    if (got.status != KERN_SUCCESS) {
        world.fail("no memory after the call was interrupted");
    }
    co_await me.call(Op::vm_deallocate, kNameTaskSelf, {got.vals[0], 4096});
    for (NodeId node = 0; node < world.plan.nodes; ++node) {
        const auto made = co_await me.call(Op::task_create_on, kNameTaskSelf, {0, node});
        if (made.status == KERN_SUCCESS) {
            co_await me.call(Op::task_terminate, static_cast<std::uint32_t>(made.vals[0]), {});
        } else if (world.node(node) != nullptr) {
            world.fail(fmt::format("node {} makes no task after the call was interrupted", node));
        }
    }
}

bool makes_a_child(Drill::Call call) {
    return call == Drill::Call::create || call == Drill::Call::clone || call == Drill::Call::teleport;
}

// Under a lock whose home is the third node, with the memory of the third and the first.
Fiber use_lock(Actor &me) {
    auto &world = me.world;
    const auto mutex = world.drilled.mutex;
    const auto request = [mutex](SyncOp op) {
        return std::array<std::uint64_t, rt::kOpArgs>{mutex, static_cast<std::uint64_t>(op), kForEver};
    };
    const auto got = co_await me.call(Op::sync_request, 0, request(SyncOp::mutex_lock));
    if (got.status != KERN_SUCCESS && (got.status != KERN_TERMINATED || got.vals[0] == 0)) {
        co_await me.pause(kPoll); // its home has died
        co_return;
    }
    world.got_lock(mutex, me);
    co_await me.access(world.drilled.regions[2], true);
    co_await me.pause(world.random.below(100 * kMicrosecond));
    co_await me.access(world.drilled.regions[0], true);
    world.oracle.unlocks(mutex, me.id);
    co_await me.call(Op::sync_request, 0, request(SyncOp::mutex_unlock));
}

// One of the threads of the task that is moved.
Fiber mate(Actor &me) {
    auto &drilled = me.world.drilled;
    drilled.movers.insert(me.id);
    while (!drilled.answered && (drilled.caller == 0 || me.world.actor(drilled.caller) != nullptr)) {
        co_await use_lock(me);
    }
    drilled.mate_done = true;
}

// All threads are where the answer says, unless who would know has died, and go on.
Fiber await_mate(Actor &me) {
    auto &drilled = me.world.drilled;
    const bool own = me.world.plan.drill->call == Drill::Call::migrate;
    const NodeId before = own ? 1 : 3, there = own ? 3 : 2;
    const bool known = drilled.answered && drilled.status != KERN_NODE_DOWN;
    if (known && me.process->node != (drilled.status == KERN_SUCCESS ? there : before)) {
        me.world.fail(fmt::format("a task whose move ended with {} is on node {}", drilled.status, me.process->node));
    }
    for (unsigned polls = 0; polls < kMostPolls && !drilled.mate_done; ++polls) {
        co_await me.pause(kPoll);
    }
    if (!drilled.mate_done) {
        me.world.fail("a thread of a task that was to move does not go on");
    }
}

// Who is told that a task is over is told the truth: none of its threads is there, or goes on later.
Fiber await_task(Actor &me, std::uint32_t task) {
    auto &world = me.world;
    const auto got = co_await me.call(Op::task_wait, task, {kForEver});
    for (const auto id : world.drilled.movers) {
        auto *mover = world.actor(id);
        if (got.status == KERN_SUCCESS && mover != nullptr) {
            mover->over = true;
            if (!mover->halted) {
                world.fail(fmt::format("a task is over, and its thread {} is there", id));
            }
        }
    }
}

// Until the caller has come to its end, or will not any more.
Fiber await_the_end(Actor &me) {
    auto &world = me.world;
    for (unsigned polls = 0; polls < kMostPolls && !world.drilled.caller_done; ++polls) {
        co_await me.pause(kPoll);
        if (world.drilled.caller != 0 && world.actor(world.drilled.caller) == nullptr) {
            co_return;
        }
    }
}

Fiber keeper(Actor &me) {
    auto &drilled = me.world.drilled;
    co_await allocate(me, 2);
    co_await me.access(drilled.regions[0] + 1, true);
    const auto call = me.world.plan.drill->call;
    if (migrates(call)) {
        const auto mutex = co_await me.call(Op::sync_create, 0, {static_cast<std::uint64_t>(rt::SyncKind::mutex), 0});
        drilled.mutex = mutex.vals[0];
    }
    std::uint32_t port = 0;
    co_await start_next(me, 1, DrillRole::caller, &port);
    while (!drilled.ready) {
        co_await me.pause(kPoll);
    }
    for (unsigned i = 0; i < 30; ++i) { // so that whoever freezes the memory has somebody to ask
        co_await me.access(drilled.regions[i % 2 == 0 ? 2 : 0] + 1, true);
        co_await me.pause(200 * kMicrosecond);
        if (migrates(call)) {
            co_await use_lock(me);
        }
    }
    if (call == Drill::Call::migrate) {
        co_await await_task(me, port);
    }
}

Fiber other(Actor &me) {
    auto &drilled = me.world.drilled;
    drilled.other_process = me.process->pid;
    co_await allocate(me, 3);
    co_await me.access(drilled.regions[2], true);
    if (makes_a_child(me.world.plan.drill->call)) {
        co_await me.call(Op::vm_deallocate, kNameTaskSelf, {drilled.regions[2] << 12, kDrillPages << 12});
    }
    if (me.world.plan.drill->call == Drill::Call::migrate_other) {
        drilled.movers.insert(me.id);
        co_await me.call(Op::thread_start, kNameTaskSelf,
                         {kProgramDrill, static_cast<std::uint64_t>(DrillRole::mate), 0});
    }
    drilled.ready = true;
}

// It is moved meanwhile.
Fiber moved(Actor &me) {
    auto &drilled = me.world.drilled;
    while (!drilled.answered && me.world.actor(drilled.caller) != nullptr) {
        co_await me.access(drilled.regions[3], true);
        co_await me.pause(me.world.random.below(kPoll));
    }
    co_await await_mate(me);
    co_await look_around(me);
    drilled.other_done = true;
    co_await me.exit();
}

void begin(Actor &me) {
    auto &drilled = me.world.drilled;
    drilled.caller_process = me.process->pid;
    drilled.processes = me.world.all_processes();
    drilled.armed = true;
}

void end(Actor &me, const Answer &answer) {
    auto &drilled = me.world.drilled;
    drilled.armed = migrates(me.world.plan.drill->call);
    drilled.answered = true;
    drilled.status = answer.status;
    drilled.went_on = answer.moved;
    if (answer.status != KERN_SUCCESS) {
        me.world.expect(false, "the call failed");
    }
}

// The child's end is waited for, so that what it does is done.
Fiber use_child(Actor &me, const Answer &made, std::uint64_t entry, std::uint64_t argument) {
    if (made.status == KERN_SUCCESS) {
        const auto port = static_cast<std::uint32_t>(made.vals[0]);
        const auto started = co_await me.call(Op::thread_start, port, {entry, argument, 0});
        me.world.expect(started.status == KERN_SUCCESS, "the child is no task");
        co_await me.call(Op::task_wait, port, {kForEver});
    }
}

// Of the region that the third node is the home of, part is shared, part copied, whoever wrote it last.
Fiber create(Actor &me) {
    auto &world = me.world;
    std::vector<Inherited> parts;
    for (const auto &[first, mapping] : me.process->space->mappings()) {
        const auto how = first == world.drilled.regions[0] ? Inheritance::share : Inheritance::copy;
        parts.push_back({.first = first, .pages = mapping.pages, .how = how});
    }
    for (const auto &part : parts) {
        const auto attribute = part.how == Inheritance::share ? VM_INHERIT_SHARE : VM_INHERIT_COPY;
        co_await me.call(Op::vm_inherit, kNameTaskSelf,
                         {part.first << 12, part.pages << 12, static_cast<std::uint64_t>(attribute)});
    }
    const auto view = world.oracle.copying(me.view, parts);
    begin(me);
    const auto made = co_await me.call(Op::task_create_on, kNameTaskSelf, {1, 3});
    end(me, made);
    world.oracle.copied(view);
    co_await use_child(me, made, kProgramDrillChild, view);
}

Fiber clone(Actor &me) {
    begin(me);
    const auto made = co_await me.call(Op::task_clone, kNameTaskSelf, {1, 3});
    end(me, made);
    co_await use_child(me, made, kProgramDrill, static_cast<std::uint64_t>(DrillRole::clone));
}

Fiber teleport(Actor &me) {
    begin(me);
    me.saved = true;
    const auto got = co_await me.call(Op::task_teleport, kNameTaskSelf, {1, 3, me.id, 1});
    me.saved = false;
    end(me, got);
}

constexpr Nanoseconds kFollows = 400 * kMicrosecond; // for its memory to follow, or most of it

// The caller's own task, and another one.
Fiber migrate(Actor &me) {
    me.world.drilled.movers.insert(me.id);
    co_await me.call(Op::thread_start, kNameTaskSelf, {kProgramDrill, static_cast<std::uint64_t>(DrillRole::mate), 0});
    const auto flags = me.world.random.chance(500) ? std::uint64_t{NORMA_MIGRATE_LAZY} : 0;
    begin(me);
    const auto got = co_await me.call(Op::task_migrate, kNameTaskSelf, {3, flags});
    end(me, got);
    co_await me.pause(kFollows);
    me.world.drilled.armed = false;
    co_await await_mate(me);
}

Fiber migrate_other(Actor &me, std::uint32_t port) {
    const auto flags = me.world.random.chance(500) ? std::uint64_t{NORMA_MIGRATE_LAZY} : 0;
    begin(me);
    const auto got = co_await me.call(Op::task_migrate, port, {2, flags});
    end(me, got);
    co_await me.pause(kFollows);
    me.world.drilled.armed = false;
    co_await await_task(me, port);
}

// The other task's memory, at an address of one's own.
Fiber reach(Actor &me, std::uint32_t port, Drill::Call call) {
    auto &world = me.world;
    const auto first = world.drilled.regions[2];
    const bool copy = call == Drill::Call::remap_copy;
    const auto mapped = me.process->space->mappings().size();
    const auto view =
        copy ? world.oracle.copying(me.view, {{.first = first, .pages = kDrillPages, .how = Inheritance::copy}})
             : me.view;
    begin(me);
    const auto got = call == Drill::Call::borrow ? co_await me.borrow(port, first, kDrillPages)
                                                 : co_await me.remap(port, first, kDrillPages, copy);
    end(me, got);
    if (copy) {
        world.oracle.copied(view);
    }
    if (got.status != KERN_SUCCESS) {
        if (me.process->space->mappings().size() != mapped) {
            world.fail("a call that failed has left something mapped");
        }
        co_return;
    }
    me.has_reached(view, first, kDrillPages, got.vals[0] >> 12);
    for (unsigned i = 0; i < 2 * kDrillPages; ++i) {
        const auto touched = co_await me.access((got.vals[0] >> 12) + i % kDrillPages, i < kDrillPages);
        world.expect(touched != Actor::Touch::no_memory, "what the call gave is not there");
    }
    if (call == Drill::Call::borrow) {
        co_await me.call(Op::vm_give_back, kNameTaskSelf, {got.vals[0]});
    } else {
        co_await me.call(Op::vm_deallocate, kNameTaskSelf, {got.vals[0], kDrillPages << 12});
    }
}

Fiber caller(Actor &me) {
    auto &drilled = me.world.drilled;
    const auto call = me.world.plan.drill->call;
    drilled.caller = me.id;
    std::uint32_t port = 0;
    co_await start_next(me, 3, DrillRole::other, &port);
    while (!drilled.ready) {
        co_await me.pause(kPoll);
    }
    co_await allocate(me, 1);
    co_await touch_all(me, false);
    if (!makes_a_child(call) && !migrates(call)) { // so that its node has to ask for it
        co_await me.call(Op::vm_deallocate, kNameTaskSelf, {drilled.regions[2] << 12, kDrillPages << 12});
    }
    switch (call) {
    case Drill::Call::create:
        co_await create(me);
        break;
    case Drill::Call::clone:
        co_await clone(me);
        break;
    case Drill::Call::teleport:
        co_await teleport(me);
        break;
    case Drill::Call::migrate:
        co_await migrate(me);
        break;
    case Drill::Call::migrate_other:
        co_await migrate_other(me, port);
        break;
    default:
        co_await reach(me, port, call);
        break;
    }
}

// For whom the child was made it is whole.
Fiber child(Actor &me) {
    auto &drilled = me.world.drilled;
    drilled.child_began = true;
    for (const auto region : {0, 1, 2}) {
        if (!me.process->space->mappings().contains(drilled.regions.at(static_cast<std::size_t>(region)))) {
            me.world.fail(fmt::format("the child has no region of node {}", region));
        }
    }
    co_await touch_all(me, false);
    co_await touch_all(me, true);
    drilled.child_done = true;
    co_await me.exit();
}

} // namespace

Fiber drill_child(Actor &me) {
    return child(me);
}

Fiber drill_program(Actor &me, DrillRole role) {
    std::uint32_t port = 0;
    switch (role) {
    case DrillRole::first:
        co_await allocate(me, 0);
        co_await start_next(me, 2, DrillRole::keeper, &port);
        break;
    case DrillRole::keeper:
        co_await keeper(me);
        break;
    case DrillRole::caller:
        co_await caller(me);
        break;
    case DrillRole::other:
        co_await other(me);
        if (me.world.plan.drill->call == Drill::Call::migrate_other) {
            co_await moved(me);
        }
        break;
    case DrillRole::clone:
        co_await child(me);
        break;
    case DrillRole::mate:
        co_await mate(me);
        co_return;
    }
    if (role != DrillRole::caller) {
        co_await await_the_end(me);
    }
    co_await look_around(me);
    me.world.drilled.caller_done = me.world.drilled.caller_done || role == DrillRole::caller;
    co_await me.exit();
}

bool migrates(Drill::Call call) {
    return call >= Drill::Call::migrate;
}

std::string drill_moment(std::span<const std::byte> record) {
    if (Witness::is_coherence(record)) {
        return "page";
    }
    const auto request = rt::decode_request(record);
    if (!request) {
        return "reply";
    }
    constexpr std::array<std::pair<Op, const char *>, 24> kNames{{{Op::spawn, "spawn"},
                                                                  {Op::take_over, "take_over"},
                                                                  {Op::attach, "attach"},
                                                                  {Op::detach, "detach"},
                                                                  {Op::destroy, "destroy"},
                                                                  {Op::freeze, "freeze"},
                                                                  {Op::snapshot, "snapshot"},
                                                                  {Op::thaw, "thaw"},
                                                                  {Op::vm_pieces, "vm_pieces"},
                                                                  {Op::sync_task_moved, "sync_task_moved"},
                                                                  {Op::sync_task_died, "sync_task_died"},
                                                                  {Op::sync_thread_died, "sync_thread_died"},
                                                                  {Op::task_terminate, "task_terminate"},
                                                                  {Op::thread_start, "thread_start"},
                                                                  {Op::task_migrate, "task_migrate"},
                                                                  {Op::furnish, "furnish"},
                                                                  {Op::give_names, "give_names"},
                                                                  {Op::make_room, "make_room"},
                                                                  {Op::carry_on, "carry_on"},
                                                                  {Op::abort_waits, "abort_waits"},
                                                                  {Op::process_moved, "process_moved"},
                                                                  {Op::pages_held, "pages_held"},
                                                                  {Op::home_fetch, "home_fetch"},
                                                                  {Op::sync_request, "sync_request"}}};
    for (const auto &[op, name] : kNames) {
        if (request->op == op) {
            return name;
        }
    }
    return fmt::format("request {}", static_cast<unsigned>(request->op));
}

} // namespace norma::sim
