// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/sync_service.hpp"

#include "runtime/protocol.hpp"

#include <algorithm>

namespace norma::rt {

void SyncService::create(const Request &request, const Done &done) {
    Reply reply;
    SyncId id = 0;
    const auto kind = static_cast<SyncKind>(request.args[0] <= 0xff ? request.args[0] : 0);
    reply.status = request.args[1] > 0xffffffff ? KERN_INVALID_ARGUMENT
                                                : home_.create(kind, static_cast<std::uint32_t>(request.args[1]), id);
    reply.vals[0] = id;
    done(reply);
}

namespace {

Waiter waiter_of(const Request &request) {
    return {.node = request.caller.node,
            .task = request.caller.task,
            .thread = request.caller.thread,
            .call = request.caller.call};
}

} // namespace

void SyncService::queue_at(const SyncWord &word, const Request &request, const Done &done) {
    Reply reply;
    reply.status = home_.queue_at(word, waiter_of(request), reply.vals[0]);
    done(reply);
}

void SyncService::wake(const SyncWord &word, const Request &request, const Done &done) {
    constexpr std::uint64_t kAll = 0xffffffff;
    Outcomes outcomes;
    Reply reply;
    reply.vals[0] = home_.wake(word, static_cast<std::uint32_t>(std::min(request.args[1], kAll)), outcomes);
    deliver(std::move(outcomes));
    done(reply);
}

void SyncService::request(const Request &request, Done done) {
    const Waiter waiter = waiter_of(request);
    const auto op = static_cast<SyncOp>(request.args[1] <= 0xff ? request.args[1] : 0);
    const Key key{waiter.node, waiter.call};
    pending_[key] = {.waiter = waiter, .done = std::move(done), .timer = 0};
    Outcomes outcomes;
    home_.request(op, request.args[0], waiter, outcomes);
    deliver(std::move(outcomes));
    const auto timeout = static_cast<std::int64_t>(request.args[2]);
    const auto waiting = pending_.find(key);
    if (waiting != pending_.end() && timeout >= 0) {
        waiting->second.timer = loop_.at(Clock::now() + std::chrono::milliseconds(timeout), [this, key] {
            auto &late = pending_.at(key);
            late.timer = 0;
            Outcomes ended;
            home_.cancel(late.waiter, ended);
            deliver(std::move(ended));
        });
    }
}

// The other nodes' outcomes go first: a thread of this node that is woken may take this very core, and what has not
// been sent by then waits until it gives the core back.
void SyncService::deliver(Outcomes outcomes) {
    std::stable_partition(outcomes.begin(), outcomes.end(),
                          [this](const auto &outcome) { return outcome.to.node != self_; });
    for (const auto &outcome : outcomes) {
        auto found = pending_.extract(Key{outcome.to.node, outcome.to.call});
        if (found.empty()) {
            continue;
        }
        loop_.cancel(found.mapped().timer);
        Reply reply;
        reply.status = outcome.status;
        reply.vals[0] = outcome.flag ? 1 : 0;
        found.mapped().done(reply);
    }
}

template <class Match> void SyncService::forget(Match match) {
    std::vector<Done> unanswered;
    std::erase_if(pending_, [&](auto &entry) {
        const bool dead = match(entry.second.waiter);
        if (dead) {
            loop_.cancel(entry.second.timer);
            unanswered.push_back(std::move(entry.second.done));
        }
        return dead;
    });
    for (const auto &done : unanswered) { // for the caller's node server, which keeps an account of its calls
        done(status_reply(KERN_TERMINATED));
    }
}

void SyncService::task_died(TaskId task, bool cleanly) {
    Outcomes outcomes;
    cleanly ? home_.task_left(task, outcomes) : home_.task_died(task, outcomes);
    forget([task](const Waiter &waiter) { return waiter.task == task; });
    deliver(std::move(outcomes));
}

bool SyncService::is_known_to_be_over(TaskId task) const {
    return std::ranges::any_of(over_, [task](const auto &entry) { return entry.second.contains(task); });
}

void SyncService::thread_died(std::uint64_t thread) {
    Outcomes outcomes;
    home_.thread_died(thread, outcomes);
    forget([thread](const Waiter &waiter) { return waiter.thread == thread; });
    deliver(std::move(outcomes));
}

void SyncService::abort(std::uint64_t thread, std::int32_t status) {
    Outcomes outcomes;
    home_.abort(thread, outcomes, status);
    deliver(std::move(outcomes));
}

void SyncService::withdraw_all() {
    Outcomes outcomes;
    home_.withdraw_all(kWithdrawn, outcomes);
    deliver(std::move(outcomes));
}

void SyncService::node_died(dsm::NodeId node) {
    over_.erase(node);
    Outcomes outcomes;
    home_.node_died(node, outcomes);
    forget([node](const Waiter &waiter) { return waiter.node == node; });
    deliver(std::move(outcomes));
}

} // namespace norma::rt
