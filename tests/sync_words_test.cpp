// SPDX-License-Identifier: BSD-3-Clause
// Waiting at words: the rules of the service, and every order in which a few threads can wait and wake.
#include "runtime/sync.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

namespace norma::rt {
namespace {

// Thread 234 belongs to task 23 on node 2.
Waiter thread(std::uint64_t number) {
    return {static_cast<std::uint16_t>(number / 100), number / 10, number, number};
}

SyncWord word_at(std::uint64_t offset, std::uint64_t stretch = 0) {
    return {{{.home = 3, .incarnation = 1, .serial = 7}, stretch}, offset};
}

class Words : public testing::Test {
  protected:
    SyncId queue(const SyncWord &word, std::uint64_t number) {
        SyncId id = 0;
        EXPECT_EQ(home_.queue_at(word, thread(number), id), KERN_SUCCESS);
        return id;
    }
    Outcomes ask(SyncOp op, SyncId id, std::uint64_t number) {
        Outcomes out;
        home_.request(op, id, thread(number), out);
        return out;
    }
    SyncId wait(const SyncWord &word, std::uint64_t number) {
        const SyncId id = queue(word, number);
        EXPECT_EQ(ask(SyncOp::cond_await, id, number), Outcomes{});
        return id;
    }
    Outcomes wake(const SyncWord &word, std::uint32_t most, std::uint32_t expected) {
        Outcomes out;
        EXPECT_EQ(home_.wake(word, most, out), expected);
        return out;
    }
    Outcome gets(std::uint64_t number, kern_return_t status, bool flag = false) {
        return {thread(number), status, flag};
    }

    SyncHome home_{3, 1, {.objects = 4, .serials = 4}};
};

TEST_F(Words, WakesTheLongestWaitersOfThisWordOnly) {
    wait(word_at(0), 110);
    wait(word_at(4), 120);
    wait(word_at(0, 1), 130); // the same page of a copy
    wait(word_at(0), 210);
    wait(word_at(0), 220);
    EXPECT_EQ(wake(word_at(8), 5, 0), Outcomes{});
    EXPECT_EQ(wake(word_at(0), 0, 0), Outcomes{});
    EXPECT_EQ(wake(word_at(0), 2, 2), (Outcomes{gets(110, KERN_SUCCESS), gets(210, KERN_SUCCESS)}));
    EXPECT_EQ(wake(word_at(0), 9, 1), (Outcomes{gets(220, KERN_SUCCESS)}));
    EXPECT_EQ(wake(word_at(0), 9, 0), Outcomes{});
    EXPECT_EQ(home_.waiting(), 2u);
}

TEST_F(Words, AWordIsForgottenWithItsLastWaiterAndItsIdUsedAgain) {
    for (std::uint64_t round = 0; round < 100; ++round) {
        wait(word_at(4 * round), 110);
        wake(word_at(4 * round), 1, 1);
        queue(word_at(4 * round), 110); // ends before it waits
        Outcomes out;
        home_.task_died(11, out);
        EXPECT_EQ(out, Outcomes{});
        EXPECT_EQ(home_.objects(), 0u);
        EXPECT_EQ(home_.waiting(), 0u);
    }
    SyncId id = 0;
    for (std::uint64_t number = 0; number < 4; ++number) {
        wait(word_at(4 * number), 110 + number);
    }
    EXPECT_EQ(home_.queue_at(word_at(100), thread(200), id), KERN_RESOURCE_SHORTAGE);
    EXPECT_EQ(home_.queue_at(word_at(0), thread(110), id), KERN_INVALID_ARGUMENT);
}

TEST_F(Words, ARecordKeepsTheIdFromBeingUsedForAnotherWord) {
    const SyncId first = queue(word_at(0), 110);
    wake(word_at(0), 1, 1); // it has not begun to wait
    const SyncId second = wait(word_at(4), 120);
    EXPECT_NE(first, second);
    EXPECT_EQ(wake(word_at(4), 9, 1).size(), 1u);
    EXPECT_EQ(ask(SyncOp::cond_await, first, 110), (Outcomes{gets(110, KERN_SUCCESS)}));
    EXPECT_EQ(home_.objects(), 0u);
}

TEST_F(Words, AWakeOfWhoDoesNotWaitGoesToTheNextThatWasQueuedThen) {
    const SyncId id = queue(word_at(0), 110);
    wait(word_at(0), 120);
    wake(word_at(0), 1, 1);
    wait(word_at(0), 130);
    EXPECT_EQ(ask(SyncOp::cond_cancel, id, 110), (Outcomes{gets(120, KERN_SUCCESS), gets(110, KERN_SUCCESS)}));
    const SyncId again = queue(word_at(0), 110);
    EXPECT_EQ(wake(word_at(0), 1, 1), (Outcomes{gets(130, KERN_SUCCESS)}));
    wake(word_at(0), 1, 1);
    wait(word_at(0), 140); // later than the wake: it does not get it
    EXPECT_EQ(ask(SyncOp::cond_cancel, again, 110), (Outcomes{gets(110, KERN_SUCCESS)}));
}

TEST_F(Words, DeathsAbortsAndTimeouts) {
    wait(word_at(0), 110);
    wait(word_at(0), 220);
    wait(word_at(0), 230);
    wait(word_at(0), 310);
    Outcomes out;
    home_.node_died(1, out);
    EXPECT_EQ(out, Outcomes{});
    EXPECT_TRUE(home_.abort(220, out));
    EXPECT_TRUE(home_.cancel(thread(230), out));
    EXPECT_EQ(out, (Outcomes{gets(220, KERN_ABORTED), gets(230, KERN_OPERATION_TIMED_OUT)}));
    EXPECT_EQ(wake(word_at(0), 9, 1), (Outcomes{gets(310, KERN_SUCCESS)}));
    EXPECT_EQ(home_.objects(), 0u);
    queue(word_at(0), 110);
    wait(word_at(0), 220);
    wake(word_at(0), 1, 1); // for 110, which dies with it
    out.clear();
    home_.task_died(11, out);
    EXPECT_EQ(out, (Outcomes{gets(220, KERN_SUCCESS)}));
}

TEST_F(Words, AWordIsNoConditionOfTheProgram) {
    const SyncId id = wait(word_at(0), 110);
    for (const SyncOp op :
         {SyncOp::cond_enqueue, SyncOp::cond_signal, SyncOp::cond_broadcast, SyncOp::mutex_lock, SyncOp::destroy}) {
        EXPECT_EQ(ask(op, id, 120), (Outcomes{gets(120, KERN_INVALID_VALUE)}));
    }
    SyncId made = 0;
    EXPECT_EQ(home_.create(SyncKind::word, 0, made), KERN_INVALID_ARGUMENT);
}

// One run of threads whose steps come in a given order. A waiter queues, reads the word and then waits or leaves; a
// waker changes the word and then wakes `most`.
class Run {
  public:
    Run(int waiters, int wakers, std::uint32_t most) : waiters_(waiters), most_(most) {
        steps_.resize(static_cast<std::size_t>(waiters) + static_cast<std::size_t>(wakers));
        ids_.resize(steps_.size());
        changed_.resize(steps_.size());
    }
    int steps_of(std::size_t who) const { return who < static_cast<std::size_t>(waiters_) ? 3 : 2; }
    bool done(std::size_t who) const { return steps_[who] == steps_of(who); }
    std::size_t threads() const { return steps_.size(); }
    void step(std::size_t who) {
        const int step = steps_[who]++;
        const Waiter self = thread(100 + 10 * who);
        Outcomes out;
        if (who >= static_cast<std::size_t>(waiters_)) {
            if (step == 0) {
                value_ = 1;
            } else {
                home_.wake(word_at(0), most_, out);
            }
        } else if (step == 0) {
            ASSERT_EQ(home_.queue_at(word_at(0), self, ids_[who]), KERN_SUCCESS);
        } else if (step == 1) {
            changed_[who] = value_ != 0;
        } else {
            home_.request(changed_[who] ? SyncOp::cond_cancel : SyncOp::cond_await, ids_[who], self, out);
        }
    }
    // Whoever still waits at the end has missed the wakes; whoever is queued but not waiting is a leak.
    std::size_t waiting() const { return home_.waiting(); }

  private:
    SyncHome home_{3, 1};
    int waiters_;
    std::uint32_t most_;
    int value_ = 0;
    std::vector<int> steps_;
    std::vector<SyncId> ids_;
    std::vector<bool> changed_;
};

using Order = std::vector<std::size_t>;

void replay(const Order &order, int waiters, int wakers, std::uint32_t most) {
    Run run(waiters, wakers, most);
    std::string said;
    for (const auto who : order) {
        run.step(who);
        said += std::to_string(who) + ' ';
    }
    ASSERT_EQ(run.waiting(), 0u) << "lost in the order " << said;
}

std::size_t all_orders(Order &order, std::vector<int> left, int waiters, int wakers, std::uint32_t most) {
    std::size_t runs = 0;
    for (std::size_t who = 0; who < left.size() && !testing::Test::HasFailure(); ++who) {
        if (left[who] > 0) {
            --left[who];
            order.push_back(who);
            runs += all_orders(order, left, waiters, wakers, most);
            order.pop_back();
            ++left[who];
        }
    }
    if (runs == 0) {
        replay(order, waiters, wakers, most);
        runs = 1;
    }
    return runs;
}

TEST(WordOrders, NoWakeIsLostInAnyOrder) {
    Order order;
    EXPECT_EQ(all_orders(order, {3, 2, 2}, 1, 2, 1), 210u);
    EXPECT_EQ(all_orders(order, {3, 3, 2}, 2, 1, 9), 560u);
    EXPECT_EQ(all_orders(order, {3, 3, 2, 2}, 2, 2, 1), 25'200u);
    EXPECT_EQ(all_orders(order, {3, 3, 3, 2}, 3, 1, 9), 92'400u);
}

TEST(WordOrders, NoWakeIsLostInRandomOrders) {
    std::mt19937_64 random(1);
    for (int round = 0; round < 20'000 && !testing::Test::HasFailure(); ++round) {
        const int count = 2 + static_cast<int>(random() % 7);
        Order order;
        for (int who = 0; who < 2 * count; ++who) {
            order.insert(order.end(), who < count ? 3 : 2, static_cast<std::size_t>(who));
        }
        std::shuffle(order.begin(), order.end(), random);
        replay(order, count, count, 1);
    }
}

} // namespace
} // namespace norma::rt
