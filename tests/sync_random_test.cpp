// SPDX-License-Identifier: BSD-3-Clause
// Programs that use everything at once, in the random world of sync_world.hpp.
#include "tests/sync_world.hpp"

namespace norma::rt::test {
namespace {

struct Stock {
    SyncId mutex = 0;
    SyncId cond = 0;
    int items = 0;
    std::vector<Waiter> asleep; // in cond_wait: those that a test may kill without changing the count

    void wakes(const Waiter &self) {
        std::erase_if(asleep, [&](const Waiter &sleeper) { return sleeper.thread == self.thread; });
    }
};

Script consume(World &world, Waiter self, Stock &stock, int want, bool timed) {
    for (; want > 0; --want) {
        Reply got = co_await world.call(SyncOp::mutex_lock, stock.mutex, self);
        world.enters(stock.mutex, self, got);
        while (stock.items == 0) {
            stock.asleep.push_back(self);
            got = co_await world.call(SyncOp::cond_enqueue, stock.cond, self);
            EXPECT_EQ(got.status, KERN_SUCCESS);
            world.leaves(stock.mutex, self);
            got = co_await world.call(SyncOp::mutex_unlock, stock.mutex, self);
            EXPECT_EQ(got.status, KERN_SUCCESS);
            got = co_await world.call(SyncOp::cond_await, stock.cond, self, timed);
            stock.wakes(self);
            EXPECT_TRUE(got.status == KERN_SUCCESS || (timed && got.status == KERN_OPERATION_TIMED_OUT));
            got = co_await world.call(SyncOp::mutex_lock, stock.mutex, self);
            world.enters(stock.mutex, self, got);
        }
        --stock.items;
        world.leaves(stock.mutex, self);
        co_await world.call(SyncOp::mutex_unlock, stock.mutex, self);
    }
}

Script produce(World &world, Waiter self, Stock &stock, int count) {
    for (; count > 0; --count) {
        const Reply got = co_await world.call(SyncOp::mutex_lock, stock.mutex, self);
        world.enters(stock.mutex, self, got);
        ++stock.items;
        const bool signal_inside = world.chance(2);
        if (signal_inside) {
            co_await world.call(SyncOp::cond_signal, stock.cond, self);
        }
        world.leaves(stock.mutex, self);
        co_await world.call(SyncOp::mutex_unlock, stock.mutex, self);
        if (!signal_inside) {
            co_await world.call(SyncOp::cond_signal, stock.cond, self);
        }
    }
}

// Calls cond_wait without the mutex: its unlock fails, and no signal may be lost to it.
Script blunder(World &world, Waiter self, Stock &stock, int times) {
    for (; times > 0; --times) {
        stock.asleep.push_back(self);
        Reply got = co_await world.call(SyncOp::cond_enqueue, stock.cond, self);
        EXPECT_EQ(got.status, KERN_SUCCESS);
        for (int tries = 0; tries < 12; ++tries) { // long enough to become the first in the queue
            got = co_await world.call(SyncOp::mutex_unlock, stock.mutex, self);
            EXPECT_EQ(got.status, KERN_INVALID_ARGUMENT);
        }
        got = co_await world.call(SyncOp::cond_cancel, stock.cond, self);
        EXPECT_EQ(got.status, KERN_SUCCESS);
        EXPECT_FALSE(got.flag);
        stock.wakes(self);
    }
}

Script kill_sleepers(World &world, Waiter self, Stock &stock, SyncId pause, int count) {
    while (count > 0) {
        co_await world.call(SyncOp::semaphore_wait, pause, self, true); // never posted: takes some time
        if (!stock.asleep.empty() && world.chance(2)) {
            const auto victim = world.chance(4) ? stock.asleep.begin() : stock.asleep.end() - 1;
            world.kill(*victim);
            stock.asleep.erase(victim);
            --count;
        }
        count -= world.chance(30) ? 1 : 0; // perhaps nobody will ever sleep again
    }
}

struct Meeting {
    SyncId barrier = 0;
    int members = 0;
    std::map<int, int> arrived, serial; // by round
};

Script meet(World &world, Waiter self, Meeting &meeting, int rounds) {
    for (int round = 0; round < rounds; ++round) {
        ++meeting.arrived[round];
        const Reply got = co_await world.call(SyncOp::barrier_wait, meeting.barrier, self);
        EXPECT_EQ(got.status, KERN_SUCCESS);
        EXPECT_EQ(meeting.arrived[round], meeting.members) << "let through early";
        EXPECT_LE(meeting.serial[round] += got.flag, 1);
    }
}

struct Pool {
    SyncId semaphore = 0;
    SyncId pause = 0; // never posted: a timed wait for it takes some time
    int units = 0;
    int used = 0;
    int timeouts = 0;
};

Script borrow(World &world, Waiter self, Pool &pool, int times, bool timed) {
    for (; times > 0; --times) {
        const Reply got = co_await world.call(SyncOp::semaphore_wait, pool.semaphore, self, timed);
        if (got.status != KERN_SUCCESS) {
            EXPECT_TRUE(timed && got.status == KERN_OPERATION_TIMED_OUT);
            ++pool.timeouts;
            continue;
        }
        EXPECT_LE(++pool.used, pool.units);
        co_await world.call(SyncOp::semaphore_wait, pool.pause, self, true);
        --pool.used;
        co_await world.call(SyncOp::semaphore_post, pool.semaphore, self);
    }
}

void trade(World &world, Stock &stock, bool deaths, bool timeouts) {
    stock.mutex = world.make(SyncKind::mutex);
    stock.cond = world.make(SyncKind::condition);
    // Few consume more than once, and there is too little for all unless they poll: who comes late, or comes again,
    // would find what a lost wake left behind.
    for (int i = 0; i < 9; ++i) {
        world.add([&](Waiter self) { return consume(world, self, stock, i == 0 ? 4 : 1, timeouts && i % 2 == 0); });
    }
    for (int i = 0; i < 2; ++i) {
        world.add([&](Waiter self) { return produce(world, self, stock, timeouts ? 6 : 4); });
        world.add([&](Waiter self) { return blunder(world, self, stock, 12); });
    }
    if (deaths) {
        const SyncId pause = world.make(SyncKind::semaphore);
        world.add([&](Waiter self) { return kill_sleepers(world, self, stock, pause, 3); });
    }
}

class SyncRandom : public testing::TestWithParam<bool> {};

TEST_P(SyncRandom, NobodyWaitsForEverAndNothingIsServedOutOfTurn) {
    const bool deaths = GetParam();
    int timeouts = 0;
    int killed = 0;
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        World world(seed);
        std::array<Stock, 2> stocks;
        for (Stock &stock : stocks) {
            trade(world, stock, deaths, seed % 2 == 0); // a timeout would make up for a wake that is lost
        }
        Meeting meeting{world.make(SyncKind::barrier, 4), 4, {}, {}};
        for (int i = 0; i < meeting.members; ++i) {
            world.add([&](Waiter self) { return meet(world, self, meeting, 6); });
        }
        Pool pool{world.make(SyncKind::semaphore, 2), world.make(SyncKind::semaphore), 2, 0, 0};
        for (int i = 0; i < 5; ++i) {
            world.add([&](Waiter self) { return borrow(world, self, pool, 6, i < 3); });
        }
        world.settle();
        for (Stock &stock : stocks) {
            EXPECT_TRUE(stock.asleep.empty() || stock.items == 0) << "a wake was lost";
            const int missing = static_cast<int>(4 * stock.asleep.size());
            world.add([&](Waiter self) { return produce(world, self, stock, missing); });
        }
        world.finish();
        EXPECT_EQ(meeting.serial.size(), 6u);
        EXPECT_EQ(pool.used, 0);
        ASSERT_FALSE(HasFailure());
        timeouts += pool.timeouts;
        killed += world.killed();
    }
    // The runs must have met what they are for.
    EXPECT_GT(timeouts, 100);
    EXPECT_EQ(killed > 100, deaths);
}

INSTANTIATE_TEST_SUITE_P(, SyncRandom, testing::Bool(),
                         [](const auto &run) { return run.param ? "WithDeaths" : "WithoutDeaths"; });

} // namespace
} // namespace norma::rt::test
