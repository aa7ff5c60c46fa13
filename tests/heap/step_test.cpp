// SPDX-License-Identifier: BSD-3-Clause
// A task that dies after any number of instructions of one call: the processor traps after each, and SIGKILL comes.
// Whoever survives goes on, is given no block twice, and misses no more than the dead had in its hands.
#include <algorithm>
#include <csignal>
#include <cstdio>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/heap/world.hpp"

namespace norma::rt::heap::test {
namespace {

constexpr std::uint64_t kSurvivor = 1, kDoomed = 2, kNeighbour = 3;
constexpr std::size_t kUnitsInHand = 3; // of the longest run that the calls below are about
constexpr int kDeaths = 60;             // of each call, spread over its instructions

struct Scene {
    World world{2, kMiB};
    Heap &heap = world.heap();
    Slot *survivor = heap.attach(0, kSurvivor);
    Slot *doomed = heap.attach(0, kDoomed);
    Slot *neighbour = heap.attach(1, kNeighbour);
    std::vector<Stamped> held;  // by the survivor
    std::vector<void *> others; // what the doomed call is about

    void hold(Slot *slot, std::size_t count, std::size_t size) {
        for (std::size_t i = 0; i < count; ++i) {
            held.push_back(stamp(heap.allocate(slot, size), size, held.size() << 20));
        }
    }
    void give(Slot *slot, std::size_t count, std::size_t size) {
        for (std::size_t i = 0; i < count; ++i) {
            others.push_back(heap.allocate(slot, size));
        }
    }
};

struct Call {
    const char *name;
    void (*prepare)(Scene &scene);
    void (*act)(Scene &scene);
};

void release_all(Scene &scene, Slot *slot) {
    for (void *block : scene.others) {
        scene.heap.release(slot, block);
    }
}

const Call kCalls[] = {
    {"Refill", [](Scene &s) { s.hold(s.survivor, 300, 256); }, [](Scene &s) { s.heap.allocate(s.doomed, 256); }},
    {"NewSlab", [](Scene &) {}, [](Scene &s) { s.heap.allocate(s.doomed, 1000); }},
    {"Flush",
     [](Scene &s) {
         s.give(s.doomed, 100, 200);
         release_all(s, s.doomed);
         s.hold(s.survivor, 20, 200);
     },
     [](Scene &s) { s.heap.flush(s.doomed); }},
    {"EmptySlab",
     [](Scene &s) {
         s.give(s.doomed, 20, 8000);
         release_all(s, s.doomed);
     },
     [](Scene &s) { s.heap.flush(s.doomed); }},
    {"Run", [](Scene &s) { s.hold(s.survivor, 3, kUnit); },
     [](Scene &s) { s.heap.allocate(s.doomed, kUnitsInHand * kUnit); }},
    {"ReleaseRun", [](Scene &s) { s.give(s.doomed, 1, kUnitsInHand * kUnit); },
     [](Scene &s) { release_all(s, s.doomed); }},
    {"ResizeRun", [](Scene &s) { s.give(s.doomed, 1, kUnit); },
     [](Scene &s) { s.heap.resize(s.doomed, s.heap.resize(s.doomed, s.others[0], kUnitsInHand * kUnit), kUnit); }},
    {"Send",
     [](Scene &s) {
         s.give(s.neighbour, 30, 48);
         release_all(s, s.doomed);
     },
     [](Scene &s) { s.heap.flush(s.doomed); }},
    {"Drain",
     [](Scene &s) {
         s.give(s.doomed, 30, 48);
         release_all(s, s.neighbour);
         s.heap.flush(s.neighbour);
     },
     [](Scene &s) { s.heap.drain(0); }},
    {"Attach", [](Scene &s) { s.heap.detach(s.doomed); }, [](Scene &s) { s.heap.attach(0, kDoomed); }},
    {"Detach",
     [](Scene &s) {
         s.give(s.doomed, 20, 500);
         release_all(s, s.doomed);
     },
     [](Scene &s) { s.heap.detach(s.doomed); }},
};

std::atomic<int> &steps_made() {
    static auto *const shared = static_cast<std::atomic<int> *>(map_shared(sizeof(std::atomic<int>)));
    return *shared;
}
int steps_allowed = 0;

void on_step(int) {
    if (steps_made().fetch_add(1) == steps_allowed) {
        ::kill(::getpid(), SIGKILL);
    }
}

// x86's trap flag. The stack below the pointer may be in use.
void trap_each_instruction(bool on) {
    if (on) {
        asm volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                         : "cc", "memory");
    } else {
        asm volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                         : "cc", "memory");
    }
}

// Returns whether the call came to its end.
bool run_and_kill(Scene &scene, const Call &call, int steps) {
    steps_made().store(0);
    steps_allowed = steps;
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGTRAP, on_step);
        trap_each_instruction(true);
        call.act(scene);
        trap_each_instruction(false);
        ::_exit(0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) << status;
    return status == 0;
}

// Everything that can be had, from both parts; none of it touches what is held.
void expect_no_block_twice(Scene &scene) {
    std::vector<Stamped> all;
    for (const std::size_t size : {256, 8000, 48}) {
        for (Slot *slot : {scene.survivor, scene.neighbour}) {
            while (void *block = scene.heap.allocate(slot, size)) {
                all.push_back(stamp(block, size, (all.size() + 1) << 32));
            }
        }
    }
    EXPECT_TRUE(std::all_of(scene.held.begin(), scene.held.end(), [](const Stamped &block) { return intact(block); }));
    EXPECT_TRUE(std::all_of(all.begin(), all.end(), [](const Stamped &block) { return intact(block); }));
    for (const Stamped &block : all) {
        scene.heap.release(scene.survivor, block.block);
    }
}

// Units, since one block that is missing keeps its slab from being given back.
std::size_t units_missing(Scene &scene) {
    for (const Stamped &block : scene.held) {
        scene.heap.release(scene.survivor, block.block);
    }
    scene.heap.detach(scene.survivor);
    scene.heap.detach(scene.neighbour);
    scene.world.settle(kSurvivor);
    std::size_t missing = 0;
    for (std::uint32_t part = 0; part < 2; ++part) {
        const Statistics now = scene.heap.statistics(part);
        EXPECT_EQ(now.bytes_kept, 0u);
        missing += now.units - now.units_free;
    }
    return missing;
}

class HeapStep : public ::testing::TestWithParam<Call> {};

TEST_P(HeapStep, DeathAfterAnyInstruction) {
    const Call &call = GetParam();
    {
        Scene scene; // binds the symbols of shared libraries, which would be steps of the first call alone
        call.prepare(scene);
        call.act(scene);
    }
    {
        Scene scene;
        call.prepare(scene);
        ASSERT_TRUE(run_and_kill(scene, call, 1 << 30));
    }
    const int length = steps_made().load();
    std::size_t worst = 0;
    for (int death = 0; death < kDeaths && !HasFailure(); ++death) {
        const int steps = static_cast<int>(std::int64_t{length} * death / kDeaths);
        SCOPED_TRACE(std::to_string(steps) + " of " + std::to_string(length) + " instructions");
        Scene scene;
        call.prepare(scene);
        const std::size_t before = scene.heap.bytes_live();
        ASSERT_FALSE(run_and_kill(scene, call, steps));
        World::die(kDoomed);
        scene.world.settle(kSurvivor);
        expect_no_block_twice(scene);
        const std::size_t missing = units_missing(scene);
        EXPECT_LE(missing, before / kUnit + kUnitsInHand + 1);
        worst = std::max(worst, missing);
    }
    std::printf("%s: %d instructions, at most %zu units missing\n", call.name, length, worst);
}

INSTANTIATE_TEST_SUITE_P(Calls, HeapStep, ::testing::ValuesIn(kCalls),
                         [](const auto &call) { return std::string(call.param.name); });

} // namespace
} // namespace norma::rt::heap::test
