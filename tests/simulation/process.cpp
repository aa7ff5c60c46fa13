// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/process.hpp"

#include "norma/mach.h"
#include "tests/simulation/program.hpp"
#include "tests/simulation/world.hpp"

#include <cerrno>

namespace norma::sim {

namespace {

constexpr std::uint64_t kPageBytes = 4096;
} // namespace

Process::Process(World &world, pid_t number, NodeId on, int control)
    : pid(number), node(on), space(std::make_shared<AddressSpace>(
                                 AddressSpace::Hooks{.message = [&world, number] { world.fault_waits(number); },
                                                     .retry =
                                                         [&world](std::uint64_t id) {
                                                             if (auto *sleeper = world.actor(id)) {
                                                                 sleeper->wake();
                                                             }
                                                         }})),
      world_(world), control_(control) {}

Process::~Process() {
    space->end();
    for (const int channel : left_open_) {
        world_.fds.close(channel);
    }
    world_.fds.close(control_);
}

void Process::start() {
    world_.scheduler.after(world_.random.between(20, 300) * kMicrosecond, [&in = world_, number = pid] {
        if (auto *process = in.process(number)) {
            process->say(rt::TaskMsg::hello, {rt::kTaskProtocol, 2, 0}, std::as_bytes(std::span(kBuildId)),
                         in.add_fault_descriptor(number, process->space));
            in.fds.on_packet(process->control_, [&in, number] {
                if (auto *listener = in.process(number)) {
                    listener->listen();
                }
            });
            process->listen();
        }
    });
}

void Process::take(Actor &actor) {
    actors.insert(actor.id);
    if (view_) {
        if (*view_ != actor.view) {
            world_.fail(
                fmt::format("thread {} of view {} runs in process {}, of view {}", actor.id, actor.view, pid, *view_));
        }
        return;
    }
    view_ = actor.view;
    tell_observer();
}

void Process::tell_observer() {
    for (const auto &[mapping, fresh] : std::exchange(untold_, {})) {
        if (fresh) {
            world_.oracle.fresh(*view_, mapping.first, mapping.pages, node);
        }
        for (std::uint64_t i = 0; i < mapping.pages && !arriving.contains(mapping.first); ++i) {
            world_.oracle.holds(*view_, mapping.first + i, node);
        }
    }
}

void Process::say(rt::TaskMsg type, std::array<std::uint64_t, 3> args, std::span<const std::byte> blob, int fd) {
    rt::TaskMsgHead head{};
    head.type = static_cast<std::uint32_t>(type);
    std::copy(args.begin(), args.end(), std::begin(head.args));
    const auto bytes = std::as_bytes(std::span(&head, 1));
    PacketWithFd packet{.bytes = {bytes.begin(), bytes.end()}, .fd = fd};
    packet.bytes.insert(packet.bytes.end(), blob.begin(), blob.end());
    world_.fds.send(control_, std::move(packet));
}

void Process::listen() {
    if (listening_) {
        return;
    }
    listening_ = true;
    world_.scheduler.after(world_.random.between(500, 8000), [&in = world_, number = pid] {
        if (auto *process = in.process(number)) {
            process->listening_ = false;
            process->serve();
        }
    });
}

void Process::serve() {
    const auto packet = world_.fds.receive(control_);
    if (!packet) {
        return;
    }
    const auto command = rt::split_packet<rt::CommandHead>(packet->bytes);
    if (!command) {
        world_.fail("a command is shorter than its head");
        return;
    }
    world_.trace(node, "task does", static_cast<std::uint64_t>(pid), command->head.command, command->head.args[0]);
    const auto done = carry_out(*command, packet->fd);
    say(rt::TaskMsg::ack, {command->head.number, static_cast<std::uint64_t>(done.error), done.value}, done.blob, -1);
    listen();
}

Process::Done Process::carry_out(const rt::Packet<rt::CommandHead> &packet, int fd) {
    using rt::Command;
    const auto &command = packet.head;
    const auto page = command.args[0] / kPageBytes;
    const auto pages = command.args[1] / kPageBytes;
    std::uint64_t value = 0;
    switch (static_cast<Command>(command.command)) {
    case Command::welcome:
    case Command::list_threads: // nobody here asks for them
    case Command::wire:
    case Command::unwire:
    case Command::get_state:
    case Command::set_state:
    case Command::abort_call:
    case Command::usage:
    case Command::map_data: // no program of its own, and no heap
    case Command::heap:
    case Command::heap_lost:
    case Command::sample:
    case Command::clone_start: // nobody here clones so
    case Command::catch_exceptions:
    case Command::table_read:
    case Command::table_join:
    case Command::table_step:
    case Command::files_begin: // nor shares files
    case Command::file_change:
    case Command::nodes:
        break;
    case Command::gather:
        return gather(command.args[0] != 0);
    case Command::go_on:
        go_on(static_cast<std::int32_t>(command.args[0]));
        break;
    case Command::make_threads:
        return make_threads(packet);
    case Command::carry_on:
        return carry_on(packet.blob);
    case Command::map:
        map(command, fd);
        break;
    case Command::unmap:
        space->unmap(page, pages);
        world_.probes.hit(Probe::region_given_back);
        break;
    case Command::protect:
        command.args[2] == VM_PROT_NONE ? space->forbid(page, pages) : space->allow(page, pages);
        break;
    case Command::poison:
        space->poison(page);
        break;
    case Command::blank: // a lost page of a loan: what is there instead is nobody's
        space->forbid(page, 1);
        break;
    case Command::run_main:
        value = world_.add_actor(*this, kProgramMain, 0).tid;
        break;
    case Command::thread_start:
        value = start_thread(command);
        break;
    case Command::thread_resume_context:
        value = resume_context(command);
        break;
    case Command::suspend_all:
    case Command::resume_all:
        stopped = static_cast<Command>(command.command) == Command::suspend_all;
        for (const auto id : actors) {
            stop(*world_.actor(id), world_.actor(id)->stopped);
        }
        break;
    case Command::suspend_thread:
    case Command::resume_thread:
        if (auto *actor = thread(command.args[0])) {
            stop(*actor, static_cast<Command>(command.command) == Command::suspend_thread);
        }
        break;
    case Command::terminate_thread:
        if (auto *actor = thread(command.args[0])) {
            world_.remove_actor(actor->id);
        }
        break;
    }
    return {.error = 0, .value = value, .blob = {}};
}

void Process::map(const rt::CommandHead &command, int fd) {
    const auto file = world_.fds.file(fd);
    if (file == nullptr) {
        world_.fail("a region is to be mapped onto a descriptor that is closed");
        return;
    }
    const auto page = command.args[0] / kPageBytes;
    const auto pages = command.args[1] / kPageBytes;
    const AddressSpace::Mapping mapping{
        .first = page, .pages = pages, .file = file, .offset = command.args[3] / kPageBytes, .registered = false};
    const bool fresh = world_.is_new(mapping);
    if (view_ && !fresh) {
        arriving.insert(page);
    } else {
        untold_.push_back({.mapping = mapping, .fresh = fresh});
    }
    if (view_) {
        tell_observer();
    }
    space->map(page, pages, file, mapping.offset);
    if (command.args[2] == VM_PROT_NONE) {
        space->forbid(page, pages);
    }
}

std::uint64_t Process::start_thread(const rt::CommandHead &command) {
    return world_.add_actor(*this, command.args[0], command.args[1]).tid;
}

std::uint64_t Process::resume_context(const rt::CommandHead &command) {
    auto *actor = world_.actor(command.args[0]);
    if (actor == nullptr) { // it ended while it was on its way
        return world_.next_tid();
    }
    if (actor->process != nullptr) {
        world_.fail(fmt::format("thread {} is to go on in process {} while it runs in process {}", actor->id, pid,
                                actor->process->pid));
        return actor->tid;
    }
    world_.probes.hit(Probe::thread_went_on_elsewhere);
    actor->go_on_in(*this);
    return actor->tid;
}

Actor *Process::thread(std::uint64_t tid) {
    for (const auto id : actors) {
        if (auto *actor = world_.actor(id); actor->tid == tid) {
            return actor;
        }
    }
    return nullptr;
}

void Process::stop(Actor &actor, bool stop) {
    actor.stopped = stop;
    if (stop || stopped) {
        world_.probes.hit(Probe::suspended_in_a_fault, actor.in_fault() ? 1 : 0);
    } else {
        actor.start_again();
    }
}

} // namespace norma::sim
