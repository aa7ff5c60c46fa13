// SPDX-License-Identifier: BSD-3-Clause
// Nodes that join while the program runs (docs/joining.md): a node server is started here, or has come by the gate. It
// connects to all others, each of them to it, and then all are told that it is there. Until then nothing of the job has
// to do with it, so that it may end at any moment.
#include "runtime/launcher_job.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

#include "runtime/job_settings.hpp"
#include "runtime/launcher_say.hpp"

namespace norma::rt {
namespace {

using namespace std::chrono_literals;

constexpr auto kArrivalLimit = 60s;

} // namespace

// In a job that goes on from a checkpoint the numbers of nodes that there are no more lead to those there are, by way
// of how many these are. So their number does not change.
JobSize LauncherJob::size_with(std::size_t nodes) const {
    return {.nodes = static_cast<unsigned>(nodes),
            .founders = options_.nodes,
            .places = options_.checkpoint.empty() ? std::max(options_.places, options_.nodes) : options_.nodes};
}

void LauncherJob::serve_wishes() {
    while (control_ && phase_ == Phase::running && !arrival_ && !departure_) {
        const auto wish = control_->next_wish();
        if (!wish) {
            return;
        }
        add_node_here(*wish);
    }
}

void LauncherJob::add_node_here(std::uint64_t wish) {
    const auto index = static_cast<unsigned>(nodes_.size());
    const auto size = size_with(nodes_.size() + 1);
    if (size.nodes > size.places) {
        control_->wish_ends(wish, 0, fmt::format("the job has room for {} nodes (norma run --max-nodes)", size.places));
        return;
    }
    try {
        begin_arrival(
            std::make_unique<NodeProcess>(index, size, options_.node_server, environment_here(), signals_.before()), "",
            wish);
    } catch (const std::system_error &error) {
        control_->wish_ends(wish, 0, error.what());
    }
}

// The nodes that are here have divided the processors and the memory among themselves, and keep what they have.
Environment LauncherJob::environment_here() const {
    auto env = options_.env;
    const auto here =
        1 + nodes_that([](const Node &node) { return node.server != nullptr && node.host.empty(); }).size();
    const auto shares = value_in(env, "NORMA_HOST_NODES");
    if (!shares || std::stoul(std::string(*shares)) < here) {
        set_in(env, "NORMA_HOST_NODES", std::to_string(here));
        set_in(env, "NORMA_CORE_SHARE", std::to_string(here - 1));
        set_in(env, "NORMA_CORE_SHARES", std::to_string(here));
    }
    return env;
}

void LauncherJob::begin_arrival(std::unique_ptr<NodeServer> server, std::string host, std::uint64_t wish) {
    arrival_ = Arrival{.node = nodes_.size(),
                       .wish = wish,
                       .announced = false,
                       .awaited = {},
                       .trouble = {},
                       .deadline = Clock::now() + kArrivalLimit};
    auto &node = nodes_.emplace_back();
    node.server = std::move(server);
    node.host = std::move(host);
    send(arrival_->node, launch::JobKey{.key = key_});
}

bool LauncherJob::from_arrival(std::size_t index, const launch::Record &record) {
    if (phase_ != Phase::running) {
        return false;
    }
    if (const auto *met = std::get_if<launch::Met>(&record)) {
        meet_arrival(index, *met);
        return true;
    }
    if (!is_arriving(index)) {
        return false;
    }
    if (const auto *fatal = std::get_if<launch::Fatal>(&record)) {
        give_up_arrival(fatal->why);
        return true;
    }
    if (const auto *ready = std::get_if<launch::Ready>(&record)) {
        nodes_[index].address = ready->address;
        launch::Start start;
        for (std::size_t other = 0; other < nodes_.size(); ++other) {
            start.nodes.push_back({.incarnation = launch::kOnlyLife, .address = nodes_[other].address});
            if (nodes_[other].left) {
                send(index, launch::NodeLeft{.node = static_cast<std::uint16_t>(other),
                                             .successor = static_cast<std::uint16_t>(nodes_[other].successor)});
            } else if (!nodes_[other].alive()) {
                send(index, launch::NodeDown{.node = static_cast<std::uint16_t>(other), .why = "before this one came"});
            }
        }
        send(index, start);
        return true;
    }
    if (std::holds_alternative<launch::Connected>(record) && !arrival_->announced) {
        announce_arrival();
        return true;
    }
    return false;
}

void LauncherJob::announce_arrival() {
    arrival_->announced = true;
    const auto index = arrival_->node;
    for (const auto other : nodes_that(&Node::alive)) {
        if (other != index) {
            arrival_->awaited.insert(other);
            send(other, launch::Newcomer{.node = static_cast<std::uint16_t>(index),
                                         .incarnation = launch::kOnlyLife,
                                         .address = nodes_[index].address,
                                         .nearby = nodes_[index].host.empty() && nodes_[other].host.empty()});
        }
    }
}

void LauncherJob::meet_arrival(std::size_t index, const launch::Met &met) {
    if (!is_arriving(met.node)) {
        return; // it has ended meanwhile
    }
    if (!met.why.empty()) {
        return give_up_arrival(fmt::format("node {} cannot connect to it: {}", index, met.why));
    }
    arrival_->awaited.erase(index);
    settle_arrival();
}

void LauncherJob::settle_arrival() {
    if (!arrival_->announced || !arrival_->awaited.empty()) {
        return;
    }
    const auto arrival = *std::exchange(arrival_, std::nullopt);
    const auto node = static_cast<std::uint16_t>(arrival.node);
    for (const auto other : nodes_that(&Node::alive)) {
        send(other, launch::Joined{.node = node});
    }
    if (leases_) {
        leases_->begin(arrival.node, Clock::now());
    }
    if (control_) {
        control_->wish_ends(arrival.wish, node, "");
    }
}

// Its end says the rest.
void LauncherJob::give_up_arrival(const std::string &why) {
    arrival_->trouble = why;
    nodes_[arrival_->node].server->kill();
}

void LauncherJob::handle_late_arrival() {
    if (arrival_ && arrival_->deadline && Clock::now() >= *arrival_->deadline) {
        arrival_->deadline.reset();
        give_up_arrival(fmt::format("not connected after {} s", kArrivalLimit / 1s));
    }
}

void LauncherJob::arrival_ended(const std::string &why) {
    const auto arrival = *std::exchange(arrival_, std::nullopt);
    const auto &reason = arrival.trouble.empty() ? why : arrival.trouble;
    std::erase_if(disputes_, [&](const Dispute &dispute) {
        return dispute.victim == arrival.node || dispute.other == arrival.node;
    });
    say("node {} has not joined ({})", arrival.node, reason);
    if (arrival.announced) {
        const launch::NodeDown down{.node = static_cast<std::uint16_t>(arrival.node), .why = reason};
        for (const auto other : nodes_that(&Node::alive)) {
            send(other, down);
        }
    } else {
        nodes_.pop_back();
    }
    if (control_) {
        control_->wish_ends(arrival.wish, 0, reason);
    }
}

} // namespace norma::rt
