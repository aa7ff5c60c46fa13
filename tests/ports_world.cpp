// SPDX-License-Identifier: BSD-3-Clause
#include "tests/ports_world.hpp"

namespace norma::rt::test {

PortWorld::PortWorld(std::uint64_t seed, unsigned nodes) : random_(seed) {
    for (unsigned i = 0; i < nodes; ++i) {
        const auto node = static_cast<dsm::NodeId>(i);
        nodes_.push_back(std::make_unique<Node>());
        nodes_.back()->router = std::make_unique<Router>(
            node, nodes_.back()->loop, std::chrono::seconds(60),
            [this, node](dsm::NodeId to, const std::vector<std::byte> &record) {
                if (alive(node) && alive(to)) { // else it is answered when the news comes
                    wires_[{node, to}].push_back([this, node, to, record] { deliver(to, node, record); });
                }
            },
            [this, node](const Request &request, const Done &done) { serve(node, request, done); });
        nodes_.back()->service = std::make_unique<PortService>(node, 1, links(node));
    }
}

PortLinks PortWorld::links(dsm::NodeId self) {
    return {.call = [this, self](dsm::NodeId to, Request request, const Done &done,
                                 bool) { call(self, to, std::move(request), done); },
            .at =
                [this, self](std::chrono::milliseconds, std::function<void()> action) {
                    nodes_[self]->timers[++last_timer_] = std::move(action);
                    return last_timer_;
                },
            .cancel = [this, self](std::uint64_t timer) { nodes_[self]->timers.erase(timer); },
            .draw = [this] { return Key{.high = ++last_key_, .low = last_key_}; },
            .pay = [](TaskId, std::size_t) { return true; },
            .names = [this](TaskId task) { return names(task); },
            .each_names =
                [this, self](const std::function<void(NameSpace &)> &visit) {
                    for (auto &[task, space] : nodes_[self]->tasks) {
                        visit(space);
                    }
                },
            .server_of = [this, self](dsm::NodeId node) { return nodes_[self]->router->server_of(node); },
            .holds = [this, self](dsm::NodeId node) { return nodes_[self]->router->holds(node); }};
}

TaskId PortWorld::add_task(dsm::NodeId node) {
    const auto task = TaskId{node} << 48 | TaskId{1} << 32 | ++last_task_;
    nodes_[node]->tasks.emplace(task, NameSpace(16, {{1, {.kind = Right::Kind::task, .task = task, .thread = 0}}}));
    return task;
}

NameSpace *PortWorld::names(TaskId task) {
    auto &node = *nodes_[node_of(task)];
    const auto found = node.tasks.find(task);
    return node.down || found == node.tasks.end() ? nullptr : &found->second;
}

void PortWorld::end_task(TaskId task) {
    auto &node = *nodes_[node_of(task)];
    auto gone = node.tasks.extract(task);
    node.service->task_over(gone.mapped(), task);
}

void PortWorld::kill(dsm::NodeId node) {
    nodes_[node]->down = true;
    nodes_[node]->timers.clear();
    std::erase_if(wires_, [node](const auto &wire) { return wire.first.second == node; });
    if (!dies_in_departure(node)) {
        tell_of_death(node);
    }
}

// The others hear in the order in which the launcher has.
void PortWorld::tell_of_death(dsm::NodeId node) {
    for (dsm::NodeId other = 0; other < nodes(); ++other) {
        if (other != node && alive(other)) {
            wires_[{kLauncher, other}].push_back([this, other, node] { hear(other, node); });
        }
    }
}

// Deadlines are the router's own affair.
void PortWorld::call(dsm::NodeId from, dsm::NodeId to, Request request, const Done &done) {
    nodes_[from]->router->call(to, std::move(request), done, false);
}

void PortWorld::deliver(dsm::NodeId at, dsm::NodeId from, std::span<const std::byte> record) {
    auto &router = *nodes_[at]->router;
    if (static_cast<PeerMsg>(record[0]) == PeerMsg::request) {
        router.on_request(from, *decode_request(record));
        return;
    }
    std::uint64_t number = 0;
    auto reply = *decode_reply(record, number);
    router.on_reply(from, number, std::move(reply));
}

void PortWorld::serve(dsm::NodeId at, const Request &request, const Done &done) {
    if (request.op == Op::hold_calls) {
        serve_hold(at, request, done);
        return;
    }
    if (serve_move(at, request, done)) {
        return;
    }
    using Serve = void (PortService::*)(const Request &, const Done &);
    static const std::map<Op, Serve> kServe{
        {Op::port_attach, &PortService::serve_attach},   {Op::port_release, &PortService::serve_release},
        {Op::port_send, &PortService::serve_send},       {Op::port_receive, &PortService::serve_receive},
        {Op::port_destroy, &PortService::serve_destroy}, {Op::port_notify, &PortService::serve_notify},
        {Op::port_dead, &PortService::serve_dead},       {Op::port_taken, &PortService::serve_taken},
        {Op::port_cancel, &PortService::serve_cancel},   {Op::port_put, &PortService::serve_put}};
    (service(at).*kServe.at(request.op))(request, done);
}

// What the dead node has sent and has not arrived by now is lost; calls to it are answered.
void PortWorld::hear(dsm::NodeId at, dsm::NodeId dead) {
    auto &node = *nodes_[at];
    wires_.erase({dead, at});
    node.router->node_down(dead);
    forget_entrusted(at, dead);
    node.service->node_down(dead);
    end_awaited(at, dead);
    if (departure_ && departure_->node == at && departure_->successor == dead) {
        stay_in_job();
    }
}

bool PortWorld::step() {
    std::vector<std::function<void()>> choices;
    for (auto &wire : wires_) {
        if (!wire.second.empty()) {
            choices.push_back([&queue = wire.second] {
                const auto next = std::move(queue.front());
                queue.pop_front();
                next();
            });
        }
    }
    if (choices.empty() || below(16) == 0) { // time passes
        for (auto &node : nodes_) {
            if (!node->timers.empty()) {
                choices.push_back([&node] { node->timers.extract(node->timers.begin()).mapped()(); });
            }
        }
    }
    if (choices.empty()) {
        return false;
    }
    choices[below(static_cast<unsigned>(choices.size()))]();
    return true;
}

PortWorld::Traits PortWorld::left() const {
    Traits traits;
    for (const auto &node : nodes_) {
        if (!node->down) {
            traits.ports += node->service->home().ports();
            traits.references += node->service->references();
            traits.waiting += node->service->waiting() + node->service->home().waiting();
            traits.delivering += node->service->home().delivering();
        }
    }
    return traits;
}

} // namespace norma::rt::test
