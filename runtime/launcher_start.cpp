// SPDX-License-Identifier: BSD-3-Clause
// A job until its program runs: the node servers are started here, or join from other hosts, and are made known to each
// other.
#include "runtime/launcher_job.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "runtime/c_strings.hpp"
#include "runtime/config.hpp"
#include "runtime/launcher_input.hpp"
#include "runtime/launcher_remote.hpp"
#include "runtime/launcher_say.hpp"

namespace norma::rt {
namespace {

using namespace std::chrono_literals;

constexpr auto kStartLimit = 60s; // from the first fork (or the last joiner) until all are connected

} // namespace

LauncherJob::LauncherJob(const JobOptions &options)
    : options_(options), key_(random_number()), lease_(load_config(c_strings(options.env).data()).lease),
      signals_(options.on_signal), nodes_(options.nodes) {
    deadline_ = Clock::now() + (options.joining ? options.joining->limit : kStartLimit);
}

void LauncherJob::open_gate() {
    if (!options_.joining) {
        return;
    }
    const auto &joining = *options_.joining;
    gate_.emplace(joining.listener >= 0 ? joining.listener : listen_at(joining.listen),
                  Gate::Terms{.size = size_with(options_.nodes),
                              .most = joining.late ? size_with(options_.nodes).places : options_.nodes,
                              .key = joining.key,
                              .env = options_.env,
                              .program = options_.program,
                              .cwd = options_.cwd});
    if (joining.announce && joining.expected.empty()) {
        const auto others = options_.nodes - joining.local;
        const auto whom = others == 0 ? std::string("nodes may join")
                                      : fmt::format("waiting for {} node{} to join", others, others == 1 ? "" : "s");
        say("{}: {}norma node --join {}", whom,
            joining.announce_key ? fmt::format("NORMA_JOB_KEY={} ", joining.key) : "", gate_->address());
    }
}

void LauncherJob::start_node_servers() {
    unsigned index = 0;
    try {
        for (const auto count = options_.joining ? options_.joining->local : options_.nodes; index < count; ++index) {
            nodes_[index].server = std::make_unique<NodeProcess>(index, size_with(options_.nodes), options_.node_server,
                                                                 options_.env, signals_.before());
            send(index, launch::JobKey{.key = key_});
        }
    } catch (const std::system_error &error) {
        say("cannot start node {}: {}", index, error.what());
        phase_ = Phase::ending;
        kill_all();
    }
}

// The gate stays open until the end: for those who may come late, and for the others to be told that they may not.
void LauncherJob::admit_joiners() {
    if (!gate_ || arrival_ || departure_) {
        return;
    }
    const auto free_place = [this](unsigned wanted) -> std::optional<unsigned> {
        if (phase_ == Phase::running) {
            const auto next = static_cast<unsigned>(nodes_.size());
            const bool room = options_.joining->late && wanted == 0 && next < size_with(next).places;
            return room ? std::optional(next) : std::nullopt;
        }
        const auto is_free = [](const Node &node) { return node.server == nullptr; };
        auto found = std::ranges::find_if(nodes_, is_free);
        if (wanted != 0) {
            found = wanted < nodes_.size() && is_free(nodes_[wanted]) ? nodes_.begin() + wanted : nodes_.end();
        }
        const bool any = phase_ == Phase::gathering && found != nodes_.end();
        return any ? std::optional(static_cast<unsigned>(found - nodes_.begin())) : std::nullopt;
    };
    const bool turned_away = gate_->serve(free_place, [this](unsigned index, Gate::Guest guest) {
        if (options_.joining->announce) {
            say("node {} is on {}", index, guest.name);
        }
        if (phase_ == Phase::running) {
            begin_arrival(std::make_unique<RemoteNode>(std::move(guest.stream)), guest.name, 0);
            return;
        }
        nodes_[index].host = guest.name;
        nodes_[index].server = std::make_unique<RemoteNode>(std::move(guest.stream));
        send(index, launch::JobKey{.key = key_});
    });
    if (turned_away && phase_ == Phase::gathering && !may_come_again()) {
        say("the job could not be started");
        shut_down(1);
    }
}

std::string LauncherJob::name_absent(const std::vector<std::size_t> &nodes) const {
    if (may_come_again()) {
        return list_nodes(nodes);
    }
    std::vector<std::string> names;
    for (const auto index : nodes) {
        names.push_back(options_.joining->expected[index]);
    }
    return fmt::format("{}", fmt::join(names, ", "));
}

void LauncherJob::not_started_in_time() {
    const bool gathering = phase_ == Phase::gathering;
    const auto limit = gathering && options_.joining ? options_.joining->limit : kStartLimit;
    const auto absent = nodes_that([](const Node &node) { return node.server == nullptr; });
    if (!absent.empty()) {
        say("{} not joined within {} s ({}{})", name_absent(absent) + (absent.size() == 1 ? " has" : " have"),
            limit / 1s, may_come_again() ? "norma node --join " : "at ", gate_->address());
    }
    const auto slow = nodes_that(
        [gathering](const Node &node) { return node.server != nullptr && !(gathering ? node.ready : node.connected); });
    if (!slow.empty()) {
        say("{} not {} after {} s", list_nodes(slow), gathering ? "ready" : "connected", limit / 1s);
    }
}

void LauncherJob::node_ready(std::size_t index, const std::vector<std::byte> &address) {
    nodes_[index].address = address;
    nodes_[index].ready = true;
    if (std::all_of(nodes_.begin(), nodes_.end(), [](const Node &node) { return node.ready; })) {
        send_start();
    }
}

void LauncherJob::node_connected(std::size_t index) {
    nodes_[index].connected = true;
    if (std::all_of(nodes_.begin(), nodes_.end(), [](const Node &node) { return node.connected; })) {
        send_run();
    }
}

void LauncherJob::send_start() {
    phase_ = Phase::connecting;
    if (options_.joining) {
        deadline_ = Clock::now() + kStartLimit;
    }
    launch::Start start;
    for (const auto &node : nodes_) {
        start.nodes.push_back({.incarnation = launch::kOnlyLife, .address = node.address});
    }
    for (std::size_t index = 0; index < nodes_.size(); ++index) {
        send(index, start);
    }
}

void LauncherJob::send_run() {
    phase_ = Phase::running;
    deadline_.reset();
    if (lease_ > 0ms) {
        leases_.emplace(nodes_.size(), lease_, Clock::now());
    }
    if (!options_.checkpoint.empty()) {
        begin_restoration();
        return;
    }
    const auto run = launch::encode(
        launch::Run{.program = options_.program, .argv = options_.argv, .env = options_.env, .cwd = options_.cwd});
    if (!nodes_[0].server->send(run) && (errno == EMSGSIZE || errno == ENOBUFS)) {
        say("the program's arguments and environment are too long ({} bytes)", run.size());
        shut_down(1);
    }
}

} // namespace norma::rt
