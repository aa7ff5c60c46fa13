// SPDX-License-Identifier: BSD-3-Clause
// Nodes that leave the job with the ports that live there: the steps of runtime/server/leaving and
// runtime/server/succession for what they are about ports, and of runtime/launcher_drain.
#include "tests/ports_world.hpp"

#include "runtime/server/countdown.hpp"

#include <gtest/gtest.h>

namespace norma::rt::test {

namespace {

constexpr unsigned kMostLooks = 10'000;

} // namespace

// ---- the node that leaves ----

void PortWorld::leave(dsm::NodeId node, dsm::NodeId successor) {
    EXPECT_FALSE(departure_ || has_tasks(node));
    departure_ = {.node = node, .successor = successor};
    wires_[{kLauncher, node}].push_back([this, attempt = ++attempt_] {
        if (departure_ && attempt == attempt_) {
            hold_all(Hold::beginnings, &PortWorld::wait_until_quiet);
        }
    });
}

void PortWorld::later(void (PortWorld::*again)()) {
    EXPECT_LT(++departure_->looks, kMostLooks) << "node " << departure_->node << " does not come to rest";
    if (departure_->looks < kMostLooks) {
        nodes_[departure_->node]->timers[++last_timer_] = [this, again, attempt = attempt_] {
            if (departure_ && attempt == attempt_) {
                (this->*again)();
            }
        };
    }
}

void PortWorld::hold_all(Hold what, void (PortWorld::*then)()) {
    const auto self = departure_->node;
    const auto left = countdown(1, [this, then, attempt = attempt_] {
        if (departure_ && attempt == attempt_) {
            below(16) == 0 ? stay_in_job() : (this->*then)(); // or something else keeps it
        }
    });
    for (dsm::NodeId other = 0; other < nodes(); ++other) {
        if (other != self && !nodes_[self]->router->is_down(other)) {
            ++left->open;
            Request hold;
            hold.op = Op::hold_calls;
            hold.args[0] = static_cast<std::uint64_t>(what);
            call(self, other, hold, [left](const Reply &) { left->one(); });
        }
    }
    left->one();
}

bool PortWorld::is_quiet(dsm::NodeId node) const {
    const auto &self = *nodes_[node];
    return self.router->open_calls() == 0 && self.router->open_requests() == 0 && self.service->is_quiet();
}

void PortWorld::wait_until_quiet() {
    service(departure_->node).withdraw_all();
    if (is_quiet(departure_->node)) {
        hold_all(Hold::everything, &PortWorld::wait_for_the_rest);
    } else {
        later(&PortWorld::wait_until_quiet);
    }
}

void PortWorld::wait_for_the_rest() {
    if (is_quiet(departure_->node)) {
        hold_all(Hold::everything, &PortWorld::hand_over);
    } else {
        later(&PortWorld::wait_for_the_rest);
    }
}

void PortWorld::hand_over() {
    const auto node = departure_->node, successor = departure_->successor;
    rpc::Writer writer;
    put_ports(writer, service(node).view());
    service(node).hand_over();
    wires_[{node, successor}].push_back([this, from = node, at = successor, bytes = writer.bytes()] {
        const auto ports = std::make_shared<MovedPorts>(from);
        rpc::Reader reader(bytes);
        EXPECT_TRUE(get_ports(reader, nodes(), *ports) && reader.done());
        nodes_[at]->entrusted = ports;
        service(at).hold(ports, [this, from, at, attempt = attempt_](const Reply &reply) {
            EXPECT_EQ(reply.status, KERN_SUCCESS);
            wires_[{at, from}].push_back([this, attempt] {
                if (departure_ && attempt == attempt_) {
                    below(16) == 0 ? stay_in_job() : leaves();
                }
            });
        });
    });
}

void PortWorld::stay_in_job() {
    const auto node = departure_->node;
    departure_.reset();
    ++failures;
    service(node).take_back();
    for (dsm::NodeId other = 0; other < nodes(); ++other) {
        if (other != node && !nodes_[node]->router->is_down(other)) {
            Request go_on;
            go_on.op = Op::hold_calls;
            call(node, other, go_on, [](const Reply &) {});
        }
    }
}

// ---- the others ----

void PortWorld::serve_hold(dsm::NodeId at, const Request &request, const Done &done) {
    const auto from = request.caller.node;
    if (request.args[0] == kGoOn) {
        forget_entrusted(at, from);
        nodes_[at]->router->let_go(from);
    } else {
        nodes_[at]->router->hold(from, static_cast<Hold>(request.args[0]));
    }
    done({});
}

void PortWorld::forget_entrusted(dsm::NodeId at, dsm::NodeId from) {
    auto &entrusted = nodes_[at]->entrusted;
    if (entrusted && entrusted->from == from) {
        service(at).let_go(*std::exchange(entrusted, nullptr));
    }
}

void PortWorld::serve_for() {
    const auto successor = departure_->successor;
    service(successor).take_over(*std::exchange(nodes_[successor]->entrusted, nullptr));
    wires_[{successor, kLauncher}].push_back([this, attempt = attempt_] {
        if (departure_ && departure_->serving && attempt == attempt_) {
            departed();
        }
    });
}

// ---- the launcher ----

// What the node says to it arrives at once, and what it says in its own time.
void PortWorld::leaves() {
    if (alive(departure_->successor)) { // else the node has yet to hear of it
        departure_->serving = true;
        wires_[{kLauncher, departure_->successor}].push_back([this] { serve_for(); });
    }
}

void PortWorld::departed() {
    const auto node = departure_->node, successor = departure_->successor;
    left_.set(node);
    departure_.reset();
    ++departures;
    for (dsm::NodeId other = 0; other < nodes(); ++other) {
        if (other != node && alive(other)) {
            wires_[{kLauncher, other}].push_back([this, other, node, successor] {
                wires_.erase({node, other});
                nodes_[other]->router->left(node, successor);
                service(other).node_left(node);
            });
        }
    }
    if (alive(node)) {
        wires_[{kLauncher, node}].push_back([this, node] { kill(node); });
    }
}

bool PortWorld::dies_in_departure(dsm::NodeId node) {
    if (left_[node]) {
        return true;
    }
    if (!departure_) {
        return false;
    }
    if (departure_->node == node) {
        departure_->ended = departure_->serving;
        if (!departure_->serving) {
            departure_.reset();
        }
        return departure_.has_value();
    }
    if (departure_->successor == node && departure_->serving) {
        departure_->serving = false;
        if (departure_->ended) {
            const auto other = departure_->node;
            departure_.reset();
            tell_of_death(other);
        }
    }
    return false;
}

} // namespace norma::rt::test
