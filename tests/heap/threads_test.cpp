// SPDX-License-Identifier: BSD-3-Clause
// Threads that stand for tasks on several nodes, and hand blocks to each other.
#include <array>
#include <mutex>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "tests/heap/world.hpp"

namespace norma::rt::heap::test {
namespace {

// Where threads leave blocks for others.
class Exchange {
  public:
    // Puts one in, and takes out what was there.
    Stamped swap(const Stamped &block, std::size_t place) {
        std::lock_guard guard(locks_[place % locks_.size()]);
        return std::exchange(blocks_[place % blocks_.size()], block);
    }
    static constexpr std::size_t kPlaces = 4096;

  private:
    std::array<std::mutex, 64> locks_;
    std::array<Stamped, kPlaces> blocks_;
};

class HeapThreads : public ::testing::Test {
  protected:
    void work(std::uint32_t part, std::uint64_t owner, int steps) {
        std::mt19937_64 random(owner);
        Slot *const slot = heap.attach(part, owner);
        ASSERT_NE(slot, nullptr);
        for (int i = 0; i < steps; ++i) {
            const std::size_t size = random() % 20 == 0 ? random() % (2 * kUnit) : 1 + random() % 2000;
            Stamped block;
            if (void *fresh = heap.allocate(slot, size); fresh != nullptr) {
                block = stamp(fresh, std::min<std::size_t>(size, 256), random());
            }
            block = exchange.swap(block, random());
            if (block.block != nullptr) {
                ASSERT_TRUE(intact(block));
                heap.release(slot, block.block);
            }
        }
        heap.detach(slot);
    }

    void end() {
        Slot *const slot = heap.attach(0, 1000);
        for (std::size_t place = 0; place < Exchange::kPlaces; ++place) {
            if (const Stamped block = exchange.swap({}, place); block.block != nullptr) {
                EXPECT_TRUE(intact(block));
                heap.release(slot, block.block);
            }
        }
        heap.detach(slot);
        for (std::uint32_t part = 0; part < world.layout().parts; ++part) {
            heap.drain(part);
        }
        world.expect_empty();
    }

    World world{3, 16 * kMiB};
    Heap &heap = world.heap();
    Exchange exchange;
};

TEST_F(HeapThreads, HandBlocksToEachOther) {
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < 6; ++i) {
        threads.emplace_back([this, i] { work(static_cast<std::uint32_t>(i % 3), 1 + i, 20000); });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    end();
}

TEST_F(HeapThreads, ComeAndGo) {
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < 4; ++i) {
        threads.emplace_back([this, i] {
            for (std::uint64_t life = 0; life < 20; ++life) {
                work(static_cast<std::uint32_t>(i % 2), 1 + i * 100 + life, 500);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    end();
}

// Some threads end without a word; their slots go to others while these are at work.
TEST_F(HeapThreads, TheDeadAreSucceeded) {
    std::atomic<std::uint64_t> next{1};
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < 4; ++i) {
        threads.emplace_back([this, i, &next] {
            std::mt19937_64 random(i);
            for (int life = 0; life < 50; ++life) {
                const std::uint64_t owner = next.fetch_add(1);
                Slot *const slot = heap.attach(i % 3, owner);
                ASSERT_NE(slot, nullptr);
                for (int step = 0; step < 200; ++step) {
                    const std::size_t size = 1 + random() % 1000;
                    const Stamped block = stamp(heap.allocate(slot, size), size, random());
                    const Stamped old = exchange.swap(block, random());
                    ASSERT_TRUE(intact(old));
                    heap.release(slot, old.block);
                }
                World::die(owner);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    for (std::uint32_t part = 0; part < world.layout().parts; ++part) {
        heap.recover(part, 999);
    }
    end();
}

// All want the last of the memory, and give it back.
TEST_F(HeapThreads, ShortOfMemory) {
    std::vector<std::thread> threads;
    std::atomic<int> refused{0};
    for (std::uint32_t i = 0; i < 4; ++i) {
        threads.emplace_back([this, i, &refused] {
            Slot *const slot = heap.attach(i % 3, 1 + i);
            std::mt19937_64 random(i);
            for (int round = 0; round < 6; ++round) {
                std::vector<Stamped> blocks;
                const std::size_t limit = round % 2 == 0 ? kLargestSmall : 10 * kUnit;
                while (true) {
                    const std::size_t size = limit / 2 + random() % (limit / 2);
                    void *const block = heap.allocate(slot, size);
                    if (block == nullptr) {
                        refused.fetch_add(1);
                        break;
                    }
                    blocks.push_back(stamp(block, 64, random()));
                }
                for (const Stamped &block : blocks) {
                    ASSERT_TRUE(intact(block));
                    heap.release(slot, block.block);
                }
            }
            heap.detach(slot);
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(refused.load(), 24);
    end();
}

} // namespace
} // namespace norma::rt::heap::test
