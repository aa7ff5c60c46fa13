// SPDX-License-Identifier: BSD-3-Clause
// A small world for the synchronisation service: threads on three nodes use objects on three homes. Messages between
// two nodes keep their order; everything else is random and follows from the seed: who goes on when, which waits time
// out. What must hold is checked from outside, from what the homes are told and what they answer.
#pragma once

#include "runtime/sync.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <coroutine>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace norma::rt::test {

inline constexpr std::uint16_t kNodes = 3;

struct Reply {
    kern_return_t status = -1;
    bool flag = false;
};

// A thread's program: runs until it waits for an outcome. The frame lasts until the Script goes.
class Script {
  public:
    struct promise_type {
        Script get_return_object() { return Script(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
    explicit Script(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Script(Script &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~Script() {
        if (handle_) {
            handle_.destroy();
        }
    }
    void start() { handle_.resume(); }
    bool done() const { return handle_.done(); }

  private:
    std::coroutine_handle<promise_type> handle_;
};

struct Message {
    enum class Type { request, cancel, task_died } type{};
    SyncOp op{};
    SyncId id = 0;
    Waiter who;
};

// First come, first served, seen from the home: what arrived and had to wait, in order.
class QueueChecker {
  public:
    void see(const Message &message, const Outcomes &out) {
        if (message.type == Message::Type::task_died) {
            for (auto &[id, queue] : queues_) {
                std::erase_if(queue, [&](const Waiter &waiter) { return waiter.task == message.who.task; });
            }
        }
        bool answered = false;
        for (const Outcome &outcome : out) {
            const bool own = message.type == Message::Type::request && outcome.to == message.who;
            answered |= own;
            if (own) {
                arrive(message, outcome);
            } else {
                leave(message, outcome);
            }
        }
        if (message.type == Message::Type::request && queued(message.op) && !answered) {
            queues_[message.id].push_back(message.who);
            waits_for_[message.who.call] = message.id;
        }
    }

  private:
    static bool queued(SyncOp op) {
        return op == SyncOp::barrier_wait || op == SyncOp::mutex_lock || op == SyncOp::semaphore_wait;
    }
    void arrive(const Message &message, const Outcome &outcome) {
        if (queued(message.op) && outcome.status == KERN_SUCCESS) {
            EXPECT_TRUE(queues_[message.id].empty()) << "served before those who wait";
        }
    }
    void leave(const Message &message, const Outcome &outcome) {
        const auto waited = waits_for_.find(outcome.to.call);
        if (waited == waits_for_.end()) {
            return; // a condition: its order is that of cond_enqueue
        }
        auto &queue = queues_[waited->second];
        const auto place = std::ranges::find(queue, outcome.to);
        ASSERT_NE(place, queue.end()) << "an outcome for nobody who waits";
        if (message.type != Message::Type::cancel) {
            EXPECT_EQ(place, queue.begin()) << "served out of turn";
        }
        queue.erase(place);
        waits_for_.erase(waited);
    }

    std::map<SyncId, std::deque<Waiter>> queues_;
    std::map<std::uint64_t, SyncId> waits_for_; // by call
};

// No wake without a signal that came while the thread was queued, and no more wakes than signals.
class WakeChecker {
  public:
    void see(const Message &message, const Outcomes &out) {
        if (message.type == Message::Type::request) {
            if (message.op == SyncOp::cond_enqueue && out.at(0).status == KERN_SUCCESS) {
                entered_[message.who.thread] = signals_[message.id];
                waiting_[message.id].insert(message.who.thread);
            } else if (message.op == SyncOp::cond_signal) {
                ++signals_[message.id];
                credit_[message.id] += waiting_[message.id].empty() ? 0 : 1;
            } else if (message.op == SyncOp::cond_broadcast) {
                ++signals_[message.id];
                credit_[message.id] += waiting_[message.id].size();
            } else if (message.op == SyncOp::cond_cancel) {
                waiting_[message.id].erase(message.who.thread);
            } else if (message.op == SyncOp::cond_await) {
                awaits_[message.who.call] = message.id;
            }
        }
        for (const Outcome &outcome : out) {
            if (const auto await = awaits_.find(outcome.to.call); await != awaits_.end()) {
                finish(await->second, outcome);
                awaits_.erase(await);
            }
        }
    }

  private:
    void finish(SyncId id, const Outcome &outcome) {
        waiting_[id].erase(outcome.to.thread);
        if (outcome.status == KERN_SUCCESS) {
            EXPECT_GT(signals_[id], entered_.at(outcome.to.thread)) << "a spurious wake";
            EXPECT_GT(credit_[id], 0u) << "more wakes than signals";
            --credit_[id];
        }
    }

    std::map<SyncId, std::uint64_t> signals_, credit_;
    std::map<SyncId, std::set<std::uint64_t>> waiting_;
    std::map<std::uint64_t, std::uint64_t> entered_; // by thread: signals seen by then
    std::map<std::uint64_t, SyncId> awaits_;         // by call
};

class World {
  public:
    explicit World(std::uint64_t seed) : random_(seed) {}

    struct Call {
        World &world;
        SyncOp op;
        SyncId id;
        Waiter self;
        bool timed;
        Reply reply{};
        bool await_ready() const { return false; }
        void await_suspend(std::coroutine_handle<> handle) { world.send(*this, handle); }
        Reply await_resume() const { return reply; }
    };
    Call call(SyncOp op, SyncId id, const Waiter &self, bool timed = false) { return {*this, op, id, self, timed}; }

    SyncId make(SyncKind kind, std::uint32_t value = 0) {
        SyncId id = 0;
        EXPECT_EQ(homes_.at(random_() % kNodes).create(kind, value, id), KERN_SUCCESS);
        return id;
    }
    // A new thread, of a task of its own, on one of the nodes; `program` makes the Script it runs.
    void add(auto &&program) {
        const std::uint64_t number = scripts_.size() + 1;
        const Waiter self{static_cast<std::uint16_t>(number % kNodes), 1000 + number, number, 0};
        scripts_.emplace(number, program(self)).first->second.start();
    }

    // Until nothing is left to do.
    void settle() {
        while (step()) {
        }
    }
    // The same, and then everybody must have come to the end.
    void finish() {
        settle();
        for (const auto &[thread, script] : scripts_) {
            EXPECT_TRUE(script.done() || dead_.contains(1000 + thread)) << "thread " << thread << " waits for ever";
        }
        for (const SyncHome &home : homes_) {
            EXPECT_EQ(home.waiting(), 0u);
        }
    }

    void kill(const Waiter &victim) {
        ++killed_;
        dead_.insert(victim.task);
        std::erase_if(open_, [&](const auto &entry) { return entry.second.call->self.thread == victim.thread; });
        for (std::uint16_t home = 0; home < kNodes; ++home) {
            wires_[{victim.node, home}].push_back({Message::Type::task_died, {}, 0, victim});
        }
        for (auto &[mutex, lock] : locks_) {
            lock.must_tell |= lock.holder == victim.thread;
            lock.holder = lock.holder == victim.thread ? 0 : lock.holder;
        }
    }

    // Around critical sections.
    void enters(SyncId mutex, const Waiter &self, const Reply &got) {
        Lock &lock = locks_[mutex];
        EXPECT_EQ(lock.holder, 0u) << "two threads hold one mutex";
        EXPECT_TRUE(got.flag);
        if (lock.must_tell) {
            EXPECT_EQ(got.status, KERN_TERMINATED) << "not told that the holder died";
        } else if (dead_.empty()) {
            EXPECT_EQ(got.status, KERN_SUCCESS);
        }
        lock = {self.thread, false};
    }
    void leaves(SyncId mutex, const Waiter &self) {
        EXPECT_EQ(locks_[mutex].holder, self.thread);
        locks_[mutex].holder = 0;
    }
    int killed() const { return killed_; }
    bool chance(unsigned one_in) { return random_() % one_in == 0; }

  private:
    struct Open {
        Call *call; // in the frame of the script
        std::coroutine_handle<> handle;
        bool cancelled = false;
    };
    struct Lock {
        std::uint64_t holder = 0;
        bool must_tell = false;
    };
    using Wire = std::pair<std::uint16_t, std::uint16_t>; // from, to

    void send(Call &call, std::coroutine_handle<> handle) {
        call.self.call = ++calls_;
        open_[call.self.call] = {&call, handle};
        ops_[call.self.call] = {Message::Type::request, call.op, call.id, call.self};
        wires_[{call.self.node, split_sync_id(call.id).home}].push_back(ops_[call.self.call]);
    }

    bool step() {
        std::vector<Wire> requests;
        std::vector<Wire> replies;
        std::vector<Open *> timed;
        for (const auto &[wire, queue] : wires_) {
            requests.insert(requests.end(), queue.empty() ? 0 : 1, wire);
        }
        for (const auto &[wire, queue] : replies_) {
            replies.insert(replies.end(), queue.empty() ? 0 : 1, wire);
        }
        for (auto &[call, open] : open_) {
            timed.insert(timed.end(), open.call->timed && !open.cancelled ? 1 : 0, &open);
        }
        const bool moving = !requests.empty() || !replies.empty();
        if (!timed.empty() && (!moving || chance(20))) {
            time_out(*timed[random_() % timed.size()]);
        } else if (moving) {
            const std::size_t pick = random_() % (requests.size() + replies.size());
            if (pick < requests.size()) {
                deliver(requests[pick]);
            } else {
                answer(replies[pick - requests.size()]);
            }
        } else {
            return false;
        }
        return !testing::Test::HasFailure();
    }
    void time_out(Open &open) {
        open.cancelled = true;
        const Call &call = *open.call;
        wires_[{call.self.node, split_sync_id(call.id).home}].push_back(
            {Message::Type::cancel, {}, call.id, call.self});
    }
    void deliver(const Wire &wire) {
        const Message message = wires_[wire].front();
        wires_[wire].pop_front();
        SyncHome &home = homes_.at(wire.second);
        Outcomes out;
        switch (message.type) {
        case Message::Type::request:
            home.request(message.op, message.id, message.who, out);
            break;
        case Message::Type::cancel:
            home.cancel(message.who, out);
            break;
        case Message::Type::task_died:
            home.task_died(message.who.task, out);
            break;
        }
        queue_checkers_.at(wire.second).see(message, out);
        wake_checkers_.at(wire.second).see(message, out);
        for (const Outcome &outcome : out) {
            replies_[{wire.second, outcome.to.node}].push_back(outcome);
        }
    }
    void answer(const Wire &wire) {
        const Outcome outcome = replies_[wire].front();
        replies_[wire].pop_front();
        const auto found = open_.find(outcome.to.call);
        if (found == open_.end()) {
            return lost(outcome);
        }
        const Open open = found->second;
        open_.erase(found);
        open.call->reply = {outcome.status, outcome.flag};
        open.handle.resume();
    }
    // A wake that was under way to a thread that died is gone; somebody has to make up for it, as a program would.
    void lost(const Outcome &outcome) {
        ASSERT_TRUE(dead_.contains(outcome.to.task)) << "an outcome nobody waits for";
        const Message asked = ops_.at(outcome.to.call);
        if (asked.op == SyncOp::cond_await && outcome.status == KERN_SUCCESS) {
            const auto home = split_sync_id(asked.id).home;
            wires_[{home, home}].push_back({Message::Type::request, SyncOp::cond_broadcast, asked.id, janitor(home)});
        }
    }
    Waiter janitor(std::uint16_t node) {
        dead_.insert(1); // nobody waits for its answers
        const Waiter who{node, 1, 1000000, ++calls_};
        ops_[who.call] = {};
        return who;
    }

    std::mt19937_64 random_;
    std::array<SyncHome, kNodes> homes_{SyncHome{0, 1}, SyncHome{1, 1}, SyncHome{2, 1}};
    std::array<QueueChecker, kNodes> queue_checkers_;
    std::array<WakeChecker, kNodes> wake_checkers_;
    std::map<std::uint64_t, Script> scripts_;
    std::map<Wire, std::deque<Message>> wires_;
    std::map<Wire, std::deque<Outcome>> replies_;
    std::map<std::uint64_t, Open> open_; // by call
    std::map<std::uint64_t, Message> ops_;
    std::map<SyncId, Lock> locks_;
    std::set<std::uint64_t> dead_;
    std::uint64_t calls_ = 0;
    int killed_ = 0;
};

} // namespace norma::rt::test
