// SPDX-License-Identifier: BSD-3-Clause
// The node server's part about the job it belongs to: its launcher, its signals, its end.
#include "runtime/server/node.hpp"

#include "norma/mach.h"
#include "runtime/launch.hpp"
#include "runtime/log.hpp"
#include "runtime/server/binding.hpp"
#include "runtime/server/checkpointing.hpp"
#include "runtime/server/door.hpp"
#include "runtime/server/report.hpp"
#include "runtime/server/restoration.hpp"

#include <csignal>
#include <fmt/format.h>
#include <memory>
#include <stdexcept>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr auto kDoorPause = std::chrono::seconds(1);

// The launcher's next record; empty at the end of the connection.
std::span<const std::byte> from_launcher(bool wait) {
    static std::vector<std::byte> buffer(kMaxLaunchBytes);
    const auto size = ::recv(kLaunchFd, buffer.data(), buffer.size(), wait ? 0 : MSG_DONTWAIT);
    return std::span(buffer).first(size > 0 ? static_cast<std::size_t>(size) : 0);
}

} // namespace

void Node::tell_launcher(const launch::Record &record) {
    const auto bytes = launch::encode(record);
    ::send(kLaunchFd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

int Node::run() {
    // Before the transport makes threads of its own: a signal goes to any thread that does not block it.
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, nullptr);
    if (config.bind == BindMode::cores) {
        const auto share = config.core_shares != 0
                               ? bind_to_share(config.core_share % config.core_shares, config.core_shares)
                               : bind_to_share(self % nodes_here(), nodes_here());
        log_info("bound to processors {}", share.processors);
        const bool latecomer = self >= founders && nodes_here() > 1; // its processors are others' as well
        if (!share.alone || latecomer) { // spinning would only keep the others from answering
            loop.never_spin();
        }
    }
    const auto first = launch::decode(from_launcher(true));
    const auto *job = first ? std::get_if<launch::JobKey>(&*first) : nullptr;
    if (job == nullptr) {
        throw std::runtime_error("the launcher's first record is not the job's key");
    }
    start({.self = self,
           .kind = config.transport,
           .job_key = job->key,
           .incarnation = incarnation,
           .verbs = {.device = config.verbs_device, .port = config.verbs_port, .gid_index = config.verbs_gid_index}});

    signal_fd_ = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    loop.watch(signal_fd_, [this](std::uint32_t) {
        signalfd_siginfo info{};
        while (::read(signal_fd_, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGTERM) {
                shut_down();
            }
        }
        reap();
    });
    loop.watch(kLaunchFd, [this](std::uint32_t) { serve_launcher(); });
    tell_launcher(launch::Ready{.address = transport->address()});
    loop.run();
    return 0;
}

void Node::serve_launcher() {
    const auto record = from_launcher(false);
    if (record.empty()) { // the launcher is gone, and the job with it
        shut_down();
        return;
    }
    auto order = launch::decode(record);
    if (!order) {
        throw std::runtime_error(fmt::format("the launcher sent a damaged record ({} bytes)", record.size()));
    }
    if (const auto *start = std::get_if<launch::Start>(&*order)) {
        connect_all(*start);
    } else if (auto *run = std::get_if<launch::Run>(&*order)) {
        run_first(std::move(*run));
    } else if (const auto *down = std::get_if<launch::NodeDown>(&*order)) {
        if (down->node < count) {
            node_down(down->node, down->why);
        }
    } else if (const auto *newcomer = std::get_if<launch::Newcomer>(&*order)) {
        meet(*newcomer);
    } else if (const auto *joined = std::get_if<launch::Joined>(&*order)) {
        announce(joined->node);
    } else if (const auto *left = std::get_if<launch::NodeLeft>(&*order)) {
        if (left->node < count && left->successor < count) {
            node_left(left->node, left->successor);
        }
    } else if (const auto *drain = std::get_if<launch::Drain>(&*order)) {
        departure.begin(*drain);
    } else if (const auto *serve = std::get_if<launch::Serve>(&*order)) {
        succession.serve(serve->node);
        tell_launcher(launch::Served{.node = serve->node});
    } else if (const auto *look = std::get_if<launch::Look>(&*order)) {
        tell_launcher(launch::Seen{.number = look->number, .report = report_of(*this, look->task)});
    } else if (std::holds_alternative<launch::StillHere>(*order)) {
        tell_launcher(launch::Here{});
    } else if (const auto *move = std::get_if<launch::Migrate>(&*order)) {
        migrate(*move);
    } else if (const auto *step = std::get_if<launch::TakeStep>(&*order)) {
        if (checkpointing_ == nullptr) {
            checkpointing_ = std::make_shared<Checkpointing>(*this, tell_launcher);
        }
        checkpointing_->take_step(*step);
    } else if (const auto *read = std::get_if<launch::CheckpointRead>(&*order)) {
        if (checkpointing_ != nullptr) {
            checkpointing_->read(*read);
        }
    } else if (auto *piece = std::get_if<launch::Restore>(&*order)) {
        restore(std::move(*piece));
    } else if (std::holds_alternative<launch::Shutdown>(*order)) {
        shut_down();
    } else {
        throw std::runtime_error("the launcher sent a record that only node servers send");
    }
}

namespace {

std::string why_not(const Reply &reply) {
    if (!reply.blob.empty()) {
        return {reinterpret_cast<const char *>(reply.blob.data()), reply.blob.size()};
    }
    switch (reply.status) {
    case KERN_INVALID_TASK:
        return "it is moving already, or has ended";
    case KERN_INVALID_ARGUMENT:
        return "there is no such node";
    case KERN_NODE_DOWN:
        return "that node has died";
    default:
        return fmt::format("error {}", reply.status);
    }
}

} // namespace

void Node::migrate(const launch::Migrate &order) {
    const auto found = tasks.find(order.task);
    if (found == tasks.end() || found->second->threads_moved) {
        tell_launcher(launch::Migrated{.number = order.number, .task = 0, .why = "there is no such task"});
        return;
    }
    Request request;
    request.op = Op::task_migrate;
    request.target = found->second->own_right();
    request.args = {order.node, order.flags};
    execute(request, [order](const Reply &reply) {
        launch::Migrated answer{.number = order.number, .task = 0, .why = ""};
        if (reply.status == KERN_SUCCESS) { // without a right it was there already
            answer.task = reply.rights.empty() ? order.task : reply.rights.front().task;
        } else {
            answer.why = why_not(reply);
        }
        tell_launcher(answer);
    });
}

void Node::restore(launch::Restore piece) {
    const auto done = [](const std::string &why) { tell_launcher(launch::Restored{.why = why}); };
    if (restoration_ == nullptr) {
        restoration_ = std::make_shared<Restoration>(*this);
    }
    if (piece.kind == 0) {
        restoration_->make_tasks(done);
    } else if (checkpoint::is_kind(piece.kind)) {
        restoration_->take(
            {.kind = static_cast<checkpoint::Kind>(piece.kind), .node = piece.node, .bytes = std::move(piece.bytes)},
            done);
    } else {
        done("the launcher is of another version");
    }
}

void Node::connect_all(const launch::Start &start) {
    if (start.nodes.size() != count) {
        throw std::runtime_error(fmt::format("the launcher listed {} nodes instead of {}", start.nodes.size(), count));
    }
    for (dsm::NodeId node = 0; node < count; ++node) {
        if (node != self && !router.is_down(node)) {
            transport->connect(node, start.nodes[node].incarnation, start.nodes[node].address);
        }
    }
    tell_launcher(launch::Connected{});
    if (self < founders) { // else when all have met it
        open_door();
        open_to_importers();
    }
}

// It knows all nodes already. What it cannot know is where objects are that have moved.
void Node::meet(const launch::Newcomer &newcomer) {
    if (newcomer.node != count || newcomer.node >= window.slices) {
        throw std::runtime_error(fmt::format("the launcher says that node {} joins a job of {} nodes with room for {}",
                                             newcomer.node, count, window.slices));
    }
    ++count;
    log_info("node {} joins", newcomer.node);
    if (newcomer.nearby) { // it has processors that nodes here have, too
        loop.never_spin();
    }
    launch::Met met{.node = newcomer.node, .why = ""};
    try {
        transport->connect(newcomer.node, newcomer.incarnation, newcomer.address);
    } catch (const std::runtime_error &error) {
        met.why = error.what();
        tell_launcher(met);
        return;
    }
    rehoming.tell(newcomer.node, [met] { tell_launcher(met); });
}

void Node::announce(dsm::NodeId joined) {
    announced = joined + 1U;
    if (joined == self) {
        open_door();
        open_to_importers();
    }
    for (auto &[id, task] : tasks) {
        if (task->state == Task::State::running) {
            command(*task, Command::nodes, {announced}, [](const Ack &) {});
        }
    }
}

// For processes that attach themselves. The job goes on if nobody can.
void Node::open_door() {
    try {
        door_ = std::make_shared<Door>(::getppid(), self);
        open_door_again();
    } catch (const std::system_error &error) {
        log_warning("no process can attach itself to this node: {}", error.what());
    }
}

// For those of other nodes of this machine. Who has chosen a network wants accesses to go over it.
void Node::open_to_importers() {
    if (config.transport != "ucx" && config.transport != "shm") {
        return;
    }
    try {
        direct.open();
    } catch (const std::system_error &error) {
        log_warning("tasks of other nodes of this machine reach exported memory by messages: {}", error.what());
    }
}

// Whoever cannot be taken in for want of descriptors waits, and the node server does not look at him all the time.
void Node::open_door_again() {
    loop.watch(door_->fd(), [this](std::uint32_t) {
        while (auto visitor = door_->next()) {
            let_in(std::move(*visitor));
        }
        if (door_->is_stuck()) {
            loop.unwatch(door_->fd());
            loop.at(Clock::now() + kDoorPause, [this] { open_door_again(); });
        }
    });
}

void Node::run_first(launch::Run run) {
    Program program;
    program.path = std::move(run.program);
    program.argv = std::move(run.argv);
    program.env = std::move(run.env);
    program.cwd = std::move(run.cwd);
    start_first(std::move(program));
}

void Node::report_exit(int status, const std::string &note) {
    if (!shutting_down_) {
        tell_launcher(launch::Exited{.status = status, .note = note});
    }
}

void Node::report_hosting() {
    tell_launcher(launch::Hosting{});
}

void Node::suspect(dsm::NodeId node, const std::string &why) {
    if (!router.is_down(node) && !shutting_down_) {
        log_info("the connection to node {} broke: {}", node, why);
        tell_launcher(launch::Suspect{.node = node, .why = why});
    }
}

void Node::shut_down() {
    shutting_down_ = true;
    for (auto &[id, task] : tasks) {
        if (!task->is_attached()) { // else its process goes on, without the job
            processes.kill(task->pid);
        }
    }
    for (auto &[id, task] : tasks) {
        add_to_account(*task, task->is_attached() ? Processes::End{.pid = task->pid, .status = 0, .cpu = {}}
                                                  : processes.wait_for(task->pid));
    }
    if (!config.account.empty()) {
        write_account(config.account, self, spent, pager.counters());
    }
    pager.save_what_is_here();
    loop.stop();
}

} // namespace norma::rt
