// SPDX-License-Identifier: BSD-3-Clause
// Every rule of the synchronisation service, one by one. sync_random_test.cpp runs them all at once.
#include "runtime/sync.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace norma::rt {
namespace {

// Thread 234 belongs to task 23 on node 2.
Waiter thread(std::uint64_t number, std::uint64_t call = 0) {
    return {static_cast<std::uint16_t>(number / 100), number / 10, number, call != 0 ? call : number};
}

Outcome gets(std::uint64_t number, kern_return_t status, bool flag = false) {
    return {thread(number), status, flag};
}

class Sync : public testing::Test {
  protected:
    Outcomes ask(SyncOp op, SyncId id, std::uint64_t number) {
        Outcomes out;
        home_.request(op, id, thread(number), out);
        return out;
    }
    SyncId make(SyncKind kind, std::uint32_t value = 0) {
        SyncId id = 0;
        EXPECT_EQ(home_.create(kind, value, id), KERN_SUCCESS);
        return id;
    }
    // The status of a request that is answered at once, and by nothing but its own outcome.
    kern_return_t status(SyncOp op, SyncId id, std::uint64_t number) {
        const Outcomes out = ask(op, id, number);
        EXPECT_EQ(out.size(), 1u);
        return out.size() == 1 && out[0].to == thread(number) ? out[0].status : -1;
    }
    void blocks(SyncOp op, SyncId id, std::uint64_t number) { EXPECT_EQ(ask(op, id, number), Outcomes{}); }
    Outcomes cancel(std::uint64_t number) {
        Outcomes out;
        cancelled_ = home_.cancel(thread(number), out);
        return out;
    }
    Outcomes task_died(std::uint64_t task) {
        Outcomes out;
        home_.task_died(task, out);
        return out;
    }

    SyncHome home_{3, 0x12345};
    bool cancelled_ = false;
};

TEST_F(Sync, IdsNameHomeIncarnationAndSerial) {
    const SyncId id = make(SyncKind::mutex);
    EXPECT_EQ(split_sync_id(id), (SyncIdParts{3, 0x2345, 1}));
    EXPECT_EQ(make_sync_id(3, 0x12345, 1), id);
    EXPECT_EQ(split_sync_id(make_sync_id(0xffff, 0xffff, 0xffffffff)), (SyncIdParts{0xffff, 0xffff, 0xffffffff}));
    EXPECT_EQ(split_sync_id(make(SyncKind::mutex)).serial, 2u);
}

TEST_F(Sync, CreateRefusesNonsense) {
    SyncId id = 77;
    EXPECT_EQ(home_.create(SyncKind::barrier, 0, id), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(home_.create(SyncKind{0}, 1, id), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(home_.create(SyncKind{5}, 1, id), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(id, 77u);
    EXPECT_EQ(home_.objects(), 0u);
}

TEST_F(Sync, CreateIsBounded) {
    SyncHome home{0, 1, {2, 3}};
    SyncId first = 0;
    SyncId id = 0;
    EXPECT_EQ(home.create(SyncKind::mutex, 0, first), KERN_SUCCESS);
    EXPECT_EQ(home.create(SyncKind::mutex, 0, id), KERN_SUCCESS);
    EXPECT_EQ(home.create(SyncKind::mutex, 0, id), KERN_RESOURCE_SHORTAGE);
    Outcomes out;
    home.request(SyncOp::destroy, first, thread(1), out);
    EXPECT_EQ(home.create(SyncKind::mutex, 0, id), KERN_SUCCESS);
    EXPECT_EQ(split_sync_id(id).serial, 3u);
    home.request(SyncOp::destroy, id, thread(1), out);
    EXPECT_EQ(home.create(SyncKind::mutex, 0, id), KERN_RESOURCE_SHORTAGE) << "serials are never used again";
}

TEST_F(Sync, WrongObjectsAndOperationsAreRefused) {
    const SyncId barrier = make(SyncKind::barrier, 1);
    const SyncId mutex = make(SyncKind::mutex);
    const SyncId cond = make(SyncKind::condition);
    const SyncId semaphore = make(SyncKind::semaphore, 1);
    for (const SyncId id : {SyncId{0}, mutex + 100, make_sync_id(4, 0x12345, 1), make_sync_id(3, 0x12346, 1)}) {
        for (auto op = SyncOp::barrier_wait; op <= SyncOp::destroy; op = SyncOp(int(op) + 1)) {
            EXPECT_EQ(status(op, id, 111), KERN_INVALID_VALUE) << int(op);
        }
    }
    EXPECT_EQ(status(SyncOp::mutex_lock, barrier, 111), KERN_INVALID_VALUE);
    EXPECT_EQ(status(SyncOp::cond_signal, mutex, 111), KERN_INVALID_VALUE);
    EXPECT_EQ(status(SyncOp::cond_await, mutex, 111), KERN_INVALID_VALUE);
    EXPECT_EQ(status(SyncOp::cond_cancel, semaphore, 111), KERN_INVALID_VALUE);
    EXPECT_EQ(status(SyncOp::semaphore_post, cond, 111), KERN_INVALID_VALUE);
    EXPECT_EQ(status(SyncOp::barrier_wait, semaphore, 111), KERN_INVALID_VALUE);
    EXPECT_EQ(status(SyncOp{0}, mutex, 111), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(status(SyncOp{99}, mutex, 111), KERN_INVALID_ARGUMENT);
}

TEST_F(Sync, ThreadWaitsForOneThingAtATime) {
    const SyncId barrier = make(SyncKind::barrier, 2);
    const SyncId mutex = make(SyncKind::mutex);
    const SyncId semaphore = make(SyncKind::semaphore, 0);
    const SyncId cond = make(SyncKind::condition);
    blocks(SyncOp::barrier_wait, barrier, 111);
    EXPECT_EQ(status(SyncOp::barrier_wait, barrier, 111), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(status(SyncOp::mutex_lock, mutex, 111), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(status(SyncOp::semaphore_wait, semaphore, 111), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(status(SyncOp::cond_enqueue, cond, 111), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(home_.waiting(), 1u);
}

// ---- Barriers ----

TEST_F(Sync, BarrierReleasesAllAtOnceAndOneIsSerial) {
    const SyncId id = make(SyncKind::barrier, 3);
    for (int round = 0; round < 3; ++round) {
        blocks(SyncOp::barrier_wait, id, 111);
        blocks(SyncOp::barrier_wait, id, 221);
        EXPECT_EQ(ask(SyncOp::barrier_wait, id, 112),
                  (Outcomes{gets(111, KERN_SUCCESS), gets(221, KERN_SUCCESS), gets(112, KERN_SUCCESS, true)}));
    }
    EXPECT_EQ(home_.waiting(), 0u);
}

TEST_F(Sync, BarrierForOne) {
    const SyncId id = make(SyncKind::barrier, 1);
    EXPECT_EQ(ask(SyncOp::barrier_wait, id, 111), Outcomes{gets(111, KERN_SUCCESS, true)});
}

TEST_F(Sync, BarrierBreaksForGoodWhenATaskThatUsedItDies) {
    const SyncId used = make(SyncKind::barrier, 2);
    const SyncId other = make(SyncKind::barrier, 2);
    blocks(SyncOp::barrier_wait, used, 111);
    EXPECT_EQ(ask(SyncOp::barrier_wait, used, 221).size(), 2u);
    blocks(SyncOp::barrier_wait, used, 331);
    blocks(SyncOp::barrier_wait, other, 332);
    EXPECT_EQ(task_died(99), Outcomes{}) << "never used it";
    EXPECT_EQ(task_died(22), Outcomes{gets(331, KERN_TERMINATED)}) << "used it in the first round";
    EXPECT_EQ(status(SyncOp::barrier_wait, used, 331), KERN_TERMINATED);
    EXPECT_EQ(status(SyncOp::barrier_wait, used, 441), KERN_TERMINATED);
    EXPECT_EQ(ask(SyncOp::barrier_wait, other, 441).size(), 2u);
}

TEST_F(Sync, BarrierBreaksWhenATaskDiesThatWasExpected) {
    const SyncId barrier = make(SyncKind::barrier, 2);
    EXPECT_EQ(status(SyncOp::barrier_expect, barrier, 221), KERN_SUCCESS);
    blocks(SyncOp::barrier_wait, barrier, 111);
    EXPECT_EQ(task_died(22), Outcomes{gets(111, KERN_TERMINATED)}) << "never came to the barrier";
    EXPECT_EQ(status(SyncOp::barrier_expect, barrier, 331), KERN_TERMINATED);
    EXPECT_EQ(status(SyncOp::barrier_expect, make(SyncKind::mutex), 331), KERN_INVALID_VALUE);
}

TEST_F(Sync, BarrierSurvivesATaskThatLeavesOfItsOwnWill) {
    const SyncId barrier = make(SyncKind::barrier, 2);
    const SyncId mutex = make(SyncKind::mutex);
    blocks(SyncOp::barrier_wait, barrier, 111);
    EXPECT_EQ(ask(SyncOp::barrier_wait, barrier, 221).size(), 2u);
    EXPECT_EQ(status(SyncOp::mutex_lock, mutex, 221), KERN_SUCCESS);
    Outcomes out;
    home_.task_left(22, out);
    EXPECT_EQ(out, Outcomes{});
    blocks(SyncOp::barrier_wait, barrier, 111);
    EXPECT_EQ(ask(SyncOp::barrier_wait, barrier, 331).size(), 2u);
    EXPECT_EQ(status(SyncOp::mutex_lock, mutex, 331), KERN_TERMINATED) << "left it locked";
}

TEST_F(Sync, BarrierSurvivesTheDeathOfAThread) {
    const SyncId id = make(SyncKind::barrier, 2);
    Outcomes out;
    blocks(SyncOp::barrier_wait, id, 111);
    home_.thread_died(111, out);
    EXPECT_EQ(out, Outcomes{});
    blocks(SyncOp::barrier_wait, id, 112);
    EXPECT_EQ(ask(SyncOp::barrier_wait, id, 221).size(), 2u);
}

TEST_F(Sync, BarrierGoesWithATeleportedTask) {
    const SyncId id = make(SyncKind::barrier, 2);
    Outcomes out;
    blocks(SyncOp::barrier_wait, id, 111);
    home_.task_moved({11, 55, 5, 0, 0});
    EXPECT_EQ(task_died(11), Outcomes{});
    blocks(SyncOp::barrier_wait, id, 221); // the arrival of 111 went with its thread
    home_.node_died(1, out);
    EXPECT_EQ(out, Outcomes{});
    home_.node_died(5, out);
    EXPECT_EQ(out, Outcomes{gets(221, KERN_TERMINATED)});
}

// ---- Mutexes ----

TEST_F(Sync, MutexIsHandedOnInOrderOfArrival) {
    const SyncId id = make(SyncKind::mutex);
    EXPECT_EQ(ask(SyncOp::mutex_lock, id, 111), Outcomes{gets(111, KERN_SUCCESS, true)});
    blocks(SyncOp::mutex_lock, id, 331);
    blocks(SyncOp::mutex_lock, id, 221);
    EXPECT_EQ(ask(SyncOp::mutex_unlock, id, 111), (Outcomes{gets(331, KERN_SUCCESS, true), gets(111, KERN_SUCCESS)}));
    blocks(SyncOp::mutex_lock, id, 111);
    EXPECT_EQ(ask(SyncOp::mutex_unlock, id, 331), (Outcomes{gets(221, KERN_SUCCESS, true), gets(331, KERN_SUCCESS)}));
    EXPECT_EQ(ask(SyncOp::mutex_unlock, id, 221), (Outcomes{gets(111, KERN_SUCCESS, true), gets(221, KERN_SUCCESS)}));
    EXPECT_EQ(ask(SyncOp::mutex_unlock, id, 111), Outcomes{gets(111, KERN_SUCCESS)});
    EXPECT_EQ(status(SyncOp::mutex_unlock, id, 111), KERN_INVALID_ARGUMENT);
}

TEST_F(Sync, MutexMisuse) {
    const SyncId id = make(SyncKind::mutex);
    EXPECT_EQ(status(SyncOp::mutex_unlock, id, 111), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(status(SyncOp::mutex_lock, id, 111), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::mutex_lock, id, 111), KERN_INVALID_ARGUMENT) << "twice by one thread";
    EXPECT_EQ(status(SyncOp::mutex_unlock, id, 112), KERN_INVALID_ARGUMENT) << "another thread of the task";
    EXPECT_EQ(status(SyncOp::mutex_trylock, id, 221), KERN_RESOURCE_SHORTAGE);
    EXPECT_EQ(status(SyncOp::mutex_unlock, id, 111), KERN_SUCCESS);
    EXPECT_EQ(ask(SyncOp::mutex_trylock, id, 221), Outcomes{gets(221, KERN_SUCCESS, true)});
}

TEST_F(Sync, MutexOfADeadHolderGoesOnMarked) {
    const SyncId id = make(SyncKind::mutex);
    EXPECT_EQ(status(SyncOp::mutex_lock, id, 111), KERN_SUCCESS);
    blocks(SyncOp::mutex_lock, id, 112); // of the dying task too
    blocks(SyncOp::mutex_lock, id, 221);
    blocks(SyncOp::mutex_lock, id, 331);
    EXPECT_EQ(task_died(11), Outcomes{gets(221, KERN_TERMINATED, true)});
    EXPECT_EQ(ask(SyncOp::mutex_unlock, id, 221), (Outcomes{gets(331, KERN_SUCCESS, true), gets(221, KERN_SUCCESS)}))
        << "only the next holder is told";
}

TEST_F(Sync, MutexOfADeadHolderWaitsMarked) {
    const SyncId id = make(SyncKind::mutex);
    Outcomes out;
    EXPECT_EQ(status(SyncOp::mutex_lock, id, 111), KERN_SUCCESS);
    home_.thread_died(111, out);
    EXPECT_EQ(ask(SyncOp::mutex_trylock, id, 221), Outcomes{gets(221, KERN_TERMINATED, true)});
    home_.node_died(2, out);
    EXPECT_EQ(out, Outcomes{});
    EXPECT_EQ(ask(SyncOp::mutex_lock, id, 331), Outcomes{gets(331, KERN_TERMINATED, true)});
    EXPECT_EQ(status(SyncOp::mutex_unlock, id, 331), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::mutex_lock, id, 221), KERN_SUCCESS);
}

TEST_F(Sync, MutexGoesWithAThreadThatTeleportsItself) {
    const SyncId carried = make(SyncKind::mutex);
    const SyncId left = make(SyncKind::mutex);
    EXPECT_EQ(status(SyncOp::mutex_lock, carried, 111), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::mutex_lock, left, 112), KERN_SUCCESS);
    home_.task_moved({11, 22, 2, 111, 221});
    EXPECT_EQ(task_died(11), Outcomes{});
    EXPECT_EQ(status(SyncOp::mutex_lock, carried, 221), KERN_INVALID_ARGUMENT) << "holds it already";
    EXPECT_EQ(status(SyncOp::mutex_unlock, carried, 221), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::mutex_lock, left, 221), KERN_TERMINATED);
}

TEST_F(Sync, MutexWaitCanBeCancelled) {
    const SyncId id = make(SyncKind::mutex);
    EXPECT_EQ(status(SyncOp::mutex_lock, id, 111), KERN_SUCCESS);
    blocks(SyncOp::mutex_lock, id, 221);
    blocks(SyncOp::mutex_lock, id, 331);
    EXPECT_EQ(cancel(221), Outcomes{gets(221, KERN_OPERATION_TIMED_OUT)});
    EXPECT_TRUE(cancelled_);
    EXPECT_EQ(ask(SyncOp::mutex_unlock, id, 111), (Outcomes{gets(331, KERN_SUCCESS, true), gets(111, KERN_SUCCESS)}));
    EXPECT_EQ(cancel(331), Outcomes{}) << "too late, it has the lock";
    EXPECT_FALSE(cancelled_);
}

TEST_F(Sync, AnAbortedWaitHasTakenNothing) {
    const auto abort = [this](std::uint64_t number) {
        Outcomes out;
        cancelled_ = home_.abort(thread(number).thread, out);
        return out;
    };
    const SyncId mutex = make(SyncKind::mutex);
    EXPECT_EQ(status(SyncOp::mutex_lock, mutex, 111), KERN_SUCCESS);
    blocks(SyncOp::mutex_lock, mutex, 221);
    EXPECT_EQ(abort(221), Outcomes{gets(221, KERN_ABORTED)});
    EXPECT_TRUE(cancelled_);
    EXPECT_EQ(abort(221), Outcomes{});
    EXPECT_FALSE(cancelled_);
    EXPECT_EQ(ask(SyncOp::mutex_unlock, mutex, 111), Outcomes{gets(111, KERN_SUCCESS)}) << "nobody is next";

    const SyncId barrier = make(SyncKind::barrier, 2);
    blocks(SyncOp::barrier_wait, barrier, 221);
    EXPECT_EQ(abort(221), Outcomes{gets(221, KERN_ABORTED)});
    blocks(SyncOp::barrier_wait, barrier, 331); // the first one has not arrived

    const SyncId condition = make(SyncKind::condition);
    EXPECT_EQ(status(SyncOp::cond_enqueue, condition, 111), KERN_SUCCESS);
    EXPECT_EQ(abort(111), Outcomes{}) << "it does not wait yet";
    blocks(SyncOp::cond_await, condition, 111);
    EXPECT_EQ(abort(111), Outcomes{gets(111, KERN_ABORTED)});
    EXPECT_EQ(status(SyncOp::cond_enqueue, condition, 111), KERN_SUCCESS) << "and can wait again";
}

// ---- Semaphores ----

TEST_F(Sync, SemaphoreCountsAndQueues) {
    const SyncId id = make(SyncKind::semaphore, 2);
    EXPECT_EQ(status(SyncOp::semaphore_wait, id, 111), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::semaphore_trywait, id, 111), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::semaphore_trywait, id, 111), KERN_OPERATION_TIMED_OUT);
    blocks(SyncOp::semaphore_wait, id, 331);
    blocks(SyncOp::semaphore_wait, id, 221);
    EXPECT_EQ(ask(SyncOp::semaphore_post, id, 111), (Outcomes{gets(331, KERN_SUCCESS), gets(111, KERN_SUCCESS)}));
    EXPECT_EQ(cancel(221), Outcomes{gets(221, KERN_OPERATION_TIMED_OUT)});
    EXPECT_EQ(cancel(331), Outcomes{});
    EXPECT_EQ(status(SyncOp::semaphore_post, id, 111), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::semaphore_trywait, id, 331), KERN_SUCCESS);
}

TEST_F(Sync, SemaphoreHasNoOwner) {
    const SyncId id = make(SyncKind::semaphore, 1);
    EXPECT_EQ(status(SyncOp::semaphore_wait, id, 111), KERN_SUCCESS);
    blocks(SyncOp::semaphore_wait, id, 112);
    blocks(SyncOp::semaphore_wait, id, 221);
    EXPECT_EQ(task_died(11), Outcomes{});
    EXPECT_EQ(ask(SyncOp::semaphore_post, id, 331), (Outcomes{gets(221, KERN_SUCCESS), gets(331, KERN_SUCCESS)}));
}

TEST_F(Sync, SemaphoreDoesNotOverflow) {
    const SyncId id = make(SyncKind::semaphore, std::numeric_limits<std::uint32_t>::max());
    EXPECT_EQ(status(SyncOp::semaphore_post, id, 111), KERN_RESOURCE_SHORTAGE);
    EXPECT_EQ(status(SyncOp::semaphore_trywait, id, 111), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::semaphore_post, id, 111), KERN_SUCCESS);
}

// ---- Condition variables ----

TEST_F(Sync, SignalWakesTheLongestWaiterAndIsNotKept) {
    const SyncId id = make(SyncKind::condition);
    EXPECT_EQ(status(SyncOp::cond_signal, id, 991), KERN_SUCCESS);
    for (const std::uint64_t number : {111u, 221u, 331u}) {
        EXPECT_EQ(status(SyncOp::cond_enqueue, id, number), KERN_SUCCESS);
    }
    for (const std::uint64_t number : {331u, 221u, 111u}) { // the order of cond_await does not count
        blocks(SyncOp::cond_await, id, number);
    }
    EXPECT_EQ(ask(SyncOp::cond_signal, id, 991), (Outcomes{gets(111, KERN_SUCCESS), gets(991, KERN_SUCCESS)}));
    EXPECT_EQ(ask(SyncOp::cond_broadcast, id, 991),
              (Outcomes{gets(221, KERN_SUCCESS), gets(331, KERN_SUCCESS), gets(991, KERN_SUCCESS)}));
    EXPECT_EQ(home_.waiting(), 0u);
}

TEST_F(Sync, SignalBetweenEnqueueAndAwaitCounts) {
    const SyncId id = make(SyncKind::condition);
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 111), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 221), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::cond_signal, id, 991), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::cond_await, id, 111), KERN_SUCCESS);
    blocks(SyncOp::cond_await, id, 221);
    EXPECT_EQ(status(SyncOp::cond_await, id, 111), KERN_INVALID_ARGUMENT) << "used up";
    EXPECT_EQ(status(SyncOp::cond_await, id, 221), KERN_INVALID_ARGUMENT) << "waits already";
}

TEST_F(Sync, TimeoutAgainstSignal) {
    const SyncId id = make(SyncKind::condition);
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 111), KERN_SUCCESS);
    EXPECT_EQ(cancel(111), Outcomes{}) << "no call to give up yet";
    blocks(SyncOp::cond_await, id, 111);
    EXPECT_EQ(cancel(111), Outcomes{gets(111, KERN_OPERATION_TIMED_OUT)});
    EXPECT_EQ(status(SyncOp::cond_signal, id, 991), KERN_SUCCESS) << "the one that timed out does not take it";
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 111), KERN_SUCCESS);
    blocks(SyncOp::cond_await, id, 111);
    EXPECT_EQ(ask(SyncOp::cond_signal, id, 991), (Outcomes{gets(111, KERN_SUCCESS), gets(991, KERN_SUCCESS)}));
    EXPECT_EQ(cancel(111), Outcomes{});
    EXPECT_EQ(ask(SyncOp::cond_cancel, id, 111), Outcomes{gets(111, KERN_SUCCESS, true)});
}

TEST_F(Sync, CondCancelEndsAnOpenAwait) {
    const SyncId id = make(SyncKind::condition);
    Outcomes out;
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 111), KERN_SUCCESS);
    blocks(SyncOp::cond_await, id, 111);
    home_.request(SyncOp::cond_cancel, id, thread(111, 7), out);
    EXPECT_EQ(out, (Outcomes{gets(111, KERN_OPERATION_TIMED_OUT), {thread(111, 7), KERN_SUCCESS, false}}));
    EXPECT_EQ(home_.waiting(), 0u);
}

TEST_F(Sync, UnusedSignalPassesToAnEarlierWaiterOnly) {
    const SyncId id = make(SyncKind::condition);
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 111), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 221), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::cond_signal, id, 991), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 331), KERN_SUCCESS);
    EXPECT_EQ(ask(SyncOp::cond_cancel, id, 111), Outcomes{gets(111, KERN_SUCCESS)});
    EXPECT_EQ(task_died(22), Outcomes{}); // the signal was passed to 221, and now there is nobody it was meant for
    blocks(SyncOp::cond_await, id, 331);
    EXPECT_EQ(ask(SyncOp::cond_signal, id, 991).size(), 2u);
}

TEST_F(Sync, SignalOfADeadReceiverPassesOn) {
    const SyncId id = make(SyncKind::condition);
    for (const std::uint64_t number : {111u, 112u, 221u}) {
        EXPECT_EQ(status(SyncOp::cond_enqueue, id, number), KERN_SUCCESS);
    }
    blocks(SyncOp::cond_await, id, 221);
    EXPECT_EQ(status(SyncOp::cond_signal, id, 991), KERN_SUCCESS);
    EXPECT_EQ(task_died(11), Outcomes{gets(221, KERN_SUCCESS)});
}

// 111, 112 and 113 wait, then 221; signal; then 331; signal. Whatever the order in which those that were chosen give
// up, both signals find the two that go on waiting.
TEST_F(Sync, UnusedSignalsFindEveryWaiterThatIsEntitled) {
    const SyncId id = make(SyncKind::condition);
    for (const std::uint64_t number : {111u, 112u, 113u, 221u}) {
        EXPECT_EQ(status(SyncOp::cond_enqueue, id, number), KERN_SUCCESS);
    }
    EXPECT_EQ(status(SyncOp::cond_signal, id, 991), KERN_SUCCESS); // 111
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 331), KERN_SUCCESS);
    blocks(SyncOp::cond_await, id, 331);
    EXPECT_EQ(status(SyncOp::cond_signal, id, 991), KERN_SUCCESS);                   // 112
    EXPECT_EQ(ask(SyncOp::cond_cancel, id, 111), Outcomes{gets(111, KERN_SUCCESS)}); // the first: to 113
    EXPECT_EQ(ask(SyncOp::cond_cancel, id, 112), Outcomes{gets(112, KERN_SUCCESS)}); // the second: to 221
    EXPECT_EQ(ask(SyncOp::cond_cancel, id, 113), (Outcomes{gets(331, KERN_SUCCESS), gets(113, KERN_SUCCESS)}));
    EXPECT_EQ(status(SyncOp::cond_await, id, 221), KERN_SUCCESS);
}

TEST_F(Sync, BroadcastIsNotPassedOn) {
    const SyncId id = make(SyncKind::condition);
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 111), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::cond_broadcast, id, 991), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::cond_enqueue, id, 221), KERN_SUCCESS);
    blocks(SyncOp::cond_await, id, 221);
    EXPECT_EQ(task_died(11), Outcomes{});
}

// ---- Destruction, strangers ----

TEST_F(Sync, DestroyTellsEveryWaiter) {
    const SyncId barrier = make(SyncKind::barrier, 2);
    const SyncId mutex = make(SyncKind::mutex);
    const SyncId cond = make(SyncKind::condition);
    const SyncId semaphore = make(SyncKind::semaphore);
    EXPECT_EQ(status(SyncOp::mutex_lock, mutex, 991), KERN_SUCCESS);
    blocks(SyncOp::barrier_wait, barrier, 111);
    blocks(SyncOp::mutex_lock, mutex, 112);
    blocks(SyncOp::semaphore_wait, semaphore, 113);
    EXPECT_EQ(status(SyncOp::cond_enqueue, cond, 114), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::cond_enqueue, cond, 115), KERN_SUCCESS);
    blocks(SyncOp::cond_await, cond, 115);
    EXPECT_EQ(ask(SyncOp::destroy, barrier, 991), (Outcomes{gets(111, KERN_TERMINATED), gets(991, KERN_SUCCESS)}));
    EXPECT_EQ(ask(SyncOp::destroy, mutex, 991), (Outcomes{gets(112, KERN_TERMINATED), gets(991, KERN_SUCCESS)}));
    EXPECT_EQ(ask(SyncOp::destroy, semaphore, 991), (Outcomes{gets(113, KERN_TERMINATED), gets(991, KERN_SUCCESS)}));
    EXPECT_EQ(ask(SyncOp::destroy, cond, 991), (Outcomes{gets(115, KERN_TERMINATED), gets(991, KERN_SUCCESS)}));
    EXPECT_EQ(status(SyncOp::cond_await, cond, 114), KERN_TERMINATED);
    EXPECT_EQ(status(SyncOp::cond_await, cond, 114), KERN_INVALID_VALUE);
    EXPECT_EQ(status(SyncOp::mutex_unlock, mutex, 991), KERN_INVALID_VALUE);
    EXPECT_EQ(home_.objects(), 0u);
    EXPECT_EQ(home_.waiting(), 0u);
}

TEST_F(Sync, NobodyAnswersForAThreadOfAnotherTask) {
    const SyncId mutex = make(SyncKind::mutex);
    const SyncId cond = make(SyncKind::condition);
    EXPECT_EQ(status(SyncOp::mutex_lock, mutex, 111), KERN_SUCCESS);
    EXPECT_EQ(status(SyncOp::cond_enqueue, cond, 111), KERN_SUCCESS);
    const Waiter impostor{2, 22, 111, 5};
    Outcomes out;
    home_.request(SyncOp::mutex_unlock, mutex, impostor, out);
    home_.request(SyncOp::cond_await, cond, impostor, out);
    EXPECT_EQ(out, (Outcomes{{impostor, KERN_INVALID_ARGUMENT, false}, {impostor, KERN_INVALID_ARGUMENT, false}}));
    blocks(SyncOp::cond_await, cond, 111);
    EXPECT_FALSE(home_.cancel(impostor, out));
    EXPECT_EQ(home_.waiting(), 1u);
}

} // namespace
} // namespace norma::rt
