// SPDX-License-Identifier: BSD-3-Clause
// Whole programs in whose job nodes join while they run; tests/join/late.sh has them do so, and says what is to be
// seen.
#include "tests/system/app.hpp"

#include <array>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace std::chrono_literals;

void say(const char *what) {
    std::puts(what);
    std::fflush(stdout);
}

// Somebody types `norma join` as soon as he has read what was said.
void wait_for_nodes(int count) {
    for (int tries = 0; tries < 6000 && norma::node_count() < count; ++tries) {
        std::this_thread::sleep_for(10ms);
    }
    CHECK_EQ(count, norma::node_count());
}

constexpr int kNames = 16; // so many that each node is the home of some

std::string name_of(int number) {
    return "late." + std::to_string(number);
}

std::atomic<long> &named(int number, vm_size_t size) {
    memory_object_t object = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_object_open(name_of(number).c_str(), &size, &object));
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_map(systest::self(), &address, 4096, 0, TRUE, object, 0, FALSE, VM_PROT_DEFAULT,
                                    VM_PROT_ALL, VM_INHERIT_SHARE));
    return systest::word(address);
}

// Blocks that nobody else may be given meanwhile.
void allocate_much(unsigned seed, const std::atomic<bool> *go) {
    while (!go->load()) {
        std::this_thread::sleep_for(1ms);
    }
    std::array<std::vector<unsigned>, 64> blocks;
    for (unsigned round = 0; round < 4000; ++round) {
        auto &block = blocks[round * 7 % blocks.size()];
        for (const auto value : block) {
            CHECK_EQ(seed + static_cast<unsigned>(block.size()), value);
        }
        block.assign(1 + (round * 13 + seed) % 700, 0);
        std::fill(block.begin(), block.end(), seed + static_cast<unsigned>(block.size()));
    }
}

struct Shared {
    std::atomic<bool> go{false};
    std::vector<int> *made_there = nullptr;
    std::vector<int> *made_here = nullptr;
};

// What was there before is there for the new node, and what it makes is there for the others.
SYSTEM_CASE(grow) {
    for (int number = 0; number < kNames; ++number) {
        named(number, 4096) = 100 + number;
    }
    auto *shared = new Shared;
    shared->made_here = new std::vector<int>(5000, 7);
    say("ready");
    wait_for_nodes(static_cast<int>(systest::number(args, 0, 2)));
    const int last = norma::node_count() - 1;
    auto child = systest::spawn(last, [shared, last] {
        CHECK_EQ(last, norma::this_node());
        CHECK_EQ(last + 1, norma::node_count());
        for (int number = 0; number < kNames; ++number) {
            CHECK_EQ(100 + number, named(number, 0).exchange(200 + number));
        }
        CHECK_EQ(35000, std::accumulate(shared->made_here->begin(), shared->made_here->end(), 0));
        delete shared->made_here;
        shared->made_there = new std::vector<int>(5000, 9);
        allocate_much(1000, &shared->go);
    });
    shared->go = true;
    allocate_much(2000, &shared->go);
    JOIN(child);
    CHECK_EQ(45000, std::accumulate(shared->made_there->begin(), shared->made_there->end(), 0));
    delete shared->made_there;
    for (int number = 0; number < kNames; ++number) {
        CHECK_EQ(200 + number, named(number, 0).load());
    }
    say("grown");
    return 0;
}

// Its end is that of any node. The next one to join has another number.
SYSTEM_CASE(survive) {
    auto *word = systest::shared<std::atomic<long>>();
    say("ready");
    wait_for_nodes(2);
    auto child = systest::spawn(1, [word] {
        word->store(1);
        for (;;) {
            ::pause();
        }
    });
    CHECK_SOON(word->load() == 1);
    say("at work");
    int status = 0;
    CHECK_KERN(KERN_NODE_DOWN, norma_task_wait(child.port(), -1, &status));
    child.release();
    task_t nobody = TASK_NULL;
    CHECK_KERN(KERN_NODE_DOWN, norma_task_clone(systest::self(), TRUE, 1, &nobody));
    say("alone");
    wait_for_nodes(3);
    auto next = systest::spawn(2, [word] { word->fetch_add(1); });
    JOIN(next);
    CHECK_EQ(2, word->load());
    say("survived");
    return 0;
}

// Goes on until there is a file; is moved meanwhile.
SYSTEM_CASE(follow) {
    std::vector<unsigned> numbers(2 << 20);
    std::iota(numbers.begin(), numbers.end(), 5U);
    const auto sum = std::accumulate(numbers.begin(), numbers.end(), 0U);
    say("ready");
    while (::access(args[0], F_OK) != 0) {
        CHECK_EQ(sum, std::accumulate(numbers.begin(), numbers.end(), 0U));
        std::this_thread::sleep_for(1ms);
    }
    std::printf("the same on node %d of %d\n", norma::this_node(), norma::node_count());
    return 0;
}

struct Rod {
    static constexpr std::size_t kCells = 4096;
    using Cells = std::array<double, kCells>;
    norma::barrier step;
    std::atomic<bool> stop{false}, last{false};
    long steps = 0;
    std::array<Cells, 2> cells{};
};

void advance(const Rod::Cells &from, Rod::Cells &to, std::size_t first, std::size_t end) {
    for (std::size_t i = std::max<std::size_t>(first, 1); i < std::min(end, Rod::kCells - 1); ++i) {
        to[i] = from[i] + 0.25 * (from[i - 1] - 2 * from[i] + from[i + 1]);
    }
}

void work_on(Rod *rod, std::size_t worker) {
    constexpr std::size_t kShare = Rod::kCells / 2;
    for (long step = 0;; ++step) {
        rod->step.wait();
        if (worker == 0) {
            rod->last = rod->stop.load();
            rod->steps = step;
        }
        rod->step.wait();
        if (rod->last) {
            return;
        }
        advance(rod->cells[step % 2], rod->cells[(step + 1) % 2], worker * kShare, (worker + 1) * kShare);
    }
}

// Two tasks that need each other's pages all the time, until there is a file; are moved meanwhile.
SYSTEM_CASE(together) {
    auto *rod = new Rod;
    rod->step = norma::barrier::create(2);
    for (auto &cells : rod->cells) {
        cells[0] = 1000;
    }
    auto one = systest::spawn(0, [rod] { work_on(rod, 0); });
    auto other = systest::spawn(0, [rod] { work_on(rod, 1); });
    say("ready");
    while (::access(args[0], F_OK) != 0) {
        std::this_thread::sleep_for(1ms);
    }
    rod->stop = true;
    JOIN(one);
    JOIN(other);
    std::array<Rod::Cells, 2> alone{};
    alone[0][0] = alone[1][0] = 1000;
    for (long step = 0; step < rod->steps; ++step) {
        advance(alone[step % 2], alone[(step + 1) % 2], 0, Rod::kCells);
    }
    CHECK(rod->steps > 0 && alone == rod->cells);
    say("the same bits");
    return 0;
}

} // namespace
