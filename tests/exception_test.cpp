// SPDX-License-Identifier: BSD-3-Clause
// Exceptions as messages, and the replies, which come from tasks and nodes that say what they like.
#include "runtime/exception.hpp"

#include <norma/mach.h>

#include <gtest/gtest.h>

#include <cstring>

namespace norma::rt {
namespace {

constexpr std::size_t kHead = sizeof(mach_msg_header_t);

Right port() {
    return {.kind = Right::Kind::port, .task = 1, .thread = 0, .key = {1, 2}};
}

HeldRight told_as(std::uint32_t behavior, std::uint32_t flavor = x86_THREAD_STATE64) {
    return {.right = port(), .behavior = behavior, .flavor = flavor};
}

Exception exception() {
    return {.type = EXC_BAD_ACCESS,
            .code = {KERN_INVALID_ADDRESS, 0x1234},
            .general = std::vector<std::byte>(sizeof(x86_thread_state64_t), std::byte{1}),
            .floats = std::vector<std::byte>(sizeof(x86_float_state64_t), std::byte{2})};
}

// The message as <norma/mach_exception.h> has it, behind its header.
template <class Layout> Layout laid_out(const Message &message) {
    Layout layout{};
    EXPECT_LE(kHead + message.body.size(), sizeof layout);
    std::memcpy(reinterpret_cast<std::byte *>(&layout) + kHead, message.body.data(), message.body.size());
    return layout;
}

TEST(Exceptions, MessagesAreLaidOutAsTheHeaderSays) {
    const Right thread{.kind = Right::Kind::thread, .task = 1, .thread = 3, .key = {}};
    const Right task{.kind = Right::Kind::task, .task = 1, .thread = 0, .key = {}};
    const auto plain = exception_message(exception(), told_as(EXCEPTION_DEFAULT), thread, task);
    EXPECT_EQ(plain.id, MACH_EXCEPTION_RAISE_ID);
    EXPECT_EQ(plain.rights, (std::vector<Carried>{{.right = thread}, {.right = task}}));
    EXPECT_EQ(kHead + plain.body.size(), offsetof(norma_exception_raise_t, trailer));
    const auto told = laid_out<norma_exception_raise_t>(plain);
    EXPECT_EQ(told.msgh_body.msgh_descriptor_count, 2U);
    EXPECT_EQ(int{told.exception}, EXC_BAD_ACCESS);
    EXPECT_EQ(std::int64_t{told.code[1]}, 0x1234);

    const auto floats = exception_message(exception(), told_as(EXCEPTION_STATE, x86_FLOAT_STATE64), thread, task);
    EXPECT_EQ(floats.id, MACH_EXCEPTION_RAISE_STATE_ID);
    EXPECT_FALSE(floats.complex);
    EXPECT_TRUE(floats.rights.empty());
    const auto state = laid_out<norma_exception_raise_state_t>(floats);
    EXPECT_EQ(int{state.flavor}, x86_FLOAT_STATE64);
    EXPECT_EQ(unsigned{state.old_stateCnt}, x86_FLOAT_STATE64_COUNT);
    EXPECT_EQ(unsigned{state.old_state[0]}, 0x02020202U);

    const auto both = exception_message(exception(), told_as(EXCEPTION_STATE_IDENTITY), thread, task);
    EXPECT_EQ(both.id, MACH_EXCEPTION_RAISE_STATE_IDENTITY_ID);
    EXPECT_EQ(unsigned{laid_out<norma_exception_raise_state_identity_t>(both).old_stateCnt}, x86_THREAD_STATE64_COUNT);
    EXPECT_TRUE(decode_message(encode(both)));
}

Message reply_of(std::int32_t id, const norma_exception_reply_state_t &layout, std::size_t bytes) {
    Message reply;
    reply.id = id + MACH_EXCEPTION_REPLY_OFFSET;
    const auto raw = std::as_bytes(std::span(&layout, 1));
    reply.body.assign(raw.begin() + kHead, raw.begin() + static_cast<std::ptrdiff_t>(bytes));
    return reply;
}

TEST(Exceptions, RepliesAreJudged) {
    const auto held = told_as(EXCEPTION_STATE);
    x86_thread_state64_t state{};
    state.rip = 0x400000;
    norma_exception_reply_state_t layout{};
    layout.flavor = x86_THREAD_STATE64;
    layout.new_stateCnt = x86_THREAD_STATE64_COUNT;
    std::memcpy(layout.new_state, &state, sizeof state);
    constexpr auto kWhole = offsetof(norma_exception_reply_state_t, new_state) + sizeof state;
    const auto good = reply_of(MACH_EXCEPTION_RAISE_STATE_ID, layout, kWhole);
    const auto told = read_exception_reply(good, held);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->flavor, std::uint32_t{x86_THREAD_STATE64});
    EXPECT_EQ(std::memcmp(told->state.data(), &state, sizeof state), 0);

    const auto unchanged =
        read_exception_reply(reply_of(MACH_EXCEPTION_RAISE_STATE_ID, layout, sizeof(norma_exception_reply_t)), held);
    ASSERT_TRUE(unchanged);
    EXPECT_EQ(unchanged->flavor, 0U);

    for (std::size_t bytes = kHead; bytes < kWhole; ++bytes) {
        EXPECT_EQ(read_exception_reply(reply_of(MACH_EXCEPTION_RAISE_STATE_ID, layout, bytes), held).has_value(),
                  bytes == sizeof(norma_exception_reply_t));
    }
    EXPECT_FALSE(read_exception_reply(reply_of(MACH_EXCEPTION_RAISE_STATE_ID, layout, kWhole + 4), held));
    EXPECT_FALSE(read_exception_reply(reply_of(MACH_EXCEPTION_RAISE_ID, layout, kWhole), held));
    EXPECT_FALSE(read_exception_reply(good, told_as(EXCEPTION_STATE, x86_FLOAT_STATE64)));
    EXPECT_FALSE(read_exception_reply(good, told_as(EXCEPTION_DEFAULT)));
    auto wrong = good;
    wrong.complex = true;
    EXPECT_FALSE(read_exception_reply(wrong, held));
    layout.RetCode = KERN_FAILURE;
    EXPECT_FALSE(read_exception_reply(reply_of(MACH_EXCEPTION_RAISE_STATE_ID, layout, kWhole), held));
    layout.RetCode = KERN_SUCCESS;
    state.rip = std::uint64_t{1} << 47;
    std::memcpy(layout.new_state, &state, sizeof state);
    EXPECT_FALSE(read_exception_reply(reply_of(MACH_EXCEPTION_RAISE_STATE_ID, layout, kWhole), held));
}

TEST(Exceptions, WhatCanBeAPort) {
    EXPECT_TRUE(is_exception_port(told_as(EXCEPTION_DEFAULT, 0)));
    EXPECT_TRUE(is_exception_port(told_as(EXCEPTION_STATE_IDENTITY | MACH_EXCEPTION_CODES)));
    EXPECT_FALSE(is_exception_port(told_as(0)));
    EXPECT_FALSE(is_exception_port(told_as(4)));
    EXPECT_FALSE(is_exception_port(told_as(EXCEPTION_STATE, NORMA_THREAD_ENTRY)));
    EXPECT_FALSE(is_exception_port({.right = {.kind = Right::Kind::task}, .behavior = EXCEPTION_DEFAULT, .flavor = 0}));
    EXPECT_TRUE(is_exception_mask(EXC_MASK_ALL));
    EXPECT_FALSE(is_exception_mask(1));
    EXPECT_FALSE(is_exception_mask(std::uint64_t{1} << 32 | EXC_MASK_ALL));
}

} // namespace
} // namespace norma::rt
