// SPDX-License-Identifier: BSD-3-Clause
// Requests of any node to the synchronisation service, time-outs and deaths, in any order. Every call is answered at
// most once, nobody is answered who has not called, and nothing outgrows what threads and limits allow.
#include "tests/fuzz/targets.hpp"

#include "runtime/sync.hpp"

#include <algorithm>
#include <vector>

namespace fuzz {

using namespace norma::rt;

namespace {

constexpr std::size_t kObjects = 6;
constexpr unsigned kThreads = 8;

class Service {
  public:
    Service() : home_(1, 1, {.objects = kObjects, .serials = 1000}) {}

    void act(Choices &choices) {
        Outcomes out;
        switch (choices.below(10)) {
        case 0: {
            SyncId id = 0;
            const auto kind = static_cast<SyncKind>(choices.below(6));
            if (home_.create(kind, choices.below(4), id) == KERN_SUCCESS) {
                ids_.push_back(id);
            }
            break;
        }
        case 1:
            if (!open_.empty()) {
                const auto who = open_[choices.below(static_cast<unsigned>(open_.size()))];
                home_.cancel(who, out);
            }
            break;
        case 2:
            die(choices, out);
            break;
        case 3:
            home_.task_moved({.from = task_of(choices.below(kThreads)),
                              .to = task_of(choices.below(kThreads)),
                              .to_node = 2,
                              .from_thread = choices.below(kThreads),
                              .to_thread = choices.below(kThreads)});
            break;
        default:
            request(choices, out);
        }
        settle(out);
        FUZZ_CHECK(home_.objects() <= kObjects && home_.waiting() <= kThreads);
    }

  private:
    static std::uint64_t task_of(unsigned thread) { return 100 + thread / 2; }

    void request(Choices &choices, Outcomes &out) {
        const auto thread = choices.below(kThreads);
        const Waiter who{.node = static_cast<std::uint16_t>(thread % 3),
                         .task = task_of(thread),
                         .thread = thread + 1,
                         .call = ++calls_};
        const auto op = static_cast<SyncOp>(choices.below(15));
        const auto pick = choices.byte();
        const auto id = ids_.empty() || pick > 0xf0 ? choices.number() : ids_[pick % ids_.size()];
        open_.push_back(who);
        home_.request(op, id, who, out);
    }

    void die(Choices &choices, Outcomes &out) {
        const auto thread = choices.below(kThreads);
        switch (choices.below(4)) {
        case 0:
            home_.thread_died(thread + 1, out);
            break;
        case 1:
            home_.task_died(task_of(thread), out);
            break;
        case 2:
            home_.task_left(task_of(thread), out);
            break;
        default:
            home_.node_died(static_cast<std::uint16_t>(thread % 3), out);
        }
    }

    void settle(const Outcomes &out) {
        for (const auto &outcome : out) {
            const auto call =
                std::ranges::find(open_, outcome.to.call, [](const Waiter &waiter) { return waiter.call; });
            FUZZ_CHECK(call != open_.end());
            open_.erase(call);
        }
    }

    SyncHome home_;
    std::vector<SyncId> ids_;
    std::vector<Waiter> open_; // calls that have not been answered
    std::uint64_t calls_ = 0;
};

} // namespace

void sync(Bytes input) {
    Choices choices(input);
    Service service;
    while (choices.any_left()) {
        service.act(choices);
    }
}

} // namespace fuzz
