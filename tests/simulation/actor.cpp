// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/actor.hpp"

#include "norma/mach.h"
#include "runtime/packets.hpp"
#include "tests/simulation/process.hpp"
#include "tests/simulation/world.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace norma::sim {

Actor::Actor(World &in, std::uint64_t number, Process &of, View sees)
    : world(in), id(number), view(sees), process(&of), tid(in.next_tid()) {
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
    process = nullptr;
    world.fds.close(std::exchange(channel_, -1));
    ++turn_;
}

void Actor::go_on_in(Process &other) {
    process = &other;
    process->take(*this);
    tid = world.next_tid();
    saved = false;
    answer_ = {.status = 0, .vals = {}, .moved = true};
    waits_ = Waits::time;
    wake();
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
    if ((waits_ == Waits::memory && !touch()) || (waits_ == Waits::answer && !take_packet())) {
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
    if (channel_ < 0) {
        open_channel();
    }
    waits_ = Waits::answer;
    op_ = op;
    rt::RequestHead head{};
    head.op = static_cast<std::uint32_t>(op);
    head.port = port;
    head.thread = tid;
    std::copy(args.begin(), args.end(), std::begin(head.args));
    world.trace(process->node, "calls", id, head.op, port, args[0], args[1]);
    const auto bytes = std::as_bytes(std::span(&head, 1));
    PacketWithFd packet{.bytes = {bytes.begin(), bytes.end()}, .fd = -1};
    packet.bytes.insert(packet.bytes.end(), blob.begin(), blob.end());
    world.fds.send(channel_, std::move(packet));
    return {*this, &Actor::take_answer};
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
    if (answer_.status == KERN_OPERATION_TIMED_OUT && op_ != rt::Op::sync_request) {
        world.fail(fmt::format("{}: its node never answers", describe()));
    }
    world.trace(process->node, "is answered", id, static_cast<std::uint64_t>(answer_.status), answer_.vals[0]);
    return true;
}

std::string Actor::describe() const {
    const auto where = process == nullptr ? "nowhere" : fmt::format("on node {}", process->node);
    switch (waits_) {
    case Waits::memory:
        return fmt::format("thread {} {} waits for page {:#x} to {}", id, where, page_, write_ ? "write" : "read");
    case Waits::answer:
        return fmt::format("thread {} {} waits for the answer to call {}", id, where, static_cast<unsigned>(op_));
    default:
        return fmt::format("thread {} {} does not go on", id, where);
    }
}

} // namespace norma::sim
