// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/program.hpp"

#include "norma/mach.h"
#include "norma/norma.h"
#include "runtime/sync.hpp"
#include "tests/simulation/process.hpp"
#include "tests/simulation/world.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace norma::sim {

namespace {

using rt::kNameTaskSelf;
using rt::Op;
using rt::SyncKind;
using rt::SyncOp;

constexpr std::uint64_t kForEver = ~std::uint64_t{0};

std::uint64_t code(SyncOp op) {
    return static_cast<std::uint64_t>(op);
}

struct Choice {
    PageNumber page = 0;
    std::uint64_t left = 0; // pages of the mapping from there on
};

// A page that the task has mapped; pages 0 means there is none.
Choice choose(Actor &me) {
    auto &random = me.world.random;
    const auto &mappings = me.process->space->mappings();
    if (mappings.empty()) {
        return {};
    }
    const auto &mapping = std::next(mappings.begin(), static_cast<long>(random.below(mappings.size())))->second;
    if (me.process->arriving.contains(mapping.first)) {
        return {};
    }
    const auto span = random.chance(me.world.plan.hot) ? std::min<std::uint64_t>(mapping.pages, 2) : mapping.pages;
    const auto index = random.below(span);
    return {.page = mapping.first + index, .left = mapping.pages - index};
}

Fiber touch(Actor &me) {
    if (const auto choice = choose(me); choice.left > 0) {
        co_await me.access(choice.page, me.world.random.chance(me.world.plan.writes));
    }
}

Fiber scan(Actor &me) {
    const auto choice = choose(me);
    const auto end = choice.page + std::min(choice.left, me.world.random.between(3, 40));
    const bool write = me.world.random.chance(me.world.plan.writes);
    for (auto page = choice.page; page < end; ++page) {
        co_await me.access(page, write);
    }
}

// Asks for pages in advance, or to be rid of them.
Fiber advise(Actor &me) {
    const auto choice = choose(me);
    const auto pages = std::min(choice.left, me.world.random.between(1, 20));
    const bool fetch = me.world.random.chance(400);
    const auto behavior = fetch ? VM_BEHAVIOR_WILLNEED : VM_BEHAVIOR_DONTNEED;
    me.world.probes.hit(fetch ? Probe::fetched_in_advance : Probe::evicted);
    co_await me.call(Op::vm_behavior, kNameTaskSelf,
                     {choice.page << 12, pages << 12, static_cast<std::uint64_t>(behavior)});
}

Fiber with_lock(Actor &me) {
    auto &world = me.world;
    if (world.job.mutexes.empty()) {
        co_return;
    }
    const auto mutex = world.job.mutexes[world.random.below(world.job.mutexes.size())];
    const auto got = co_await me.call(Op::sync_request, 0, {mutex, code(SyncOp::mutex_lock), kForEver});
    const bool held = got.status == KERN_SUCCESS || (got.status == KERN_TERMINATED && got.vals[0] != 0);
    if (!held) {
        world.expect(got.status == KERN_NODE_DOWN, "a lock was refused");
        co_return;
    }
    world.probes.hit(Probe::lock_of_the_dead_taken, got.status == KERN_TERMINATED ? 1 : 0);
    world.got_lock(mutex, me);
    for (auto count = world.random.below(4); count > 0; --count) {
        co_await touch(me);
    }
    world.oracle.unlocks(mutex, me.id);
    co_await me.call(Op::sync_request, 0, {mutex, code(SyncOp::mutex_unlock), kForEver});
}

// Once somebody has died, nobody can rely on the others to come.
Fiber barrier(Actor &me) {
    auto &world = me.world;
    if (world.job.barrier == 0) {
        co_return;
    }
    const auto round = me.rounds++;
    world.oracle.arrives(round);
    const auto limit = world.deadly() ? world.random.between(5, 100) : kForEver;
    const auto got = co_await me.call(Op::sync_request, 0, {world.job.barrier, code(SyncOp::barrier_wait), limit});
    if (got.status == KERN_SUCCESS) {
        world.oracle.passes(round, world.plan.workers);
    } else {
        world.probes.hit(Probe::barrier_broken);
        world.expect(false, "a barrier broke");
        me.rounds = world.plan.barriers; // it will not do any more
    }
}

Fiber use_semaphore(Actor &me) {
    const auto semaphore = me.world.job.semaphore;
    if (semaphore != 0) {
        const auto op = me.world.random.chance(600) ? SyncOp::semaphore_post : SyncOp::semaphore_wait;
        co_await me.call(Op::sync_request, 0, {semaphore, code(op), me.world.random.below(3)});
    }
}

Fiber use_region_once(Actor &me) {
    const auto pages = me.world.random.between(1, 20);
    const auto got = co_await me.call(Op::vm_allocate, kNameTaskSelf, {0, pages << 12, 1});
    me.world.expect(got.status == KERN_SUCCESS, "memory was refused");
    if (got.status != KERN_SUCCESS) {
        co_return;
    }
    for (auto count = me.world.random.below(12); count > 0; --count) {
        co_await me.access((got.vals[0] >> 12) + me.world.random.below(pages), me.world.random.chance(500));
    }
    co_await me.call(Op::vm_deallocate, kNameTaskSelf, {got.vals[0], pages << 12});
}

Fiber teleport(Actor &me) {
    auto &world = me.world;
    const auto where = world.random.below(world.plan.nodes);
    if (where != me.process->node) {
        world.probes.hit(Probe::teleport_during_fault, me.process->space->anyone_waits() ? 1 : 0);
        me.saved = true;
        const auto got = co_await me.call(Op::task_teleport, kNameTaskSelf, {1, where, me.id, 1});
        me.saved = false;
        world.probes.hit(Probe::teleport_failed, got.moved ? 0 : 1);
        const bool moves_already = world.plan.migrations > 0 && got.status == KERN_INVALID_TASK;
        world.expect(got.moved || moves_already, "a teleport failed");
    }
}

// A task with all its threads: it runs there, or here as before.
Fiber migrate(Actor &me, std::uint32_t task) {
    auto &world = me.world;
    const auto where = world.random.below(world.plan.nodes);
    const auto flags = world.random.chance(300) ? std::uint64_t{NORMA_MIGRATE_LAZY} : 0;
    const auto got = co_await me.call(Op::task_migrate, task, {where, flags});
    const bool own = task == kNameTaskSelf;
    if (got.status == KERN_SUCCESS) {
        world.probes.hit(own ? Probe::task_moved : Probe::another_task_moved);
    } else {
        world.probes.hit(Probe::task_move_failed);
        const bool moves_or_over = got.status == KERN_INVALID_TASK;
        const bool suspended = !own && got.status == KERN_NOT_SUPPORTED;
        world.expect(moves_or_over || suspended, "a task could not move");
    }
}

// The next one, or the caller itself, which often has other threads.
Fiber migrate_a_worker(Actor &me) {
    const auto &plan = me.world.plan;
    auto &random = me.world.random;
    const bool other = me.next != 0 && random.chance(500);
    const auto task = other ? me.next : std::uint32_t{kNameTaskSelf};
    const bool may_have_more = !other || plan.copies + plan.reaches == 0; // else it says what each of its mappings is
    for (auto count = may_have_more ? random.below(3) : 0; count > 0; --count) {
        co_await me.call(Op::thread_start, task, {kProgramHelper, 2U * me.view, 0});
    }
    co_await migrate(me, task);
}

// What the maker of a task does with it while it runs.
Fiber mind(Actor &me, std::uint32_t port) {
    auto &world = me.world;
    co_await me.pause(world.random.below(300 * kMicrosecond));
    if (world.plan.migrations > 0 && world.random.chance(400)) {
        co_await migrate(me, port);
    }
    switch (world.random.below(5)) {
    case 0:
        co_await me.call(Op::task_terminate, port, {});
        break;
    case 1:
        co_await me.call(Op::task_suspend, port, {});
        co_await touch(me);
        co_await me.call(Op::task_resume, port, {});
        break;
    case 2:
        world.probes.hit(Probe::teleport_of_another);
        co_await me.call(Op::task_teleport, port, {1, world.random.below(world.plan.nodes), 0, 0});
        co_await me.call(Op::task_terminate, port, {});
        break;
    case 3:
        co_await me.call(Op::task_wait, port, {kForEver});
        break;
    default:
        break;
    }
}

// A clone that does something for a while.
Fiber clone_a_helper(Actor &me) {
    auto &world = me.world;
    world.probes.hit(Probe::clone_while_pages_move, me.process->space->anyone_waits() ? 1 : 0);
    const auto made = co_await me.call(Op::task_clone, kNameTaskSelf, {1, world.random.below(world.plan.nodes)});
    world.expect(made.status == KERN_SUCCESS, "a clone failed");
    if (made.status != KERN_SUCCESS) {
        world.probes.hit(Probe::clone_failed);
        co_return;
    }
    const auto port = static_cast<std::uint32_t>(made.vals[0]);
    co_await me.call(Op::thread_start, port, {kProgramHelper, 2U * me.view + 1, 0});
    co_await mind(me, port);
}

// Of a task that its maker may end meanwhile.
bool was_ended(const Actor &me, const Answer &answer) {
    return me.view != 0 && answer.status == KERN_INVALID_TASK;
}

// A child that gets of each mapping what is drawn: all tasks of the view may be writing meanwhile.
Fiber create_a_child(Actor &me) {
    auto &world = me.world;
    std::vector<Inherited> parts;
    for (const auto &[first, mapping] : me.process->space->mappings()) {
        const auto how = world.random.chance(600) ? Inheritance::copy : Inheritance(world.random.below(3));
        parts.push_back({.first = first, .pages = mapping.pages, .how = how});
    }
    for (auto &part : parts) {
        constexpr std::array kAttributes{VM_INHERIT_NONE, VM_INHERIT_SHARE, VM_INHERIT_COPY};
        const auto attribute = kAttributes.at(static_cast<std::size_t>(part.how));
        const auto set = co_await me.call(Op::vm_inherit, kNameTaskSelf,
                                          {part.first << 12, part.pages << 12, static_cast<std::uint64_t>(attribute)});
        if (set.status != KERN_SUCCESS) { // the stack of a thread that has ended
            part.how = Inheritance::none;
        }
    }
    const auto view = world.oracle.copying(me.view, parts);
    const auto made = co_await me.call(Op::task_create_on, kNameTaskSelf, {1, world.random.below(world.plan.nodes)});
    world.oracle.copied(view);
    world.expect(made.status == KERN_SUCCESS || was_ended(me, made), "a task could not be created");
    if (made.status != KERN_SUCCESS) {
        world.probes.hit(Probe::creation_failed);
        co_return;
    }
    world.probes.hit(Probe::child_of_a_child, me.view != 0 ? 1 : 0);
    const auto port = static_cast<std::uint32_t>(made.vals[0]);
    co_await me.call(Op::thread_start, port, {kProgramChild, view, 0});
    co_await mind(me, port);
}

bool has(const Actor &me, PageNumber page) {
    return std::ranges::any_of(me.process->space->mappings(), [page](const auto &entry) {
        return page >= entry.first && page < entry.first + entry.second.pages;
    });
}

// Memory that another task has, at an address of one's own: the same memory, a copy, or the same for as long as it
// takes to copy from or to it, as vm_read and vm_write do. The other task has what this one has, and uses it too.
Fiber reach(Actor &me) {
    enum class How : std::uint8_t { shared, copied, lent };
    auto &world = me.world;
    auto &random = world.random;
    const auto made = co_await me.call(Op::task_clone, kNameTaskSelf, {1, random.below(world.plan.nodes)});
    world.expect(made.status == KERN_SUCCESS || was_ended(me, made), "a clone failed");
    const auto choice = choose(me);
    if (made.status != KERN_SUCCESS || choice.left == 0) {
        co_return;
    }
    const auto port = static_cast<std::uint32_t>(made.vals[0]);
    co_await me.call(Op::thread_start, port, {kProgramHelper, 2U * me.view, 0});

    const auto how = static_cast<How>(random.below(3));
    const auto pages = std::min(choice.left, random.between(1, 20));
    const auto view =
        how == How::copied
            ? world.oracle.copying(me.view, {{.first = choice.page, .pages = pages, .how = Inheritance::copy}})
            : me.view;
    const auto got = how == How::lent ? co_await me.borrow(port, choice.page, pages)
                                      : co_await me.remap(port, choice.page, pages, how == How::copied);
    if (how == How::copied) {
        world.oracle.copied(view);
    }
    if (got.status == KERN_SUCCESS) {
        constexpr std::array kReached{Probe::reached_for_good, Probe::reached_and_copied, Probe::reached_on_loan};
        world.probes.hit(kReached.at(static_cast<std::size_t>(how)));
        const auto at = got.vals[0] >> 12;
        me.has_reached(view, choice.page, pages, at);
        for (auto count = random.below(16); count > 0; --count) {
            co_await me.access(at + random.below(pages), random.chance(500));
        }
        if (how == How::lent) {
            co_await me.call(Op::vm_give_back, kNameTaskSelf, {got.vals[0]});
        } else if (random.chance(600)) { // else whoever is made from now on has it as well
            co_await me.call(Op::vm_deallocate, kNameTaskSelf, {got.vals[0], pages << 12});
        }
    } else {
        world.probes.hit(Probe::reach_failed);
        me.process->arriving.clear();
        // Stacks: the lowest page allows no access, and when their thread ends they go.
        const bool refused = how == How::lent && got.status == KERN_PROTECTION_FAILURE;
        const bool gone = got.status == KERN_INVALID_ADDRESS && !has(me, choice.page);
        world.expect(refused || gone || was_ended(me, got), "memory of another task was not to be had");
    }
    co_await me.call(Op::task_terminate, port, {});
}

Fiber move(Actor &me) {
    switch (me.world.random.below(6)) {
    case 0:
        co_await teleport(me);
        break;
    case 1:
        co_await clone_a_helper(me);
        break;
    case 2:
        co_await me.call(Op::thread_start, kNameTaskSelf, {kProgramHelper, 2U * me.view, 0});
        break;
    case 3:
        co_await use_semaphore(me);
        break;
    default:
        co_await use_region_once(me);
        break;
    }
}

Fiber create_sync(Actor &me, std::uint64_t rank) {
    auto &job = me.world.job;
    const auto kind = [](SyncKind which) { return static_cast<std::uint64_t>(which); };
    const auto mutex = co_await me.call(Op::sync_create, 0, {kind(SyncKind::mutex), 0});
    if (mutex.status == KERN_SUCCESS) {
        job.mutexes.push_back(mutex.vals[0]);
    }
    if (rank == 0) {
        const auto made = co_await me.call(Op::sync_create, 0, {kind(SyncKind::barrier), me.world.plan.workers});
        job.barrier = made.vals[0];
        const auto semaphore = co_await me.call(Op::sync_create, 0, {kind(SyncKind::semaphore), 1});
        job.semaphore = semaphore.vals[0];
    }
}

Fiber start_next_worker(Actor &me, std::uint64_t rank) {
    auto &world = me.world;
    for (unsigned attempt = 0; attempt < 3; ++attempt) {
        const auto made = co_await me.call(Op::task_clone, kNameTaskSelf, {1, world.random.below(world.plan.nodes)});
        world.expect(made.status == KERN_SUCCESS, "the clone of a worker failed");
        if (made.status == KERN_SUCCESS) {
            const auto port = static_cast<std::uint32_t>(made.vals[0]);
            const auto started = co_await me.call(Op::thread_start, port, {kProgramWorker, rank, 0});
            world.expect(started.status == KERN_SUCCESS, "a worker's thread did not start");
            me.next = port;
            co_return;
        }
        world.probes.hit(Probe::clone_failed);
    }
}

// Each worker adds a region of its own and then makes the next one, which so has the regions of all before it.
Fiber worker(Actor &me, std::uint64_t rank) {
    const auto &plan = me.world.plan;
    auto &random = me.world.random;
    const auto got = co_await me.call(Op::vm_allocate, kNameTaskSelf, {0, plan.pages << 12, 1});
    me.world.expect(got.status == KERN_SUCCESS, "a worker's memory was refused");
    co_await create_sync(me, rank);
    if (rank + 1 < plan.workers) {
        co_await start_next_worker(me, rank + 1);
    }
    for (unsigned step = 0; step < plan.steps; ++step) {
        if (me.rounds < plan.barriers && step >= (me.rounds + 1) * plan.steps / (plan.barriers + 1)) {
            co_await barrier(me);
        } else if (random.chance(plan.moves)) {
            co_await move(me);
        } else if (random.chance(plan.copies)) {
            co_await create_a_child(me);
        } else if (plan.reaches > 0 && random.chance(plan.reaches)) {
            co_await reach(me);
        } else if (plan.migrations > 0 && random.chance(plan.migrations)) {
            co_await migrate_a_worker(me);
        } else if (random.chance(plan.locked)) {
            co_await with_lock(me);
        } else if (random.chance(plan.advice)) {
            co_await advise(me);
        } else if (random.chance(plan.scans)) {
            co_await scan(me);
        } else {
            co_await touch(me);
        }
    }
    co_await me.exit();
}

Fiber helper(Actor &me, bool ends_task) {
    for (auto count = me.world.random.between(1, 25); count > 0; --count) {
        co_await touch(me);
    }
    if (ends_task) {
        co_await me.exit();
    }
}

// It may have children in its turn.
Fiber child(Actor &me) {
    auto &random = me.world.random;
    for (auto count = random.between(1, 25); count > 0; --count) {
        co_await touch(me);
    }
    if (random.chance(250)) {
        co_await create_a_child(me);
    }
    if (me.world.plan.reaches > 0 && random.chance(500)) {
        co_await reach(me);
    }
    co_await helper(me, true);
}

} // namespace

View view_of(std::uint64_t entry, std::uint64_t argument) {
    switch (entry) {
    case kProgramHelper:
        return static_cast<View>(argument / 2);
    case kProgramChild:
    case kProgramDrillChild:
        return static_cast<View>(argument);
    default:
        return 0;
    }
}

Fiber make_program(Actor &actor, std::uint64_t entry, std::uint64_t argument) {
    switch (entry) {
    case kProgramMain:
        return actor.world.plan.drill ? drill_program(actor, DrillRole::first) : worker(actor, 0);
    case kProgramWorker:
        return worker(actor, argument);
    case kProgramChild:
        return child(actor);
    case kProgramDrill:
        return drill_program(actor, static_cast<DrillRole>(argument));
    case kProgramDrillChild:
        return drill_child(actor);
    default:
        return helper(actor, argument % 2 != 0);
    }
}

} // namespace norma::sim
