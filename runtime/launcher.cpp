// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_job.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <exception>
#include <system_error>

#include <poll.h>
#include <sys/wait.h>

#include "runtime/launcher_say.hpp"

namespace norma::rt {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstTaskLostLimit = 500ms; // after its node is gone, for another node to say that it has moved there
constexpr auto kEndLimit = 3s;              // from the order to shut down until the node servers are killed
constexpr auto kDyingLimit = 500ms;         // from the end of a node server's connections to its own
constexpr auto kKillLimit = 5s;             // from the kill until the launcher gives up waiting

std::string describe_signal(int signal) {
    return fmt::format("signal {} ({})", signal, ::strsignal(signal));
}

} // namespace

std::string list_nodes(const std::vector<std::size_t> &nodes) {
    return fmt::format("node{} {}", nodes.size() == 1 ? "" : "s", fmt::join(nodes, ", "));
}

int LauncherJob::run() {
    open_gate();
    open_control();
    start_node_servers();
    while (alive() > 0) {
        wait_for_events();
        admit_joiners();
        handle_sockets();
        if (control_) {
            control_->serve([this] { return seen_from_outside(); });
        }
        serve_wishes();
        handle_signals();
        serve_orders();
        serve_leavers();
        handle_deaths();
        handle_leases();
        handle_disputes();
        handle_late_arrival();
        handle_deadline();
        if (killed_ && !deadline_) {
            break;
        }
    }
    await_writer();
    return exit_status_;
}

void LauncherJob::open_control() {
    try {
        control_.emplace();
    } catch (const std::system_error &error) {
        say("nobody will be able to look at this job: {}", error.what());
    }
}

Control::Job LauncherJob::seen_from_outside() {
    const auto there = nodes_.size() - (arrival_ ? 1 : 0);
    Control::Job job{
        .overview = {.number = 0,
                     .nodes = static_cast<std::uint16_t>(there),
                     .first_task_at = static_cast<std::uint16_t>(first_task_at_),
                     .running = phase_ == Phase::running && !restoration_,
                     .program = options_.program},
        .alive = {},
        .left = {},
        .busy = departure_ ? "a node is leaving it"
                : arrival_ ? "a node is joining it"
                           : "",
        .ask = [this](std::size_t node, const launch::Record &question) { send(node, question); },
        .drain = [this](std::uint64_t number, const launch::Drain &order) { return begin_departure(number, order); }};
    for (const auto &node : std::span(nodes_).first(there)) {
        job.alive.push_back(node.alive() && !node.left);
        job.left.push_back(node.left);
    }
    return job;
}

void LauncherJob::wait_for_events() {
    std::vector<pollfd> fds{{signals_.fd(), POLLIN, 0}};
    for (const auto &node : nodes_) {
        if (node.server != nullptr && node.server->fd() >= 0) {
            fds.push_back({node.server->fd(), node.server->events(), 0});
        }
    }
    auto wake = deadline_;
    const auto no_later_than = [&wake](std::optional<Clock::time_point> other) {
        if (other) {
            wake = std::min(wake.value_or(*other), *other);
        }
    };
    if (!disputes_.empty()) {
        no_later_than(disputes_.front().at);
    }
    if (arrival_) { // others wait at the gate
        no_later_than(arrival_->deadline);
    } else if (gate_) {
        gate_->add_to(fds);
        no_later_than(gate_->deadline());
    }
    if (control_) {
        control_->add_to(fds);
        no_later_than(control_->deadline());
    }
    if (leases_) {
        no_later_than(leases_->deadline());
    }
    int timeout = -1;
    if (wake) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*wake - Clock::now());
        timeout = static_cast<int>(std::max(left, 0ms).count());
    }
    ::poll(fds.data(), fds.size(), timeout);
}

// A SIGCHLD only wakes the launcher up.
void LauncherJob::handle_signals() {
    while (const auto signal = signals_.next()) {
        if (*signal == SIGCHLD || asked_for(*signal)) {
            continue;
        }
        if (phase_ == Phase::ending) {
            kill_all(); // asked twice, or impatient with a job that ends slowly
        } else {
            shut_down(128 + *signal);
        }
    }
}

void LauncherJob::handle_sockets() {
    for (std::size_t index = 0; index < nodes_.size(); ++index) {
        drain(index);
    }
}

// After the signals: a SIGCHLD that has been read must be followed by a look at the children, since nothing else says
// that one has ended.
void LauncherJob::handle_deaths() {
    for (std::size_t index = 0; index < nodes_.size(); ++index) {
        auto *server = nodes_[index].server.get();
        if (server != nullptr && server->ended()) {
            drain(index); // its last words; take_end() closes the socket
            node_ended(index, server->take_end());
        }
    }
}

// After the sockets, where answers may have been waiting. A node that is given up is ended before anybody is told that
// it is gone: here by SIGKILL, which ends also a process that is stopped; on another host by its joiner, when it sees
// that the connection is closed.
void LauncherJob::handle_leases() {
    if (!leases_) {
        return;
    }
    const auto now = Clock::now();
    for (const auto node : leases_->run_out(now)) {
        if (nodes_[node].alive()) {
            say("node {} has not answered for NORMA_LEASE ({} s): it is ended", node, lease_ / 1.0s);
            nodes_[node].server->kill();
        }
    }
    for (const auto node : leases_->to_ask(now)) {
        if (nodes_[node].alive()) {
            send(node, launch::StillHere{});
        }
    }
}

void LauncherJob::handle_disputes() {
    while (!disputes_.empty() && Clock::now() >= disputes_.front().at) {
        const auto dispute = std::move(disputes_.front());
        disputes_.erase(disputes_.begin());
        if (phase_ != Phase::ending && nodes_[dispute.victim].alive() && nodes_[dispute.other].alive()) {
            const auto [low, high] = std::minmax(dispute.victim, dispute.other);
            say("nodes {} and {} have lost each other ({}): node {} is ended", low, high, dispute.why, dispute.victim);
            nodes_[dispute.victim].server->kill();
        }
    }
}

void LauncherJob::handle_deadline() {
    if (!deadline_ || Clock::now() < *deadline_ || alive() == 0) {
        return;
    }
    deadline_.reset();
    if (phase_ == Phase::running) {
        if (!nodes_[first_task_at_].alive()) {
            say("the first task was lost with node {}", first_task_at_);
            shut_down(1);
        }
    } else if (phase_ != Phase::ending) {
        not_started_in_time();
        shut_down(1);
    } else if (!killed_) {
        say("{} did not end within {} s: killed", list_nodes(nodes_that(&Node::alive)), kEndLimit / 1s);
        kill_all();
    } else {
        say("{} cannot be killed", list_nodes(nodes_that(&Node::alive)));
    }
}

void LauncherJob::drain(std::size_t index) {
    auto *server = nodes_[index].server.get();
    while (server != nullptr) {
        switch (server->receive(buffer_)) {
        case NodeServer::Received::record:
            handle_record(index, buffer_);
            break;
        case NodeServer::Received::closed:
            // It cannot be told anything any more. Usually it is dying; kill() makes sure.
            if (phase_ != Phase::ending) {
                server->kill();
            }
            return;
        case NodeServer::Received::nothing:
            return;
        }
    }
}

void LauncherJob::handle_record(std::size_t index, std::span<const std::byte> bytes) {
    const auto record = launch::decode(bytes);
    if (record) {
        if (from_arrival(index, *record)) {
            return;
        }
        if (const auto *ready = std::get_if<launch::Ready>(&*record); ready != nullptr && phase_ == Phase::gathering) {
            return node_ready(index, ready->address);
        }
        if (std::holds_alternative<launch::Connected>(*record) && phase_ == Phase::connecting) {
            return node_connected(index);
        }
        if (const auto *exited = std::get_if<launch::Exited>(&*record); exited != nullptr && phase_ == Phase::running) {
            // Of a task that has moved, the node it has left may not know that it has arrived.
            if (index == first_task_at_ || !nodes_[first_task_at_].alive()) {
                first_task_ended(exited->status, exited->note);
            }
            return;
        }
        if (std::holds_alternative<launch::Hosting>(*record) && phase_ == Phase::running) {
            first_task_at_ = index;
            deadline_.reset(); // it left its old node before that one died
            return;
        }
        if (std::holds_alternative<launch::Here>(*record)) {
            if (leases_) {
                leases_->answered(index, Clock::now());
            }
            return;
        }
        if (const auto *seen = std::get_if<launch::Seen>(&*record); seen != nullptr && control_) {
            return control_->seen(index, *seen);
        }
        if (const auto *migrated = std::get_if<launch::Migrated>(&*record); migrated != nullptr && control_) {
            return control_->migrated(index, *migrated);
        }
        if (handle_departure(index, *record)) {
            return;
        }
        if (const auto *reached = std::get_if<launch::CheckpointReached>(&*record); reached != nullptr && control_) {
            return control_->reached(index, *reached);
        }
        if (const auto *piece = std::get_if<launch::CheckpointPiece>(&*record); piece != nullptr && control_) {
            return control_->piece(index, *piece);
        }
        if (const auto *restored = std::get_if<launch::Restored>(&*record); restored != nullptr && restoration_) {
            return piece_restored(index, *restored);
        }
        if (const auto *suspect = std::get_if<launch::Suspect>(&*record);
            suspect != nullptr && suspect->node < nodes_.size() && suspect->node != index) {
            return suspected(index, *suspect);
        }
        if (const auto *fatal = std::get_if<launch::Fatal>(&*record)) {
            say("node {}: {}", index, fatal->why);
            const bool place_is_free_again =
                phase_ == Phase::gathering && !nodes_[index].host.empty() && may_come_again(); // see node_ended
            if (!place_is_free_again) {
                shut_down(1);
            }
            return;
        }
    }
    if (phase_ != Phase::ending) {
        const auto type = bytes.empty() ? 0U : std::to_integer<unsigned>(bytes[0]);
        say("node {} sent an unexpected message (type {}, {} bytes)", index, type, bytes.size());
        shut_down(1);
    }
}

// As a rule one of the two is dying. If not, one must go before anybody is told that it is gone: who is dead to some
// and alive to others would keep pages that have moved on. The first task's node stays; else the first to complain
// does.
void LauncherJob::suspected(std::size_t by, const launch::Suspect &suspect) {
    const std::size_t other = suspect.node;
    const bool known = std::ranges::any_of(disputes_, [&](const Dispute &dispute) {
        return std::minmax(dispute.victim, dispute.other) == std::minmax(by, other);
    });
    const bool left = nodes_[by].left || nodes_[other].left;
    if (!known && !left && nodes_[by].alive() && nodes_[other].alive()) {
        const auto victim = is_arriving(by) || other == first_task_at_ ? by : other;
        disputes_.push_back({.at = Clock::now() + kDyingLimit,
                             .victim = victim,
                             .other = victim == by ? other : by,
                             .why = suspect.why});
    }
}

void LauncherJob::first_task_ended(int status, const std::string &note) {
    if (!note.empty()) {
        say("{}", note);
    }
    if (WIFSIGNALED(status)) {
        say("task killed by {}", describe_signal(WTERMSIG(status)));
        shut_down(128 + WTERMSIG(status));
    } else {
        shut_down(WEXITSTATUS(status));
    }
}

void LauncherJob::node_ended(std::size_t index, const NodeServer::End &end) {
    leavers_.erase(index);
    if (departure_ && departure_->node == index && nodes_[index].left) {
        gone_for_good();
    }
    if (control_) {
        control_->node_ended(index);
    }
    if (leases_) {
        leases_->end(index);
    }
    if (killed_) {
        return;
    }
    if (phase_ == Phase::running && is_arriving(index)) {
        return arrival_ended(end.why);
    }
    if (phase_ == Phase::gathering && !nodes_[index].host.empty() && may_come_again()) {
        say("node {} on {} is gone ({}); its place is free again", index, nodes_[index].host, end.why);
        nodes_[index] = {};
        return;
    }
    if (ended_in_departure(index, end.why)) {
        return;
    }
    // The end of a job may itself come from a death that has not been noticed here yet.
    if (phase_ != Phase::ending || end.violent) {
        say("node {} is gone ({})", index, end.why);
    }
    if (phase_ == Phase::ending) {
        return;
    }
    if (phase_ != Phase::running || restoration_) {
        say("the job could not be started");
        return shut_down(1);
    }
    say_down(index, end.why);
}

void LauncherJob::say_down(std::size_t index, const std::string &why) {
    const launch::NodeDown down{.node = static_cast<std::uint16_t>(index), .why = why};
    for (const auto other : nodes_that(&Node::alive)) {
        send(other, down);
    }
    if (index == first_task_at_) {
        deadline_ = Clock::now() + kFirstTaskLostLimit;
    }
    if (arrival_ && arrival_->awaited.erase(index) != 0) {
        settle_arrival();
    }
}

// A node server that does not take a record will be found dead, or is stuck and as good as dead: so make sure.
void LauncherJob::send(std::size_t index, const launch::Record &record) {
    if (!nodes_[index].server->send(launch::encode(record))) {
        nodes_[index].server->kill();
    }
}

void LauncherJob::shut_down(int exit_status) {
    if (phase_ == Phase::ending) {
        return;
    }
    phase_ = Phase::ending;
    leases_.reset();
    exit_status_ = exit_status;
    deadline_ = Clock::now() + kEndLimit;
    const auto record = launch::encode(launch::Shutdown{});
    for (const auto index : nodes_that(&Node::alive)) {
        nodes_[index].server->send(record); // one that does not listen meets the deadline
    }
}

void LauncherJob::kill_all() {
    killed_ = true;
    deadline_ = Clock::now() + kKillLimit;
    for (const auto index : nodes_that(&Node::alive)) {
        nodes_[index].server->kill();
    }
}

int run_job(const JobOptions &options) {
    try {
        return LauncherJob(options).run();
    } catch (const std::exception &error) {
        say("cannot run the job: {}", error.what());
        return 1;
    }
}

} // namespace norma::rt
