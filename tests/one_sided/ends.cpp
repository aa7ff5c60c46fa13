// SPDX-License-Identifier: BSD-3-Clause
// Regions that end, and owners that die, while others access them.
#include "tests/one_sided/owner.hpp"

#include <chrono>
#include <vector>

namespace {

using systest::import;
using systest::kBoth;
using systest::OwnerState;
using systest::shared;
using systest::start_owner;
using systest::wait_for_turn;
using Clock = std::chrono::steady_clock;

constexpr vm_size_t kBytes = 1 << 20;

// Gets, puts and adds until something is refused, and returns what it was then. All threads go on that long.
kern_return_t access_until_refused(norma_region_t region, std::size_t seed) {
    std::vector<std::byte> bytes(kBytes);
    for (std::size_t i = seed;; ++i) {
        const auto size = i * 7919 % kBytes;
        std::uint64_t before = 0;
        const auto got = i % 3 == 0   ? norma_get(region, 0, bytes.data(), size)
                         : i % 3 == 1 ? norma_put(region, kBytes - size, bytes.data(), size)
                                      : norma_fetch_add(region, 8, 1, &before);
        if (got != KERN_SUCCESS) {
            return got;
        }
    }
}

// Two threads access the region while `end` ends it; both must be told `expected`.
template <class End> void end_under_access(norma_region_t region, kern_return_t expected, End end) {
    std::vector<std::thread> threads;
    std::atomic<kern_return_t> results[2] = {-1, -1};
    for (std::size_t i = 0; i < 2; ++i) {
        threads.emplace_back([&results, region, i] { results[i] = access_until_refused(region, i); });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(results[0] == -1 && results[1] == -1);
    end();
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK_EQ(expected, results[0].load());
    CHECK_EQ(expected, results[1].load());
}

} // namespace

// In each of the ways in which a live task ends an export; then it makes another one at the same place.
SYSTEM_CASE(region_freed) {
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kBytes, kBoth, [](OwnerState *s) {
        for (int round = 1; round <= 9; ++round) {
            wait_for_turn(s, round);
            switch (round % 3) {
            case 0:
                CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), s->address, kBytes));
                s->address = systest::wired_memory(kBytes);
                break;
            case 1:
                CHECK_KERN(KERN_SUCCESS, norma_region_withdraw(&s->key));
                break;
            default:
                CHECK_KERN(KERN_SUCCESS, vm_wire(mach_host_self(), mach_task_self(), s->address, kBytes, VM_PROT_NONE));
                CHECK_KERN(KERN_SUCCESS, vm_wire(mach_host_self(), mach_task_self(), s->address, kBytes, kBoth));
                break;
            }
            CHECK_KERN(KERN_SUCCESS, norma_region_export(s->address, kBytes, kBoth, &s->key));
            s->ready = 1 + round;
        }
        wait_for_turn(s, 10);
    });
    for (int round = 1; round <= 9; ++round) {
        const auto old = state->key;
        const auto region = import(old);
        end_under_access(region, KERN_INVALID_CAPABILITY, [state, round] { state->turn = round; });
        CHECK_SOON(state->ready == 1 + round);
        norma_region_t again = 0;
        CHECK_KERN(KERN_INVALID_CAPABILITY, norma_region_import(&old, &again, nullptr, nullptr));
        char byte = 0;
        CHECK_KERN(KERN_INVALID_CAPABILITY, norma_get(region, 0, &byte, 1));
        CHECK_KERN(KERN_SUCCESS, norma_region_release(region));
    }
    char byte = 0;
    CHECK_KERN(KERN_SUCCESS, norma_get(import(state->key), 0, &byte, 1));
    state->turn = 10;
    JOIN(owner);
    return 0;
}

SYSTEM_CASE(owner_killed) {
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kBytes, kBoth, [](OwnerState *) { ::pause(); });
    const auto region = import(state->key);
    auto killer = systest::spawn(1, [state] {
        wait_for_turn(state, 1);
        ::kill(state->pid, SIGKILL);
    });
    const auto begin = Clock::now();
    end_under_access(region, KERN_TERMINATED, [state] { state->turn = 1; });
    CHECK(Clock::now() - begin < std::chrono::seconds(5));
    JOIN(killer);
    char byte = 0;
    CHECK_KERN(KERN_TERMINATED, norma_get(region, 0, &byte, 1));
    CHECK_EQ(SIGKILL, END_OF(owner.release()));
    norma_region_t again = 0;
    CHECK_KERN(KERN_INVALID_TASK, norma_region_import(&state->key, &again, nullptr, nullptr));
    // Another owner is reached as if nothing had been.
    auto next = start_owner(1, state, kBytes, kBoth, [](OwnerState *s) { wait_for_turn(s, 1); });
    CHECK_KERN(KERN_SUCCESS, norma_get(import(state->key), 0, &byte, 1));
    state->turn = 1;
    JOIN(next);
    return 0;
}

// The importer dies in the middle of accesses; the owner serves others, and its memory is not kept for the dead.
SYSTEM_CASE(importer_killed) {
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kBytes, kBoth, [](OwnerState *s) {
        wait_for_turn(s, 1);
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), s->address, kBytes));
    });
    for (int round = 0; round < 3; ++round) {
        auto importer = systest::spawn(0, [state, round] {
            const auto region = import(state->key);
            state->ready = 2 + round; // UCX 1.13 aborts a process whose peer dies while they connect
            access_until_refused(region, 1);
        });
        CHECK_SOON(state->ready == 2 + round);
        std::this_thread::sleep_for(std::chrono::milliseconds(60));
        CHECK_KERN(KERN_SUCCESS, task_terminate(importer.port()));
        END_OF(importer.release());
        char byte = 0;
        CHECK_KERN(KERN_SUCCESS, norma_get(import(state->key), 0, &byte, 1));
    }
    state->turn = 1;
    JOIN(owner);
    return 0;
}

SYSTEM_CASE(node_killed) {
    const int last = norma::node_count() - 1;
    auto *state = shared<OwnerState>();
    auto owner = start_owner(last, state, kBytes, kBoth, [](OwnerState *s) {
        wait_for_turn(s, 1);
        ::kill(::getppid(), SIGKILL);
        ::pause();
    });
    const auto region = import(state->key);
    end_under_access(region, KERN_TERMINATED, [state] { state->turn = 1; });
    int status = 0;
    CHECK_KERN(KERN_NODE_DOWN, norma_task_wait(owner.release(), 5000, &status));
    norma_region_t again = 0;
    CHECK_KERN(KERN_NODE_DOWN, norma_region_import(&state->key, &again, nullptr, nullptr));
    return 0;
}

// Wiring and exports stay behind: the memory is moved like any other.
SYSTEM_CASE(owner_teleports) {
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kBytes, kBoth, [](OwnerState *s) {
        auto *words = reinterpret_cast<volatile std::uint64_t *>(s->address);
        words[0] = 11;
        wait_for_turn(s, 1);
        task_t self = mach_task_self();
        CHECK_KERN(KERN_SUCCESS, norma_task_teleport(self, TRUE, 0, &self));
        CHECK_EQ(0, norma_node());
        CHECK_EQ(11U, words[0]);
        words[0] = 12;
        norma_key_t key{};
        CHECK_KERN(KERN_INVALID_ADDRESS, norma_region_export(s->address, kBytes, kBoth, &key));
        CHECK_KERN(KERN_INVALID_CAPABILITY, norma_region_withdraw(&s->key));
        s->ready = 2;
        wait_for_turn(s, 2);
    });
    const auto region = import(state->key);
    state->turn = 1;
    CHECK_SOON(state->ready == 2);
    char byte = 0;
    CHECK_KERN(KERN_TERMINATED, norma_get(region, 0, &byte, 1));
    state->turn = 2;
    JOIN(owner);
    return 0;
}
