// SPDX-License-Identifier: BSD-3-Clause
// The name space of a task that moves, as one node tells it another, and what is refused of it.
#include "runtime/moved_names.hpp"

#include <gtest/gtest.h>

namespace norma::rt {
namespace {

constexpr std::uint32_t kFirst = 16;

Right port(std::uint64_t number) {
    return {.kind = Right::Kind::port, .task = TaskId{1} << 48, .thread = 0, .key = {.high = number, .low = 1}};
}

NameSpace::Entry sends(std::uint64_t number) {
    return {.right = port(number), .sends = 2};
}

std::optional<MovedNames> sent(const NameSpace::Entry &entry) {
    return decode_moved_names(encode(MovedNames{.next = 20, .names = {{17, entry}}, .slots = {}}));
}

TEST(MovedNames, AreAsTheyWere) {
    NameSpace names(kFirst, {{1, {.kind = Right::Kind::task, .task = 9, .thread = 0}}});
    for (std::uint64_t i = 0; i < 900; ++i) {
        bool took = false;
        names.add_as(static_cast<std::uint32_t>(1000 + i), {.right = port(i)}, took);
    }
    names.add({.right = port(5), .receive = {.high = 5, .low = 2}});
    Letting none;
    names.ask_for_death(1005, port(7), none);
    std::uint32_t dead = 0;
    names.allocate_dead(dead);
    const HeldRight held{.right = port(8), .behavior = EXCEPTION_DEFAULT, .flavor = 0};
    names.set_slot(exception_slot(3, EXC_ARITHMETIC), held, none);
    names.set_slot(kSlotBootstrap, {.right = port(9)}, none); // goes another way

    NameSpace there(kFirst, {{1, {.kind = Right::Kind::task, .task = 10, .thread = 0}}});
    const auto records = encode_moved(names);
    EXPECT_EQ(records.size(), 3u);
    for (const auto &record : records) {
        EXPECT_LT(record.size(), 60'000u);
        const auto moved = decode_moved_names(record);
        ASSERT_TRUE(moved);
        there.set_next_name(moved->next);
        for (const auto &[name, entry] : moved->names) {
            EXPECT_TRUE(there.adopt(name, entry));
            EXPECT_FALSE(there.adopt(name, entry));
            EXPECT_EQ(there.name_of(entry.right), entry.dead > 0 ? 0u : name);
        }
        for (const auto &[slot, right] : moved->slots) {
            there.set_slot(slot, right, none);
        }
    }
    EXPECT_EQ(encode_moved(there), records);
    EXPECT_EQ(there.types(1005), MACH_PORT_TYPE_SEND_RECEIVE | MACH_PORT_TYPE_DNREQUEST);
    EXPECT_EQ(there.slot(exception_slot(3, EXC_ARITHMETIC)), held);
    EXPECT_EQ(there.add({.right = port(5000)}).name, names.add({.right = port(5000)}).name);

    const auto receivers = names.surrender();
    ASSERT_EQ(receivers.size(), 1u);
    EXPECT_EQ(receivers[0].receive, (Key{.high = 5, .low = 2}));
    EXPECT_EQ(names.types(1005), MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_DNREQUEST);
}

TEST(MovedNames, WhatNoTaskCanHave) {
    EXPECT_TRUE(sent(sends(1)));
    EXPECT_TRUE(sent({.right = port(1), .receive = {.high = 1, .low = 1}}));
    EXPECT_TRUE(sent({.right = {.kind = Right::Kind::dead}, .dead = 3}));
    EXPECT_TRUE(sent({.right = {.kind = Right::Kind::task, .task = 4}, .sends = 1}));
    EXPECT_FALSE(sent({.right = port(1)})); // a name for nothing
    EXPECT_FALSE(sent({.right = {.kind = Right::Kind::none}, .sends = 1}));
    EXPECT_FALSE(sent({.right = port(1), .sends = 1, .dead = 1}));
    EXPECT_FALSE(sent({.right = {.kind = Right::Kind::dead}, .sends = 1, .dead = 1}));
    EXPECT_FALSE(sent({.right = port(1), .sends = MACH_PORT_UREFS_MAX + 1U}));
    EXPECT_FALSE(sent({.right = {.kind = Right::Kind::task}, .receive = {.high = 1, .low = 1}, .sends = 1}));
    EXPECT_FALSE(sent({.right = port(1), .sends = 1, .notify = {.kind = Right::Kind::task}}));
    EXPECT_FALSE(sent({.right = {.kind = Right::Kind::task}, .sends = 1, .notify = port(1)}));
    EXPECT_FALSE(sent({.right = {.kind = Right::Kind::port, .task = ~TaskId{0}}, .sends = 1})); // at no node

    const HeldRight held{.right = port(8), .behavior = EXCEPTION_DEFAULT, .flavor = 0};
    const auto slot = [](std::uint64_t place, const HeldRight &right) {
        return decode_moved_names(encode(MovedNames{.next = 20, .names = {}, .slots = {{place, right}}}));
    };
    EXPECT_TRUE(slot(exception_slot(2, EXC_BAD_ACCESS), held));
    EXPECT_FALSE(slot(exception_slot(0, EXC_BAD_ACCESS), held)); // the task's
    EXPECT_FALSE(slot(kSlotsOfThread + kSlotBootstrap, held));
    EXPECT_FALSE(slot(exception_slot(2, EXC_BAD_ACCESS), {.right = port(8)}));
    auto record = encode(MovedNames{.next = 20, .names = {{17, sends(1)}}, .slots = {}});
    record.pop_back();
    EXPECT_FALSE(decode_moved_names(record));
}

} // namespace
} // namespace norma::rt
