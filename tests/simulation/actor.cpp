// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/actor.hpp"

#include "norma/mach.h"
#include "runtime/packets.hpp"
#include "tests/simulation/process.hpp"
#include "tests/simulation/world.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace norma::sim {

Actor::Actor(World &in, std::uint64_t number, Process &of, View sees, bool may_be_ended)
    : world(in), id(number), view(sees), dispensable(may_be_ended), process(&of), tid(in.next_tid()) {
    process->take(*this);
}

Actor::~Actor() {
    world.oracle.actor_ended(id);
    if (process != nullptr) {
        process->space->forget(id);
        process->actors.erase(id);
    }
    world.fds.close(channel_);
}

void Actor::start(Fiber program) {
    program_ = std::move(program);
    where_ = program_.handle();
    waits_ = Waits::time;
    wake();
}

void Actor::start_again() {
    if (held_up_) {
        wake();
    }
}

// A saved context outlives the process; it does not go on by itself.
void Actor::process_gone() {
    process->space->forget(id);
    process->actors.erase(id);
    came_from = process->node;
    came_from_process = process->pid;
    process = nullptr;
    world.fds.close(std::exchange(channel_, -1));
    ++turn_;
}

void Actor::go_on_in(Process &other) {
    process = &other;
    process->take(*this);
    tid = world.next_tid();
    next = 0; // a teleport leaves names behind
    saved = false;
    answer_ = {.status = 0, .vals = {}, .moved = true};
    waits_ = Waits::time;
    wake();
}

void Actor::halt() {
    world.probes.hit(Probe::halted_in_a_fault, in_fault() ? 1 : 0);
    halted = saved = true;
    asleep_ = false;
    process->space->forget(id);
    ++turn_;
}

void Actor::go_on() {
    if (over) {
        world.fail(fmt::format("thread {} goes on, of which somebody was told that it is no more", id));
    }
    halted = saved = false;
    if (std::exchange(asked_, false)) {
        answer_.status = process->outcome;
    }
    wake();
}

// The old process keeps what it has until it ends.
void Actor::move_to(Process &other) {
    if (process != nullptr) {
        process->actors.erase(id);
        process->keep_open(std::exchange(channel_, -1));
    }
    process = &other;
    process->take(*this);
    tid = world.next_tid();
    go_on();
}

void Actor::wake() {
    later(world.random.between(100, 2000));
}

void Actor::later(std::uint64_t delay) {
    world.scheduler.after(delay, [&in = world, number = id, turn = ++turn_] {
        auto *actor = in.actor(number);
        if (actor != nullptr && actor->turn_ == turn) {
            actor->act();
        }
    });
}

bool Actor::is_stopped() const {
    return stopped || (process != nullptr && process->stopped);
}

void Actor::act() {
    held_up_ = is_stopped();
    if (held_up_) {
        return;
    }
    asleep_ = false;
    if (std::exchange(begins_again_, false)) {
        send_call();
        return;
    }
    if ((waits_ == Waits::memory && !touch()) || (waits_ == Waits::answer && !(take_packet() && call_is_over()))) {
        return;
    }
    if (waits_ == Waits::end) {
        world.end_process(process->pid, 0);
        return;
    }
    waits_ = Waits::nothing;
    where_.resume();
    if (program_.done()) {
        world.thread_over(*this);
    }
}

// True: it is done with, one way or the other.
bool Actor::touch() {
    Content *content = nullptr;
    const auto node = process->node;
    touched_ = process->space->touch(id, page_, write_, content);
    switch (touched_) {
    case Touch::waits:
        asleep_ = true;
        return false;
    case Touch::allowed:
        if (write_) {
            *content = world.oracle.write(view, page_, node, *content);
            world.trace(node, "writes", id, page_, content->version);
        } else {
            world.oracle.read(view, page_, node, *content);
            world.trace(node, "reads", id, page_, content->version);
            world.probes.hit(Probe::kept_reading_without_home, world.oracle.home_is_dead(view, page_) ? 1 : 0);
        }
        break;
    case Touch::poisoned:
        world.trace(node, "is poisoned", id, page_);
        world.probes.hit(Probe::poison_seen);
        world.oracle.poisoned(view, page_, node);
        break;
    case Touch::no_memory:
        world.trace(node, "finds no memory", id, page_);
        break;
    }
    return true;
}

Actor::Waiting<Actor::Touch> Actor::access(PageNumber page, bool write) {
    waits_ = Waits::memory;
    page_ = page;
    write_ = write;
    later(world.random.below(world.plan.think) + 50);
    return {*this, &Actor::take_touch};
}

Actor::Waiting<void> Actor::pause(std::uint64_t nanoseconds) {
    waits_ = Waits::time;
    later(nanoseconds);
    return {*this, &Actor::take_nothing};
}

Actor::Waiting<void> Actor::exit() {
    waits_ = Waits::end;
    later(100);
    return {*this, &Actor::take_nothing};
}

void Actor::open_channel() {
    const auto [mine, other] = world.fds.add_socket_pair();
    channel_ = mine;
    world.fds.on_packet(mine, [&in = world, number = id] {
        if (auto *actor = in.actor(number)) {
            actor->wake();
        }
    });
    process->say(rt::TaskMsg::channel, {}, {}, other);
}

Actor::Waiting<Answer> Actor::call(rt::Op op, std::uint32_t port, std::array<std::uint64_t, rt::kOpArgs> args,
                                   std::span<const std::byte> blob) {
    call_ = {.op = op, .port = port, .args = args, .blob = {blob.begin(), blob.end()}, .begun = world.scheduler.now()};
    send_call();
    return {*this, &Actor::take_answer};
}

void Actor::send_call() {
    if (channel_ < 0) {
        open_channel();
    }
    waits_ = Waits::answer;
    rt::RequestHead head{};
    head.op = static_cast<std::uint32_t>(call_.op);
    head.port = call_.port;
    head.thread = tid;
    std::copy(call_.args.begin(), call_.args.end(), std::begin(head.args));
    world.trace(process->node, "calls", id, head.op, call_.port, call_.args[0], call_.args[1]);
    const auto bytes = std::as_bytes(std::span(&head, 1));
    PacketWithFd packet{.bytes = {bytes.begin(), bytes.end()}, .fd = -1};
    packet.bytes.insert(packet.bytes.end(), call_.blob.begin(), call_.blob.end());
    world.fds.send(channel_, std::move(packet));
}

Actor::Waiting<Answer> Actor::remap(std::uint32_t task, PageNumber first, std::uint64_t pages, bool copy) {
    rt::MapArgs args{};
    args.bytes = pages << 12;
    args.offset = first << 12;
    args.anywhere = 1;
    args.copy = copy ? 1 : 0;
    args.inheritance = VM_INHERIT_DEFAULT;
    return call(rt::Op::vm_remap, rt::kNameTaskSelf, {task}, std::as_bytes(std::span(&args, 1)));
}

Actor::Waiting<Answer> Actor::borrow(std::uint32_t task, PageNumber first, std::uint64_t pages) {
    return call(rt::Op::vm_borrow, rt::kNameTaskSelf, {task, 0, first << 12, pages << 12, VM_PROT_DEFAULT});
}

void Actor::has_reached(View from, PageNumber first, std::uint64_t pages, PageNumber at) {
    process->arriving.clear();
    world.oracle.shared(from, first, pages, view, at);
    for (std::uint64_t i = 0; i < pages; ++i) {
        world.oracle.holds(view, at + i, process->node);
    }
}

bool Actor::take_packet() {
    const auto packet = world.fds.receive(channel_);
    if (!packet) {
        return false;
    }
    const auto reply = rt::split_packet<rt::ReplyHead>(packet->bytes);
    if (!reply) {
        world.fail("a reply is shorter than its head");
        return false;
    }
    answer_ = {.status = reply->head.status, .vals = {}, .moved = false};
    std::copy(std::begin(reply->head.vals), std::end(reply->head.vals), answer_.vals.begin());
    if (answer_.status == KERN_OPERATION_TIMED_OUT && call_.op != rt::Op::sync_request) {
        world.fail(fmt::format("{}: its node never answers", describe()));
    }
    world.trace(process->node, "is answered", id, static_cast<std::uint64_t>(answer_.status), answer_.vals[0]);
    return true;
}

bool Actor::may_wait() const {
    return call_.op == rt::Op::sync_request || call_.op == rt::Op::task_wait;
}

// As libnorma has it: a thread whose task is about to move stops at the end of a call that may wait, and begins one
// that has been withdrawn again when it goes on, with what is left of its timeout. False: it does not go on yet.
bool Actor::call_is_over() {
    if (answer_.status == rt::kWithdrawn && call_.op == rt::Op::task_migrate) {
        asked_ = true;
        answer_.status = process->outcome;
    } else if (answer_.status == rt::kWithdrawn) {
        if (!may_wait()) {
            world.fail(fmt::format("{}: it has been withdrawn", describe()));
        }
        world.probes.hit(Probe::wait_begun_again);
        auto &timeout = call_.args.at(call_.op == rt::Op::task_wait ? 0 : 2);
        const auto passed = (world.scheduler.now() - call_.begun) / kMillisecond;
        if (static_cast<std::int64_t>(timeout) > 0) {
            timeout -= std::min(timeout, passed);
        }
        call_.begun = world.scheduler.now();
        begins_again_ = true;
    } else if (!may_wait()) {
        return true;
    }
    waits_ = Waits::time;
    if (process->gathering) {
        process->halt(*this);
    } else if (begins_again_) {
        wake();
    } else {
        asked_ = false;
        return true;
    }
    return false;
}

std::string Actor::describe() const {
    const auto where = process == nullptr ? "nowhere" : fmt::format("on node {}", process->node);
    switch (waits_) {
    case Waits::memory:
        return fmt::format("thread {} {} waits for page {:#x} to {}", id, where, page_, write_ ? "write" : "read");
    case Waits::answer:
        return fmt::format("thread {} {} waits for the answer to call {}", id, where, static_cast<unsigned>(call_.op));
    default:
        return fmt::format("thread {} {} does not go on", id, where);
    }
}

} // namespace norma::sim
