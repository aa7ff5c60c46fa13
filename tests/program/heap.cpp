// SPDX-License-Identifier: BSD-3-Clause
// The heap of whole programs: every way to allocate, blocks that go from node to node, and a node that dies.
#include "tests/system/app.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <mutex>
#include <random>
#include <string>
#include <vector>

namespace {

using systest::Args;

bool is_shared(const void *block) {
    return systest::address_of(block) - systest::kWindow < systest::kWindowSize;
}

bool is_aligned(const void *block, std::size_t alignment) {
    return systest::address_of(block) % alignment == 0;
}

SYSTEM_CASE(allocators) {
    for (const std::size_t size : {0UL, 1UL, 16UL, 100UL, 4096UL, 70'000UL, 3UL << 20}) {
        auto *block = static_cast<char *>(std::malloc(size));
        CHECK(is_shared(block) && is_aligned(block, 16) && malloc_usable_size(block) >= size);
        std::memset(block, 0xab, size);
        block = static_cast<char *>(std::realloc(block, 2 * size + 1));
        CHECK(is_shared(block) && (size == 0 || block[size - 1] == '\xab'));
        std::free(block);
        auto *zeros = static_cast<char *>(std::calloc(size, 3));
        CHECK(std::all_of(zeros, zeros + 3 * size, [](char byte) { return byte == 0; }));
        std::free(zeros);
    }
    for (std::size_t alignment = 16; alignment <= 1UL << 20; alignment *= 2) {
        void *block = nullptr;
        CHECK_EQ(0, posix_memalign(&block, alignment, 1000));
        CHECK(is_shared(block) && is_aligned(block, alignment));
        std::free(block);
        block = std::aligned_alloc(alignment, alignment);
        CHECK(is_aligned(block, alignment));
        std::free(block);
    }
    void *untouched = nullptr;
    CHECK_EQ(EINVAL, posix_memalign(&untouched, 24, 8));
    CHECK(untouched == nullptr);
    struct alignas(256) Wide {
        char bytes[256];
    };
    const auto *wide = new Wide;
    CHECK(is_aligned(wide, 256));
    delete wide;
    // What the C library allocates for the program is the program's, too.
    char *copy = strdup("a copy");
    CHECK(is_shared(copy));
    std::free(copy);
    errno = 0;
    // More than there is: volatile, so that the compiler does not know.
    volatile std::size_t too_much = std::size_t{1} << 60;
    CHECK(std::malloc(too_much) == nullptr && errno == ENOMEM);
    CHECK(std::calloc(too_much, 32) == nullptr);
    errno = 0;
    std::free(nullptr);
    CHECK_EQ(0, errno);
    return 0;
}

// Until nothing is left on this node, nor on the others; then everything goes back, and there is as much as before.
SYSTEM_CASE(heap_is_full) {
    std::array<std::size_t, 2> held{};
    std::vector<void *> taken;
    taken.reserve(4096);
    for (auto &blocks : held) {
        taken.clear();
        while (void *block = std::malloc(1 << 20)) {
            taken.push_back(block);
        }
        CHECK_EQ(ENOMEM, errno);
        blocks = taken.size();
        std::ranges::for_each(taken, std::free);
    }
    // Of 64 MiB on each node a part goes to the heap's own needs.
    CHECK(held[0] >= 50U * static_cast<unsigned>(norma::node_count()));
    CHECK(held[1] * 10 >= held[0] * 9); // some of what the other nodes own waits for them
    return 0;
}

// A block that says what it should contain.
struct Block {
    std::uint32_t size, stamp;
    unsigned char bytes[];

    static Block *make(std::minstd_rand &draw, std::uint32_t least = 0) {
        const auto size = least + static_cast<std::uint32_t>(draw() % (draw() % 8 == 0 ? 100'000 : 600));
        auto *block = static_cast<Block *>(std::malloc(sizeof(Block) + size));
        CHECK(block != nullptr);
        block->size = size;
        block->stamp = static_cast<std::uint32_t>(draw());
        std::memset(block->bytes, static_cast<int>(block->stamp & 0xff), size);
        return block;
    }
    void check() const {
        CHECK(std::all_of(bytes, bytes + size, [this](unsigned char byte) { return byte == (stamp & 0xff); }));
    }
};

constexpr std::size_t kPlaces = 64;
// In pages of its own: what a node has written last goes with it.
struct alignas(4096) Exchange {
    std::array<std::atomic<Block *>, kPlaces> places;
    std::atomic<int> at_work;
};
Exchange exchange;

// Allocates, hands over to whoever comes by, checks and frees what others have made.
void trade(long rounds, unsigned seed) {
    std::minstd_rand draw(seed);
    for (long round = 0; round < rounds; ++round) {
        auto *mine = Block::make(draw);
        mine->check();
        if (auto *theirs = exchange.places[draw() % kPlaces].exchange(mine); theirs != nullptr) {
            theirs->check();
            std::free(theirs);
        }
    }
}

SYSTEM_CASE(blocks_travel) {
    const auto rounds = systest::number(args, 0, 1500);
    std::vector<norma::task> traders;
    for (int i = 0; i < 2 * norma::node_count(); ++i) {
        traders.push_back(
            systest::spawn(i % norma::node_count(), [rounds, i] { trade(rounds, 1 + static_cast<unsigned>(i)); }));
    }
    for (auto &trader : traders) {
        JOIN(trader);
    }
    for (auto &place : exchange.places) {
        if (auto *block = place.load(); block != nullptr) {
            block->check();
            std::free(block);
        }
    }
    return 0;
}

// Traders on nodes 0 and 1 go on while the last node, and a task of node 1, are killed. What came from the last node is
// lost with it, so the survivors keep their own places.
SYSTEM_CASE(survivors_allocate) {
    static std::atomic<bool> over;
    const auto survivor = [](unsigned seed) {
        std::minstd_rand draw(seed);
        std::vector<Block *> own;
        while (!over) {
            own.push_back(Block::make(draw));
            if (own.size() > 300) {
                auto &chosen = own[draw() % own.size()];
                chosen->check();
                std::free(chosen);
                chosen = own.back();
                own.pop_back();
            }
        }
        for (auto *block : own) {
            block->check();
            std::free(block);
        }
    };
    std::vector<norma::task> survivors;
    for (int i = 0; i < 4; ++i) {
        survivors.push_back(systest::spawn(i % 2, [survivor, i] { survivor(10 + static_cast<unsigned>(i)); }));
    }
    auto victim = systest::spawn(1, [] { trade(1'000'000'000, 3); });
    auto doomed = systest::spawn(systest::last_node(), [] { trade(1'000'000'000, 4); });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    CHECK_KERN(KERN_SUCCESS, task_terminate(victim.port()));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    systest::kill_node(systest::last_node());
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    over = true;
    for (auto &child : survivors) {
        JOIN(child);
    }
    std::vector<void *> more;
    for (int i = 0; i < 1000; ++i) {
        more.push_back(std::malloc(500));
        CHECK(more.back() != nullptr);
    }
    std::ranges::for_each(more, std::free);
    return 0;
}

// A death in the middle of a trade. Every pair of traders has a mailbox for each direction, in a page of its own, so
// that a death closes only those of the dead; and in an object of their own, for who writes one page after the other is
// given some that follow.
constexpr int kTraders = 4;
// What the traders hand over shares no page with what the tasks need for themselves.
constexpr std::uint32_t kLeast = 1024;
struct alignas(4096) Mailbox {
    std::atomic<Block *> block;
};
using Mail = std::array<std::array<Mailbox, kTraders>, kTraders>;
Mail *mail;
struct alignas(4096) Moment {
    std::atomic<bool> killed;
};
Moment moment;

thread_local sigjmp_buf lost_memory;
thread_local volatile bool may_be_lost = false;

void on_lost_memory(int, siginfo_t *info, void *) {
    if (may_be_lost) {
        siglongjmp(lost_memory, 1);
    }
    systest::fail(__FILE__, __LINE__,
                  fmt::format("SIGBUS at {} in a block that was handed out after the death", info->si_addr));
}

// False: what it touches has died with a node.
template <class Use> [[gnu::noinline]] bool guarded(Use use) {
    if (sigsetjmp(lost_memory, 1) != 0) {
        may_be_lost = false;
        return false;
    }
    may_be_lost = true;
    use();
    may_be_lost = false;
    return true;
}

// Written by the last node, of this node's memory: when it is lost here, this task has been told of the death.
struct alignas(4096) Canary {
    std::atomic<int> alive;
};

class StressedTrader {
  public:
    explicit StressedTrader(int self) : self_(self), draw_(static_cast<unsigned>(self) + 1) {
        struct sigaction action = {};
        action.sa_sigaction = on_lost_memory;
        action.sa_flags = SA_SIGINFO;
        CHECK_EQ(0, ::sigaction(SIGBUS, &action, nullptr));
    }

    void trade_until_killed() {
        while (!moment.killed) {
            Block *mine = nullptr;
            if (guarded([&] { mine = Block::make(draw_, kLeast); })) {
                post_and_fetch(mine);
            }
        }
    }
    // No more deaths: what is handed out now is there.
    void trade_after_the_death(int rounds) {
        while (rounds-- > 0) {
            post_and_fetch(Block::make(draw_, kLeast));
        }
    }

  private:
    void post_and_fetch(Block *mine) {
        const auto peer = draw_() % kTraders;
        Block *got = nullptr;
        const bool open = guarded([&, peer] {
            Block *nobody = nullptr;
            if (!(*mail)[self_][peer].block.compare_exchange_strong(nobody, mine)) {
                got = mine; // there is still one
            } else {
                got = (*mail)[peer][self_].block.exchange(nullptr);
            }
        });
        if (!open || got == nullptr) {
            return;
        }
        // Written here, too, so that its pages die with whoever had it last.
        guarded([&] {
            got->check();
            std::memset(got->bytes, 0x5a, got->size);
        });
        std::free(got);
    }

    int self_;
    std::minstd_rand draw_;
};

SYSTEM_CASE(trade_survives_a_node) {
    const auto rounds = static_cast<int>(systest::number(args, 0, 1000));
    static Canary *canaries[kTraders];
    static std::atomic<int> ready;
    struct alignas(4096) Kept {
        std::array<Block *, 500> blocks;
    };
    static Kept kept[kTraders];
    mail = systest::shared<Mail>();
    std::vector<norma::task> survivors;
    for (int self = 0; self < kTraders - 1; ++self) {
        survivors.push_back(systest::spawn(self, [self, rounds] {
            auto *canary = new Canary;
            canaries[self] = canary;
            ++ready;
            StressedTrader trader(self);
            trader.trade_until_killed();
            CHECK(!guarded([canary] { canary->alive.load(); }));
            trader.trade_after_the_death(rounds);
            std::minstd_rand draw(100 + static_cast<unsigned>(self));
            for (auto *&block : kept[self].blocks) {
                block = Block::make(draw);
            }
        }));
    }
    CHECK_SOON(ready == kTraders - 1);
    auto ready_to_die = norma::barrier::create(2);
    auto doomed = systest::spawn(systest::last_node(), [ready_to_die] {
        for (int i = 0; i < kTraders - 1; ++i) {
            canaries[i]->alive = 1;
        }
        ready_to_die.wait();
        StressedTrader(kTraders - 1).trade_until_killed();
    });
    ready_to_die.wait();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    systest::kill_node(systest::last_node());
    moment.killed = true;
    for (auto &child : survivors) {
        JOIN(child);
    }
    std::vector<Block *> all;
    for (int i = 0; i < kTraders - 1; ++i) {
        all.insert(all.end(), kept[i].blocks.begin(), kept[i].blocks.end());
    }
    std::ranges::for_each(all, &Block::check);
    std::ranges::sort(all);
    for (std::size_t i = 1; i < all.size(); ++i) {
        CHECK(all[i - 1]->bytes + all[i - 1]->size <= reinterpret_cast<unsigned char *>(all[i]));
    }
    return 0;
}

} // namespace
