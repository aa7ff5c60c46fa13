// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/router.hpp"

#include "norma/mach.h"
#include "rpc/transport.hpp"

#include <algorithm>
#include <numeric>

namespace norma::rt {

Router::Router(dsm::NodeId self, Loop &loop, std::chrono::milliseconds timeout, Send send, Execute execute)
    : self_(self), loop_(loop), timeout_(timeout), send_(std::move(send)), execute_(std::move(execute)) {
    std::iota(server_.begin(), server_.end(), dsm::NodeId{0});
}

void Router::call(dsm::NodeId node, Request request, Done done, bool deadline) {
    ask(node, std::move(request), {.node = node, .done = std::move(done), .late = nullptr, .timer = 0}, deadline);
}

void Router::call_to_the_end(dsm::NodeId node, Request request, Done done, Done late) {
    ask(node, std::move(request), {.node = node, .done = std::move(done), .late = std::move(late), .timer = 0}, true);
}

void Router::pass_on(dsm::NodeId node, Request request, Done done, bool deadline) {
    ask(node, std::move(request),
        {.node = node, .done = std::move(done), .late = nullptr, .timer = 0, .passed_on = true}, deadline);
}

void Router::ask(dsm::NodeId node, Request request, Pending pending, bool deadline) {
    if (asked_again_[node] && !is_for_place(request.op)) {
        again_.emplace_back(
            [this, node, request, pending, deadline] { ask_in_turn(node, request, pending, deadline); });
    } else {
        ask_in_turn(node, std::move(request), std::move(pending), deadline);
    }
}

void Router::ask_in_turn(dsm::NodeId node, Request request, Pending pending, bool deadline) {
    if (!is_for_place(request.op)) {
        const auto held = held_.find(server_[node]);
        if (held != held_.end() && (held->second.what == Hold::everything || !ends_something(request.op))) {
            held->second.requests.push_back(
                [this, node, request, pending, deadline] { ask_in_turn(node, request, pending, deadline); });
            return;
        }
        node = pending.node = server_[node];
    }
    const auto call = next_call_++;
    request.caller.node = self_;
    request.caller.call = call;
    if (node == self_) {
        execute_(request, std::move(pending.done));
        return;
    }
    if (down_[node]) {
        pending.done(status_reply(KERN_NODE_DOWN));
        return;
    }
    const auto record = encode(request);
    if (record.size() > rpc::kMaxRecordBytes) {
        pending.done(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    if (deadline) {
        pending.timer = loop_.at(Clock::now() + timeout_, [this, call] { expire(call); });
    }
    pending_.emplace(call, std::move(pending));
    send_(node, record);
}

void Router::tell(dsm::NodeId node, Request request) {
    call(node, std::move(request), [](const Reply &) {});
}

void Router::on_request(dsm::NodeId from, Request request) {
    const auto call = request.caller.call;
    ++open_requests_;
    execute_(request, [this, from, call](const Reply &reply) {
        --open_requests_;
        send_(from, encode(call, reply));
    });
}

void Router::on_reply(dsm::NodeId from, std::uint64_t call, Reply reply) {
    const auto found = pending_.find(call);
    if (found != pending_.end() && found->second.node == from) {
        finish(call, std::move(reply));
    }
}

void Router::expire(std::uint64_t call) {
    auto &pending = pending_.at(call);
    pending.timer = 0;
    if (!pending.late) {
        finish(call, status_reply(KERN_OPERATION_TIMED_OUT));
        return;
    }
    const auto done = std::exchange(pending.done, std::exchange(pending.late, nullptr));
    done(status_reply(KERN_OPERATION_TIMED_OUT));
}

void Router::finish(std::uint64_t call, Reply reply) {
    auto node = pending_.extract(call);
    loop_.cancel(node.mapped().timer);
    node.mapped().done(std::move(reply));
}

void Router::end_all_to(dsm::NodeId node) {
    std::vector<std::uint64_t> lost;
    for (const auto &[call, pending] : pending_) {
        if (pending.node == node) {
            lost.push_back(call);
        }
    }
    for (const auto call : lost) {
        finish(call, status_reply(KERN_NODE_DOWN));
    }
}

void Router::node_down(dsm::NodeId node) {
    down_.set(node);
    end_all_to(node);
    let_go(node);
}

// ---- nodes that leave ----

void Router::hold(dsm::NodeId node, Hold what) {
    held_.try_emplace(node).first->second.what = what;
}

dsm::NodeSet Router::served_by(dsm::NodeId node) const {
    dsm::NodeSet names;
    for (dsm::NodeId name = 0; name < dsm::kMaxNodes; ++name) {
        names[name] = server_[name] == node;
    }
    return names;
}

// What one of them leads to may come before the next has been asked: that a reference goes must not overtake that it
// has come.
void Router::let_go(dsm::NodeId node) {
    asked_again_ |= served_by(node);
    if (const auto held = held_.extract(node); !held.empty()) {
        const auto &requests = held.mapped().requests;
        again_.insert(again_.begin(), requests.begin(), requests.end());
    }
    while (!again_.empty()) {
        const auto next = std::move(again_.front());
        again_.pop_front();
        next();
    }
    asked_again_.reset();
}

// It may itself have been serving for nodes that have left before.
void Router::left(dsm::NodeId node, dsm::NodeId successor) {
    asked_again_ = served_by(node);
    std::ranges::replace(server_, node, successor);
    node_down(node);
}

void Router::withdraw() {
    std::vector<std::uint64_t> endless;
    for (const auto &[call, pending] : pending_) {
        if (pending.timer == 0 && pending.passed_on) {
            endless.push_back(call);
        }
    }
    for (const auto call : endless) {
        finish(call, status_reply(kWithdrawn));
    }
}

} // namespace norma::rt
