// SPDX-License-Identifier: BSD-3-Clause
// Processes that share a heap and are killed at random moments, while others go on; and copies of the whole heap, made
// at a random moment, that go on by themselves.
#include <array>
#include <csignal>
#include <cstdio>
#include <random>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/heap/world.hpp"

namespace norma::rt::heap::test {
namespace {

constexpr std::uint32_t kParts = 3;
constexpr std::size_t kPartBytes = 12 * kMiB;
constexpr std::size_t kLargestRun = 4 * kUnit;

// Where all blocks are that somebody is to free: whoever puts one in takes another out. A process has one in its hands
// at most.
struct Market {
    std::array<std::atomic<std::byte *>, 1024> places;
    std::array<std::atomic<bool>, kParts * kPartBytes / kGrain> out; // whether this block is handed out
    std::atomic<bool> closing;
    std::atomic<std::uint64_t> trades, twice, spoilt;
};

struct Head {
    std::size_t size;
    std::uint64_t number;
};

class Trader {
  public:
    Trader(World &world, Market &market, std::uint32_t part, std::uint64_t owner)
        : world_(world), market_(market), random_(owner), slot_(world.heap().attach(part, owner)) {}

    void trade() {
        const std::size_t size = sizeof(Head) + random_() % (random_() % 50 == 0 ? kLargestRun - sizeof(Head) : 3000);
        put(make(size), random_() % market_.places.size());
        market_.trades.fetch_add(1, std::memory_order_relaxed);
    }
    void clear() {
        for (std::size_t place = 0; place < market_.places.size(); ++place) {
            put(nullptr, place);
        }
    }
    Slot *slot() { return slot_; }

  private:
    std::atomic<bool> &out(const std::byte *block) {
        return market_.out[static_cast<std::size_t>(block - world_.layout().base) / kGrain];
    }

    std::byte *make(std::size_t size) {
        auto *const block = static_cast<std::byte *>(world_.heap().allocate(slot_, size));
        if (block != nullptr) {
            market_.twice += out(block).exchange(true) ? 1 : 0;
            const Head head{size, random_()};
            new (block) Head(head);
            stamp(block + sizeof(Head), size - sizeof(Head), head.number);
        }
        return block;
    }
    void put(std::byte *block, std::size_t place) {
        std::byte *const old = market_.places[place].exchange(block);
        if (old != nullptr) {
            const Head head = *reinterpret_cast<Head *>(old);
            market_.spoilt += intact({old + sizeof(Head), head.size - sizeof(Head), head.number}) ? 0 : 1;
            market_.twice += out(old).exchange(false) ? 0 : 1;
            world_.heap().release(slot_, old);
        }
    }

    World &world_;
    Market &market_;
    std::mt19937_64 random_;
    Slot *slot_;
};

class HeapDeath : public ::testing::Test {
  protected:
    struct Worker {
        pid_t process;
        std::uint64_t owner;
    };

    static constexpr std::uint32_t kWorkers = 6;

    ~HeapDeath() override {
        ::munmap(&market, sizeof(Market));
        ::munmap(&copies, sizeof(int));
    }

    Worker start(std::uint32_t part) {
        const std::uint64_t owner = next_owner++;
        const pid_t process = ::fork();
        if (process == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            Trader trader(world, market, part, owner);
            while (!market.closing.load()) {
                trader.trade();
            }
            world.heap().detach(trader.slot());
            ::_exit(0);
        }
        return {process, owner};
    }
    static int wait_for(const Worker &worker) {
        int status = 0;
        EXPECT_EQ(::waitpid(worker.process, &status, 0), worker.process);
        return status;
    }
    void pause() { ::usleep(random() % 3000); }

    // Units that nobody has and that are not free.
    std::size_t units_missing(std::uint64_t owner) {
        Trader last(world, market, 0, owner);
        EXPECT_NE(last.slot(), nullptr);
        last.clear();
        world.heap().detach(last.slot());
        world.settle(owner);
        std::size_t missing = 0;
        for (std::uint32_t part = 0; part < kParts; ++part) {
            const Statistics now = world.heap().statistics(part);
            EXPECT_EQ(now.bytes_kept, 0u);
            missing += now.units - now.units_free;
        }
        return missing;
    }
    void expect_fair_trade() const {
        EXPECT_EQ(market.twice.load(), 0u);
        EXPECT_EQ(market.spoilt.load(), 0u);
    }

    World world{kParts, kPartBytes};
    Market &market = *static_cast<Market *>(map_shared(sizeof(Market)));
    std::atomic<int> &copies = *static_cast<std::atomic<int> *>(map_shared(sizeof(int)));
    std::mt19937_64 random{1};
    std::uint64_t next_owner = 1;
};

TEST_F(HeapDeath, SurvivorsGoOn) {
    constexpr int kDeaths = 400;
    std::array<Worker, kWorkers> workers;
    for (std::uint32_t i = 0; i < kWorkers; ++i) {
        workers[i] = start(i % kParts);
    }
    for (int death = 0; death < kDeaths; ++death) {
        pause();
        const auto victim = static_cast<std::uint32_t>(random() % kWorkers);
        ::kill(workers[victim].process, SIGKILL);
        EXPECT_TRUE(WIFSIGNALED(wait_for(workers[victim])));
        World::die(workers[victim].owner);
        workers[victim] = start(victim % kParts);
    }
    market.closing.store(true);
    for (const Worker &worker : workers) {
        EXPECT_EQ(wait_for(worker), 0);
    }
    expect_fair_trade();
    // In the hands of the dead: a unit, run or word of a bitmap in the heap, and a block of the program's.
    const std::size_t missing = units_missing(next_owner);
    EXPECT_LE(missing, kDeaths * (2 * kLargestRun / kUnit));
    std::printf("%d deaths in %lu trades: %zu units missing\n", kDeaths, market.trades.load(), missing);
    EXPECT_GT(market.trades.load(), 10000u);
}

TEST_F(HeapDeath, ACopyOfOneMomentGoesOn) {
    std::array<Worker, kWorkers> workers;
    for (std::uint32_t i = 0; i < kWorkers; ++i) {
        workers[i] = start(i % kParts);
    }
    for (int copy = 0; copy < 12 && !HasFailure(); ++copy) {
        pause();
        for (const Worker &worker : workers) {
            ::kill(worker.process, SIGSTOP);
            int status = 0;
            ::waitpid(worker.process, &status, WUNTRACED);
        }
        const std::uint64_t owner = next_owner++;
        const pid_t process = ::fork();
        if (process == 0) {
            world.become_copy(owner);
            make_private(&market, sizeof(Market));
            copies.fetch_add(1);
            Trader trader(world, market, copy % kParts, owner);
            for (int i = 0; i < 3000; ++i) {
                trader.trade();
            }
            trader.clear();
            world.heap().detach(trader.slot());
            const std::size_t missing = units_missing(owner);
            ::_exit(HasFailure() || market.twice != 0 || market.spoilt != 0 ||
                    missing > 2 * kWorkers * kLargestRun / kUnit);
        }
        while (copies.load() == copy) {
            ::usleep(100);
        }
        for (const Worker &worker : workers) {
            ::kill(worker.process, SIGCONT);
        }
        EXPECT_EQ(wait_for({process, owner}), 0);
    }
    market.closing.store(true);
    for (const Worker &worker : workers) {
        EXPECT_EQ(wait_for(worker), 0);
    }
    expect_fair_trade();
    EXPECT_EQ(units_missing(next_owner), 0u);
}

} // namespace
} // namespace norma::rt::heap::test
