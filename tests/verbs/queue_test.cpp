// SPDX-License-Identifier: BSD-3-Clause
// The one-sided primitives of a queue pair: read, write, atomics; and what happens when the other side refuses.
#include "fake_provider.hpp"
#include "rpc/verbs/engine.hpp"

#include <array>
#include <cstring>
#include <optional>

#include <gtest/gtest.h>

namespace norma::rpc::verbs::fake {
namespace {

// One end of a connection, with 4 KiB of memory that the other may use.
struct End {
    explicit End(Fabric &fabric) : provider(fabric), engine(provider, {}) {}
    void take_events() {
        engine.take_ready();
        CmEvent event;
        while (engine.next_connection_event(event)) {
            if (event.type == RDMA_CM_EVENT_CONNECT_REQUEST) {
                id = IdPtr(event.id, {&provider});
                make_queue();
                rdma_conn_param param{};
                provider.accept(id.get(), &param);
            } else if (event.type == RDMA_CM_EVENT_ADDR_RESOLVED) {
                make_queue();
                rdma_conn_param param{};
                const std::array<std::byte, 1> data{};
                param.private_data = data.data();
                param.private_data_len = data.size();
                provider.connect(id.get(), &param);
            }
        }
    }
    void make_queue() {
        queue = engine.new_queue(id.get(), 1);
        pd.reset(provider.alloc_pd(id->verbs));
        memory = provider.reg_mr(pd.get(), bytes.data(), bytes.size(),
                                 IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE |
                                     IBV_ACCESS_REMOTE_ATOMIC);
    }
    ~End() {
        queue.reset();
        if (memory != nullptr) {
            provider.dereg_mr(memory);
        }
    }
    End(const End &) = delete;
    End &operator=(const End &) = delete;
    LocalPlace local(std::size_t offset, std::uint32_t size) {
        return {.data = bytes.data() + offset, .bytes = size, .key = memory->lkey};
    }
    RemotePlace remote(std::size_t offset) const {
        return {.address = reinterpret_cast<std::uintptr_t>(bytes.data()) + offset, .key = memory->rkey};
    }
    void complete_all() {
        std::array<ibv_wc, 16> batch{};
        for (int count = engine.poll_sends(batch); count > 0; count = engine.poll_sends(batch)) {
            for (const auto &completion : std::span(batch).first(static_cast<std::size_t>(count))) {
                queue->complete(completion);
            }
        }
    }
    FakeProvider provider;
    Engine engine;
    alignas(8) std::array<std::byte, 4096> bytes{};
    std::unique_ptr<ibv_pd> pd;
    ibv_mr *memory = nullptr;
    IdPtr id{nullptr, {&provider}};
    std::unique_ptr<Queue> queue;
};

class VerbsQueue : public testing::Test {
  protected:
    VerbsQueue() {
        a.id = a.engine.new_id(nullptr);
        auto address = b.engine.listening_at();
        a.provider.resolve_addr(a.id.get(), nullptr, reinterpret_cast<sockaddr *>(&address), 0);
        for (int i = 0; i < 4; ++i) {
            a.take_events();
            b.take_events();
        }
    }
    Keep keep() {
        return {.slot = nullptr, .staging = nullptr, .done = [this](bool ok) { outcomes.push_back(ok); }};
    }
    Fabric fabric;
    End a{fabric}, b{fabric};
    std::vector<bool> outcomes;
};

TEST_F(VerbsQueue, ReadsAndWritesMoveBytes) {
    b.bytes[100] = std::byte{42};
    a.bytes[7] = std::byte{43};
    ASSERT_TRUE(a.queue->read(a.local(0, 1), b.remote(100), keep()));
    ASSERT_TRUE(a.queue->write(a.local(7, 1), b.remote(200), keep()));
    EXPECT_TRUE(a.queue->waits());
    a.complete_all();
    EXPECT_EQ(outcomes, (std::vector{true, true}));
    EXPECT_EQ(a.bytes[0], std::byte{42});
    EXPECT_EQ(b.bytes[200], std::byte{43});
    EXPECT_FALSE(a.queue->waits());
    EXPECT_TRUE(a.queue->idle());
}

TEST_F(VerbsQueue, AtomicsGiveTheOldValue) {
    const auto value = [](End &end, std::size_t offset) {
        std::uint64_t number = 0;
        std::memcpy(&number, end.bytes.data() + offset, sizeof number);
        return number;
    };
    ASSERT_TRUE(a.queue->fetch_add(a.local(0, 8), b.remote(64), 5, keep()));
    ASSERT_TRUE(a.queue->fetch_add(a.local(8, 8), b.remote(64), 6, keep()));
    ASSERT_TRUE(a.queue->compare_swap(a.local(16, 8), b.remote(64), 11, 100, keep()));
    ASSERT_TRUE(a.queue->compare_swap(a.local(24, 8), b.remote(64), 11, 200, keep()));
    a.complete_all();
    EXPECT_EQ(outcomes, (std::vector{true, true, true, true}));
    EXPECT_EQ(value(a, 0), 0u);
    EXPECT_EQ(value(a, 8), 5u);
    EXPECT_EQ(value(a, 16), 11u);
    EXPECT_EQ(value(a, 24), 100u) << "the second swap finds another value";
    EXPECT_EQ(value(b, 64), 100u);
}

TEST_F(VerbsQueue, AWrongKeyIsRefusedAndSoIsWhatFollows) {
    auto wrong = b.remote(0);
    wrong.key += 1000;
    ASSERT_TRUE(a.queue->write(a.local(0, 8), wrong, keep()));
    ASSERT_TRUE(a.queue->write(a.local(0, 8), b.remote(0), keep()));
    a.complete_all();
    EXPECT_EQ(outcomes, (std::vector{false, false})) << "the connection is broken after a refusal";
}

TEST_F(VerbsQueue, OutOfBoundsIsRefused) {
    a.bytes[0] = std::byte{9};
    ASSERT_TRUE(a.queue->write(a.local(0, 64), b.remote(4096 - 63), keep()));
    a.complete_all();
    EXPECT_EQ(outcomes, std::vector{false});
    EXPECT_EQ(b.bytes[4096 - 63], std::byte{0}) << "nothing of it has been written";
}

TEST_F(VerbsQueue, NothingLandsAfterTheOtherSideHasRevoked) {
    fabric.pause();
    a.bytes[0] = std::byte{9};
    ASSERT_TRUE(a.queue->write(a.local(0, 1), b.remote(0), keep()));
    b.queue->revoke();
    fabric.resume();
    a.complete_all();
    EXPECT_EQ(outcomes, std::vector{false});
    EXPECT_EQ(b.bytes[0], std::byte{0});
}

TEST_F(VerbsQueue, WhatIsUnderWayAtTheEndFailsOnce) {
    fabric.pause();
    ASSERT_TRUE(a.queue->read(a.local(0, 8), b.remote(0), keep()));
    a.queue.reset();
    EXPECT_EQ(outcomes, std::vector{false});
    fabric.resume();
    EXPECT_EQ(outcomes.size(), 1u);
}

TEST_F(VerbsQueue, SmallSendsAskForFewCompletions) {
    const auto credits = b.engine.grant();
    const std::array<std::byte, 8> frame{};
    for (unsigned i = 0; i < credits; ++i) {
        ASSERT_NE(a.queue->room(), 0u);
        ASSERT_TRUE(a.queue->send_inline(frame));
    }
    std::array<ibv_wc, 64> batch{};
    const auto count = a.engine.poll_sends(batch);
    EXPECT_EQ(count, 4) << "one for each quarter of the queue";
    for (const auto &completion : std::span(batch).first(4)) {
        a.queue->complete(completion);
    }
    EXPECT_TRUE(a.queue->idle());
}

} // namespace
} // namespace norma::rpc::verbs::fake
