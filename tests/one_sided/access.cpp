// SPDX-License-Identifier: BSD-3-Clause
// What accesses do when all is well.
#include "tests/one_sided/owner.hpp"

#include <cstring>
#include <vector>

namespace {

using systest::import;
using systest::kBoth;
using systest::number;
using systest::OwnerState;
using systest::shared;
using systest::start_owner;
using systest::wait_for_turn;

std::byte pattern(std::size_t at, unsigned seed) {
    return static_cast<std::byte>((at * 2654435761U + seed * 97U) >> 5);
}

void fill(std::byte *bytes, std::size_t count, std::size_t from, unsigned seed) {
    for (std::size_t i = 0; i < count; ++i) {
        bytes[i] = pattern(from + i, seed);
    }
}

bool holds(const std::byte *bytes, std::size_t count, std::size_t from, unsigned seed) {
    for (std::size_t i = 0; i < count; ++i) {
        if (bytes[i] != pattern(from + i, seed)) {
            return false;
        }
    }
    return true;
}

constexpr std::size_t kRegion = 6 * 1024 * 1024;

} // namespace

// Of every size (up to the first argument), at odd places; nothing beside what was asked for is touched, here or there.
SYSTEM_CASE(values) {
    const auto largest = static_cast<std::size_t>(number(args, 0, kRegion));
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kRegion, kBoth, [](OwnerState *s) {
        auto *bytes = reinterpret_cast<std::byte *>(s->address);
        fill(bytes, kRegion, 0, 1);
        s->ready = 2;
        wait_for_turn(s, 1);
        CHECK(holds(bytes, kRegion, 0, 2));
    });
    CHECK_SOON(state->ready == 2);
    norma_region_t region = 0;
    vm_size_t size = 0;
    vm_prot_t access = 0;
    CHECK_KERN(KERN_SUCCESS, norma_region_import(&state->key, &region, &size, &access));
    CHECK_EQ(kRegion, size);
    CHECK_EQ(kBoth, access);
    constexpr std::size_t kGuard = 64;
    for (const std::size_t bytes :
         {0, 1, 7, 8, 9, 4096, 7999, 8000, 8001, 65535, 65536, 65537, 1 << 20, (4 << 20) + 3}) {
        if (bytes > largest) {
            continue;
        }
        for (const std::size_t offset : {0, 1, 8, 4093}) {
            std::vector<std::byte> here(bytes + 2 * kGuard, std::byte{0xee});
            CHECK_KERN(KERN_SUCCESS, norma_get(region, offset, here.data() + kGuard, bytes));
            CHECK(holds(here.data() + kGuard, bytes, offset, 1));
            for (std::size_t i = 0; i < kGuard; ++i) {
                CHECK(here[i] == std::byte{0xee} && here[kGuard + bytes + i] == std::byte{0xee});
            }
            fill(here.data() + kGuard, bytes, offset, 2);
            CHECK_KERN(KERN_SUCCESS, norma_put(region, offset, here.data() + kGuard, bytes));
            std::vector<std::byte> back(bytes + 2 * kGuard);
            const auto before = offset < kGuard ? offset : kGuard;
            CHECK_KERN(KERN_SUCCESS, norma_get(region, offset - before, back.data(), bytes + before + kGuard));
            CHECK(holds(back.data(), before, offset - before, 1));
            CHECK(holds(back.data() + before, bytes, offset, 2));
            CHECK(holds(back.data() + before + bytes, kGuard, offset + bytes, 1));
            fill(here.data() + kGuard, bytes, offset, 1);
            CHECK_KERN(KERN_SUCCESS, norma_put(region, offset, here.data() + kGuard, bytes));
        }
    }
    std::vector<std::byte> all(kRegion);
    fill(all.data(), kRegion, 0, 2);
    CHECK_KERN(KERN_SUCCESS, norma_put(region, 0, all.data(), kRegion));
    state->turn = 1;
    JOIN(owner);
    return 0;
}

// Buffers in coherent memory, some of which is not here.
SYSTEM_CASE(coherent_buffers) {
    constexpr std::size_t kBytes = 64 * 4096;
    auto *buffer = systest::shared_bytes(kBytes);
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kBytes, kBoth, [buffer](OwnerState *s) {
        fill(reinterpret_cast<std::byte *>(s->address), kBytes, 0, 1);
        fill(buffer, kBytes, 0, 3); // so it is on this node
        s->ready = 2;
        wait_for_turn(s, 1);
        CHECK(holds(reinterpret_cast<std::byte *>(s->address), kBytes, 0, 3));
        CHECK(holds(buffer, kBytes, 0, 3));
        s->ready = 3;
        wait_for_turn(s, 2);
        CHECK(holds(buffer, kBytes, 0, 3));
    });
    CHECK_SOON(state->ready == 2);
    const auto region = import(state->key);
    CHECK_KERN(KERN_SUCCESS, norma_put(region, 0, buffer, kBytes));
    state->turn = 1;
    CHECK_SOON(state->ready == 3); // the pages went back for reading
    std::memset(buffer, 0, kBytes);
    CHECK_KERN(KERN_SUCCESS, norma_get(region, 0, buffer, kBytes));
    state->turn = 2;
    JOIN(owner);
    return 0;
}

SYSTEM_CASE(vectored) {
    constexpr std::size_t kBytes = 1 << 20, kPieces = 300;
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kBytes, kBoth, [](OwnerState *s) { wait_for_turn(s, 1); });
    const auto region = import(state->key);
    std::vector<std::byte> here(kBytes), back(kBytes);
    fill(here.data(), kBytes, 0, 5);
    std::vector<norma_piece_t> out, in;
    for (std::size_t i = 0; i < kPieces; ++i) {
        const auto at = i * (kBytes / kPieces);
        const auto bytes = i * 11 % (kBytes / kPieces);
        out.push_back({at, here.data() + at, bytes});
        in.push_back({at, back.data() + at, bytes});
    }
    CHECK_KERN(KERN_SUCCESS, norma_putv(region, out.data(), kPieces));
    CHECK_KERN(KERN_SUCCESS, norma_getv(region, in.data(), kPieces));
    for (const auto &piece : in) {
        CHECK(holds(static_cast<std::byte *>(piece.buffer), piece.bytes, piece.offset, 5));
    }
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_getv(region, in.data(), 0));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_getv(region, in.data(), 4097));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_putv(region, nullptr, 1));
    // One piece that is refused: the access says so, and is over.
    out.back().offset = kBytes;
    out.back().bytes = 1;
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_putv(region, out.data(), kPieces));
    state->turn = 1;
    JOIN(owner);
    return 0;
}

SYSTEM_CASE(started) {
    constexpr std::size_t kBytes = 1 << 20, kOps = 100;
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kBytes, kBoth, [](OwnerState *s) { wait_for_turn(s, 1); });
    const auto region = import(state->key);
    std::vector<std::byte> here(kBytes), back(kBytes);
    fill(here.data(), kBytes, 0, 6);
    std::vector<norma_op_t> ops(kOps);
    constexpr auto kPart = kBytes / kOps;
    for (std::size_t i = 0; i < kOps; ++i) {
        const norma_piece_t piece{i * kPart, here.data() + i * kPart, kPart};
        CHECK_KERN(KERN_SUCCESS, norma_put_start(region, &piece, 1, &ops[i]));
    }
    CHECK_KERN(KERN_SUCCESS, norma_fence(region));
    for (const auto op : ops) {
        boolean_t done = FALSE;
        CHECK_KERN(KERN_SUCCESS, norma_op_test(op, &done));
        CHECK(done);
        CHECK_KERN(KERN_INVALID_VALUE, norma_op_wait(op, 0)); // it is over
    }
    for (std::size_t i = 0; i < kOps; ++i) {
        const norma_piece_t piece{i * kPart, back.data() + i * kPart, kPart};
        CHECK_KERN(KERN_SUCCESS, norma_get_start(region, &piece, 1, &ops[i]));
    }
    for (std::size_t i = kOps; i > 0; --i) {
        CHECK_KERN(KERN_SUCCESS, norma_op_wait(ops[i - 1], -1));
    }
    CHECK(holds(back.data(), kOps * kPart, 0, 6));
    std::uint64_t before = 0, one = 1;
    CHECK_KERN(KERN_SUCCESS, norma_put(region, 0, &one, sizeof one));
    norma_op_t op = 0;
    CHECK_KERN(KERN_SUCCESS, norma_fetch_add_start(region, 0, 41, &before, &op));
    CHECK_KERN(KERN_SUCCESS, norma_op_wait(op, 10'000));
    CHECK_EQ(1U, before);
    CHECK_KERN(KERN_SUCCESS, norma_compare_swap_start(region, 0, 42, 7, &before, &op));
    boolean_t done = FALSE;
    CHECK_SOON(norma_op_test(op, &done) == KERN_SUCCESS && done);
    CHECK_EQ(42U, before);
    CHECK_KERN(KERN_SUCCESS, norma_get(region, 0, &one, sizeof one));
    CHECK_EQ(7U, one);
    state->turn = 1;
    JOIN(owner);
    return 0;
}

// Every node, two threads each, and the owner's own processor.
SYSTEM_CASE(atomics) {
    const auto rounds = static_cast<std::uint64_t>(number(args, 0, 500));
    auto *state = shared<OwnerState>();
    auto owner = start_owner(norma::node_count() - 1, state, 4096, kBoth, [rounds](OwnerState *s) {
        auto *words = reinterpret_cast<std::uint64_t *>(s->address);
        for (std::uint64_t i = 0; i < rounds; ++i) {
            __atomic_fetch_add(&words[0], 1, __ATOMIC_SEQ_CST);
        }
        wait_for_turn(s, 1);
        const auto importers = static_cast<std::uint64_t>(norma::node_count()) * 2;
        CHECK_EQ(rounds * (importers + 1), words[0]);
        CHECK_EQ(rounds * importers, words[1]);
    });
    const auto work = [state, rounds] {
        const auto region = import(state->key);
        std::uint64_t last = 0;
        for (std::uint64_t i = 0; i < rounds; ++i) {
            std::uint64_t before = 0;
            CHECK_KERN(KERN_SUCCESS, norma_fetch_add(region, 0, 1, &before));
            CHECK(i == 0 || before > last);
            last = before;
            std::uint64_t seen = 0;
            CHECK_KERN(KERN_SUCCESS, norma_get(region, 8, &seen, sizeof seen));
            for (;;) {
                CHECK_KERN(KERN_SUCCESS, norma_compare_swap(region, 8, seen, seen + 1, &before));
                if (before == seen) {
                    break;
                }
                seen = before;
            }
        }
        CHECK_KERN(KERN_SUCCESS, norma_region_release(region));
    };
    std::vector<norma::task> tasks;
    for (int node = 0; node < norma::node_count(); ++node) {
        tasks.push_back(systest::spawn(node, [work] {
            std::thread other(work);
            work();
            other.join();
        }));
    }
    for (auto &task : tasks) {
        JOIN(task);
    }
    state->turn = 1;
    JOIN(owner);
    return 0;
}

// The C++ types: they end what they made, and say what went wrong where.
SYSTEM_CASE(types) {
    struct Table {
        norma_key_t key;
        std::atomic<int> turn;
    };
    auto *table = shared<Table>();
    table->turn = 0;
    auto owner = systest::spawn(1, [table] {
        norma::region memory(4096);
        norma::exported_region exported(memory.view(), kBoth);
        CHECK(exported.range().data() == memory.data());
        norma::exported_region moved(std::move(exported));
        table->key = moved.key();
        table->turn = 1;
        CHECK_SOON(table->turn == 2);
        moved = {}; // the export ends
        table->turn = 3;
        CHECK_SOON(table->turn == 4);
        std::error_code error;
        const norma::exported_region beyond(norma::region_view(memory.data(), 1 << 30), kBoth, error);
        CHECK(error == norma::errc::invalid_address);
    });
    CHECK_SOON(table->turn == 1);
    norma::imported_region from(table->key);
    const norma::imported_region region(std::move(from));
    CHECK_EQ(0U, from.handle()); // NOLINT(bugprone-use-after-move): it says what it is then
    CHECK_EQ(4096U, region.size());
    CHECK_EQ(kBoth, region.access());
    std::vector<std::byte> bytes(8, std::byte{1}), back(8);
    region.put(64, bytes);
    region.get(64, back);
    CHECK(back == bytes);
    CHECK_EQ(0U, region.fetch_add(0, 5));
    CHECK_EQ(5U, region.compare_swap(0, 5, 6));
    CHECK_EQ(6U, region.compare_swap(0, 5, 7));
    std::error_code error;
    region.get(4090, back, error);
    CHECK(error == norma::errc::invalid_address);
    try {
        region.get(4090, back);
        CHECK(false);
    } catch (const std::system_error &refused) {
        CHECK(std::string(refused.what()).find("get of 8 bytes at 4090") != std::string::npos);
    }
    table->turn = 2;
    CHECK_SOON(table->turn == 3);
    region.get(0, back, error);
    CHECK(error == norma::errc::invalid_capability);
    table->turn = 4;
    JOIN(owner);
    return 0;
}

// Threads of one task, each with an area of its own, some of whom wait and some of whom only look.
SYSTEM_CASE(threads) {
    constexpr std::size_t kThreads = 4, kArea = 256 * 1024;
    const auto rounds = static_cast<unsigned>(number(args, 0, 60));
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kThreads * kArea, kBoth, [](OwnerState *s) { wait_for_turn(s, 1); });
    const auto region = import(state->key);
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([thread, region, rounds] {
            std::vector<std::byte> bytes(kArea);
            for (unsigned round = 0; round < rounds; ++round) {
                const auto size = (round * 7919 + thread * 104729) % kArea;
                fill(bytes.data(), size, 0, round);
                CHECK_KERN(KERN_SUCCESS, norma_put(region, thread * kArea, bytes.data(), size));
                std::memset(bytes.data(), 0, size);
                const norma_piece_t piece{thread * kArea, bytes.data(), size};
                norma_op_t op = 0;
                CHECK_KERN(KERN_SUCCESS, norma_get_start(region, &piece, 1, &op));
                for (boolean_t done = FALSE; thread % 2 == 1 && !done;) {
                    CHECK_KERN(KERN_SUCCESS, norma_op_test(op, &done));
                    if (!done) {
                        std::this_thread::yield();
                    }
                }
                if (thread % 2 == 0) {
                    CHECK_KERN(KERN_SUCCESS, norma_op_wait(op, -1));
                }
                CHECK(holds(bytes.data(), size, 0, round));
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    state->turn = 1;
    JOIN(owner);
    return 0;
}
