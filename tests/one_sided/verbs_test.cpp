// SPDX-License-Identifier: BSD-3-Clause
// Both sides of one-sided access over verbs in one process, on two pretended machines.
#include "runtime/client/one_sided_verbs_importer.hpp"
#include "runtime/client/one_sided_verbs_owner.hpp"
#include "tests/verbs/fake_provider.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <thread>

namespace norma::rt {
namespace {

using rpc::verbs::fake::Fabric;
using rpc::verbs::fake::FakeLimits;
using rpc::verbs::fake::FakeProvider;

constexpr vm_prot_t kBoth = VM_PROT_READ | VM_PROT_WRITE;
constexpr std::size_t kBytes = 1 << 20;
constexpr std::uint64_t kOwnerTask = 7;

class VerbsOneSided : public testing::TestWithParam<WaitMode> {
  protected:
    ~VerbsOneSided() override {
        owner.reset();
        importer.reset();
        EXPECT_EQ(fabric.live_queue_pairs(), 0U);
        EXPECT_EQ(owners_machine.registered() + importers_machine.registered(), 0U);
        for (const auto &complaint : fabric.complaints()) {
            ADD_FAILURE() << complaint;
        }
    }
    OneSidedOptions options() {
        return {.transport = "verbs",
                .wait = GetParam(),
                .spin = std::chrono::microseconds(50),
                .timeout = std::chrono::seconds(20),
                .task_lives = [this](std::uint64_t) { return owner_lives.load(); },
                .owner_thread = &owner_thread,
                .network_thread = &network_thread};
    }
    norma_key_t exported(vm_prot_t access = kBoth, std::size_t size = kBytes) {
        auto key = owner->expose(reinterpret_cast<std::uint64_t>(memory.data()), size, access);
        EXPECT_TRUE(owner->open(key));
        key.words[0] = kOwnerTask;
        return key;
    }
    kern_return_t import(const norma_key_t &key) {
        return importer->import(key, owner->address(), region, bytes, rights);
    }
    kern_return_t run(const Access &access) { return run(std::span(&access, 1)); }
    kern_return_t run(std::span<const Access> accesses) {
        norma_op_t op = 0;
        const auto status = importer->start(region, accesses, op);
        return status == KERN_SUCCESS ? importer->wait(op, std::chrono::milliseconds(-1)) : status;
    }
    kern_return_t get(std::uint64_t offset, std::span<std::byte> to) {
        return run({.kind = AccessKind::get, .offset = offset, .buffer = to.data(), .bytes = to.size()});
    }
    kern_return_t put(std::uint64_t offset, std::span<std::byte> from) {
        return run({.kind = AccessKind::put, .offset = offset, .buffer = from.data(), .bytes = from.size()});
    }
    kern_return_t fetch_add(std::uint64_t offset, std::uint64_t add, std::uint64_t &before) {
        return run({.kind = AccessKind::fetch_add, .offset = offset, .bytes = 8, .operand = {add}, .before = &before});
    }

    Fabric fabric;
    FakeProvider owners_machine{fabric}, importers_machine{fabric};
    std::atomic<pid_t> owner_thread{0}, network_thread{0};
    std::atomic<bool> owner_lives{true};
    std::vector<std::byte> memory{kBytes};
    std::unique_ptr<VerbsOwner> owner = std::make_unique<VerbsOwner>(options(), owners_machine);
    std::unique_ptr<VerbsImporter> importer = std::make_unique<VerbsImporter>(options(), importers_machine);
    norma_region_t region = 0;
    std::uint64_t bytes = 0;
    vm_prot_t rights = VM_PROT_NONE;
};

TEST_P(VerbsOneSided, BytesOfEverySizeGoBothWays) {
    ASSERT_EQ(import(exported()), KERN_SUCCESS);
    EXPECT_EQ(bytes, kBytes);
    EXPECT_EQ(rights, kBoth);
    for (const std::size_t size : {0UL, 1UL, 8UL, 4097UL, 256UL << 10, (256UL << 10) + 1, 1UL << 20}) {
        std::vector<std::byte> from(size, std::byte{0x5a}), to(size);
        EXPECT_EQ(put(kBytes - size, from), KERN_SUCCESS);
        EXPECT_TRUE(std::equal(from.begin(), from.end(), memory.end() - static_cast<std::ptrdiff_t>(size)));
        EXPECT_EQ(get(kBytes - size, to), KERN_SUCCESS);
        EXPECT_EQ(from, to);
    }
}

TEST_P(VerbsOneSided, MoreAccessesThanThereAreBuffersAreAllCarriedOut) {
    ASSERT_EQ(import(exported()), KERN_SUCCESS);
    std::vector<std::byte> from(1000);
    std::vector<Access> pieces;
    for (std::size_t i = 0; i < from.size(); ++i) {
        from[i] = static_cast<std::byte>(i);
        pieces.push_back({.kind = AccessKind::put, .offset = i * 3, .buffer = &from[i], .bytes = 1});
    }
    EXPECT_EQ(run(pieces), KERN_SUCCESS);
    for (std::size_t i = 0; i < from.size(); ++i) {
        ASSERT_EQ(memory[i * 3], from[i]);
    }
}

TEST_P(VerbsOneSided, AtomicsGiveWhatWasThere) {
    ASSERT_EQ(import(exported()), KERN_SUCCESS);
    std::uint64_t before = 99;
    EXPECT_EQ(fetch_add(16, 5, before), KERN_SUCCESS);
    EXPECT_EQ(before, 0U);
    EXPECT_EQ(run({.kind = AccessKind::compare_swap, .offset = 16, .bytes = 8, .operand = {5, 9}, .before = &before}),
              KERN_SUCCESS);
    EXPECT_EQ(before, 5U);
    EXPECT_EQ(fetch_add(16, 0, before), KERN_SUCCESS);
    EXPECT_EQ(before, 9U);
    EXPECT_EQ(fetch_add(20, 0, before), KERN_INVALID_ADDRESS);
}

TEST_P(VerbsOneSided, WhatIsNotAllowedIsRefusedAndTheConnectionStays) {
    ASSERT_EQ(import(exported(VM_PROT_READ, 4096)), KERN_SUCCESS);
    std::vector<std::byte> buffer(16);
    std::uint64_t before = 0;
    EXPECT_EQ(get(4090, buffer), KERN_INVALID_ADDRESS);
    EXPECT_EQ(get(~std::uint64_t{0}, buffer), KERN_INVALID_ADDRESS);
    EXPECT_EQ(put(0, buffer), KERN_PROTECTION_FAILURE);
    EXPECT_EQ(fetch_add(0, 1, before), KERN_PROTECTION_FAILURE);
    EXPECT_EQ(get(4080, buffer), KERN_SUCCESS);
    EXPECT_EQ(fabric.live_queue_pairs(), 2U);
}

TEST_P(VerbsOneSided, AWrongKeyIsRefused) {
    auto key = exported();
    for (const std::size_t word : {1UL, 2UL, 3UL}) {
        auto wrong = key;
        wrong.words[word] ^= 1;
        EXPECT_EQ(import(wrong), KERN_INVALID_CAPABILITY);
    }
    EXPECT_EQ(import(key), KERN_SUCCESS);
}

TEST_P(VerbsOneSided, AnExportThatEndsTakesItsConnectionsAndRegistrationAlong) {
    const auto key = exported();
    ASSERT_EQ(import(key), KERN_SUCCESS);
    std::vector<std::byte> buffer(8);
    ASSERT_EQ(get(0, buffer), KERN_SUCCESS);
    EXPECT_TRUE(owner->withdraw(key));
    EXPECT_FALSE(owner->withdraw(key));
    EXPECT_EQ(get(0, buffer), KERN_INVALID_CAPABILITY);
    EXPECT_EQ(import(key), KERN_INVALID_CAPABILITY);
    const auto next = exported();
    owner->revoke(reinterpret_cast<std::uint64_t>(memory.data()) + kBytes - 1, 1);
    EXPECT_FALSE(owner->open(next));
    EXPECT_EQ(import(next), KERN_INVALID_CAPABILITY);
}

// What is under way when its export ends has an end too.
TEST_P(VerbsOneSided, AnAccessUnderWayEndsWithItsExport) {
    const auto key = exported();
    ASSERT_EQ(import(key), KERN_SUCCESS);
    fabric.pause();
    std::vector<std::byte> buffer(8);
    const Access access{.kind = AccessKind::get, .buffer = buffer.data(), .bytes = buffer.size()};
    norma_op_t op = 0;
    ASSERT_EQ(importer->start(region, {&access, 1}, op), KERN_SUCCESS);
    EXPECT_TRUE(owner->withdraw(key));
    memory.assign(kBytes, std::byte{1}); // it is somebody else's now
    fabric.resume();
    EXPECT_EQ(importer->wait(op, std::chrono::milliseconds(-1)), KERN_INVALID_CAPABILITY);
    EXPECT_EQ(buffer, std::vector<std::byte>(8));
}

TEST_P(VerbsOneSided, AConnectionThatBreaksIsMadeAgain) {
    ASSERT_EQ(import(exported()), KERN_SUCCESS);
    std::vector<std::byte> buffer(8);
    for (int round = 0; round < 10; ++round) {
        importers_machine.fail_next_send(IBV_WC_REM_ACCESS_ERR);
        EXPECT_EQ(get(0, buffer), KERN_OPERATION_TIMED_OUT);
        EXPECT_EQ(get(0, buffer), KERN_SUCCESS);
    }
}

TEST_P(VerbsOneSided, ADeviceThatTakesNoRequestsIsGivenUp) {
    ASSERT_EQ(import(exported()), KERN_SUCCESS);
    importers_machine.refuse_posts();
    std::vector<std::byte> buffer(8);
    EXPECT_NE(get(0, buffer), KERN_SUCCESS);
}

TEST_P(VerbsOneSided, TheDeathOfTheOwnerEndsWhatIsUnderWay) {
    ASSERT_EQ(import(exported()), KERN_SUCCESS);
    std::vector<std::byte> buffer(8);
    owners_machine.die();
    EXPECT_EQ(get(0, buffer), KERN_TERMINATED);
    EXPECT_EQ(get(0, buffer), KERN_TERMINATED);
}

TEST_P(VerbsOneSided, TheNodeServersWordIsEnough) {
    ASSERT_EQ(import(exported()), KERN_SUCCESS);
    fabric.pause(); // nothing is heard any more
    owner_lives = false;
    std::vector<std::byte> buffer(8);
    EXPECT_EQ(get(0, buffer), KERN_TERMINATED);
    fabric.resume();
}

TEST_P(VerbsOneSided, ReleasedRegionsLeaveNothingBehind) {
    const auto key = exported();
    for (int round = 0; round < 20; ++round) {
        ASSERT_EQ(import(key), KERN_SUCCESS);
        ASSERT_EQ(importer->release(region), KERN_SUCCESS);
        EXPECT_EQ(importer->release(region), KERN_INVALID_VALUE);
    }
    ASSERT_EQ(import(key), KERN_SUCCESS);
    std::vector<std::byte> buffer(8);
    EXPECT_EQ(get(0, buffer), KERN_SUCCESS);
    EXPECT_LE(fabric.live_queue_pairs(), 4U);
}

TEST_P(VerbsOneSided, MemoryThatCannotBeRegisteredIsNotExported) {
    FakeLimits little;
    little.lockable = 4096;
    FakeProvider poor(fabric, little);
    std::atomic<pid_t> thread{0};
    auto with = options();
    with.owner_thread = &thread;
    VerbsOwner other(with, poor);
    const auto key = other.expose(reinterpret_cast<std::uint64_t>(memory.data()), kBytes, kBoth);
    EXPECT_THROW(other.open(key), std::runtime_error);
    EXPECT_FALSE(other.withdraw(key));
}

INSTANTIATE_TEST_SUITE_P(, VerbsOneSided, testing::Values(WaitMode::spin, WaitMode::block),
                         [](const auto &param) { return param.param == WaitMode::spin ? "spin" : "block"; });

} // namespace
} // namespace norma::rt
