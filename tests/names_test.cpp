// SPDX-License-Identifier: BSD-3-Clause
// Name spaces: random programs against a list of rights kept in the plainest way, and what it comes to in references.
#include "runtime/names.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>

namespace norma::rt {
namespace {

constexpr std::uint32_t kSelf = 1, kFirst = 16;

Right port(std::uint64_t number) {
    return {.kind = Right::Kind::port, .task = TaskId{1} << 48, .thread = 0, .key = {.high = number, .low = 1}};
}
Carried send_right(std::uint64_t number) {
    return {.right = port(number)};
}
Carried receive_right(std::uint64_t number) {
    return {.right = port(number), .receive = {.high = number, .low = 2}};
}

NameSpace make() {
    return NameSpace(kFirst, {{kSelf, {.kind = Right::Kind::task, .task = 9, .thread = 0}}});
}

TEST(Names, OneNameForAllRightsToAPort) {
    auto names = make();
    const auto first = names.add(send_right(1));
    EXPECT_TRUE(first.took_reference);
    const auto second = names.add(send_right(1));
    EXPECT_EQ(second.name, first.name);
    EXPECT_FALSE(second.took_reference);
    EXPECT_EQ(names.add(receive_right(1)).name, first.name);
    EXPECT_EQ(names.types(first.name), MACH_PORT_TYPE_SEND_RECEIVE);
    EXPECT_EQ(names.add({}).name, MACH_PORT_NULL);
    EXPECT_EQ(names.add({.right = {.kind = Right::Kind::dead}}).name, MACH_PORT_DEAD);
    bool took = false;
    EXPECT_EQ(names.add_as(77, send_right(1), took), KERN_RIGHT_EXISTS);
    EXPECT_EQ(names.add_as(first.name, send_right(2), took), KERN_NAME_EXISTS);
    EXPECT_EQ(names.add_as(MACH_PORT_DEAD, send_right(2), took), KERN_INVALID_VALUE);
    EXPECT_EQ(names.add_as(77, send_right(2), took), KERN_SUCCESS);
    EXPECT_TRUE(took);
}

TEST(Names, WellKnownOnesStay) {
    auto names = make();
    Letting gone;
    NameSpace::Taken taken;
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(names.deallocate(kSelf, gone), KERN_SUCCESS);
        EXPECT_EQ(names.destroy(kSelf, gone), KERN_SUCCESS);
        EXPECT_EQ(names.take(kSelf, MACH_MSG_TYPE_MOVE_SEND, taken, gone), KERN_SUCCESS);
    }
    EXPECT_TRUE(gone.empty());
    EXPECT_EQ(names.types(kSelf), MACH_PORT_TYPE_SEND);
    EXPECT_EQ(names.take(kSelf, MACH_MSG_TYPE_MAKE_SEND, taken, gone), KERN_INVALID_RIGHT);
}

TEST(Names, ADeathIsToldOnce) {
    auto names = make();
    Letting gone;
    const auto name = names.add(send_right(1)).name;
    names.ask_for_death(name, port(7), gone);
    names.ask_for_death(name, port(8), gone);
    ASSERT_EQ(gone.size(), 1u); // the first place
    EXPECT_EQ(gone[0].right, port(7));
    gone.clear();
    const auto death = names.port_died(port(1), gone);
    EXPECT_EQ(death.name, name);
    EXPECT_EQ(death.notify, port(8));
    ASSERT_EQ(gone.size(), 1u);
    EXPECT_EQ(gone[0], send_right(1));
    EXPECT_EQ(names.types(name), MACH_PORT_TYPE_DEAD_NAME);
    EXPECT_EQ(NameSpace::refs(*names.find(name), MACH_PORT_RIGHT_DEAD_NAME), 2u);
    EXPECT_EQ(names.port_died(port(1), gone).name, 0u);
}

// What a task has, as a list.
struct Model {
    struct Has {
        std::uint64_t port = 0; // 0: dead
        unsigned sends = 0, dead = 0;
        bool receive = false;
    };
    std::map<std::uint32_t, Has> names;

    std::uint32_t find(std::uint64_t number) const {
        for (const auto &[name, has] : names) {
            if (has.port == number) {
                return name;
            }
        }
        return 0;
    }
    void tidy(std::uint32_t name) {
        const auto &has = names[name];
        if (has.sends + has.dead == 0 && !has.receive) {
            names.erase(name);
        }
    }
    // Ports to which there is a right to send: each is one reference.
    std::map<std::uint64_t, int> references() const {
        std::map<std::uint64_t, int> counted;
        for (const auto &[name, has] : names) {
            if (has.sends > 0) {
                counted[has.port] = 1;
            }
        }
        return counted;
    }
};

class Program {
  public:
    explicit Program(std::uint64_t seed) : random_(seed) {}

    void step() {
        const auto number = 1 + random_() % 5;
        const auto name = static_cast<std::uint32_t>(random_() % 8 == 0 ? 4 : kFirst + random_() % 24);
        auto known = model_.names.find(name);
        const bool there = known != model_.names.end();
        Letting gone;
        switch (random_() % 6) {
        case 0:
            add(number);
            break;
        case 1:
            if (there && known->second.port != 0 && !known->second.receive) {
                names_.add(receive_right(known->second.port));
                known->second.receive = true;
            }
            break;
        case 2: {
            const auto status = names_.deallocate(name, gone);
            EXPECT_EQ(status, !there                                          ? KERN_INVALID_NAME
                              : known->second.sends + known->second.dead == 0 ? KERN_INVALID_RIGHT
                                                                              : KERN_SUCCESS);
            if (status == KERN_SUCCESS) {
                --(known->second.dead > 0 ? known->second.dead : known->second.sends);
                model_.tidy(name);
            }
            break;
        }
        case 3:
            take(name, there);
            break;
        case 4:
            EXPECT_EQ(names_.destroy(name, gone), there ? KERN_SUCCESS : KERN_INVALID_NAME);
            model_.names.erase(name);
            break;
        default:
            if (random_() % 4 == 0) {
                const auto victim = model_.find(number);
                EXPECT_EQ(names_.port_died(port(number), gone).name, victim);
                if (victim != 0) {
                    auto &has = model_.names[victim];
                    has = {.port = 0, .sends = 0, .dead = std::max(has.sends, 1U), .receive = false};
                }
            }
        }
        account(gone);
        compare();
    }

  private:
    void add(std::uint64_t number) {
        const auto added = names_.add(send_right(number));
        references_[number] += added.took_reference ? 1 : 0;
        auto &has = model_.names[added.name];
        EXPECT_TRUE(has.port == number || (has.port == 0 && model_.find(number) == 0));
        has.port = number;
        ++has.sends;
    }

    void take(std::uint32_t name, bool there) {
        constexpr std::uint32_t kDispositions[] = {MACH_MSG_TYPE_MOVE_RECEIVE, MACH_MSG_TYPE_MOVE_SEND,
                                                   MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND};
        const auto disposition = kDispositions[random_() % 4];
        const bool receive = disposition == MACH_MSG_TYPE_MOVE_RECEIVE || disposition == MACH_MSG_TYPE_MAKE_SEND;
        const auto had = there ? model_.names[name] : Model::Has{};
        NameSpace::Taken taken;
        Letting gone;
        const auto status = names_.take(name, disposition, taken, gone);
        const bool has = receive ? had.receive : had.sends + had.dead > 0;
        EXPECT_EQ(status, !there ? KERN_INVALID_NAME : !has ? KERN_INVALID_RIGHT : KERN_SUCCESS);
        if (status != KERN_SUCCESS) {
            return;
        }
        auto &now = model_.names[name];
        if (disposition == MACH_MSG_TYPE_MOVE_RECEIVE) {
            now.receive = false;
            EXPECT_EQ(taken.carried, receive_right(had.port));
        } else if (disposition == MACH_MSG_TYPE_MOVE_SEND) {
            --(had.dead > 0 ? now.dead : now.sends);
        }
        model_.tidy(name);
        const bool is_send = disposition != MACH_MSG_TYPE_MOVE_RECEIVE && had.dead == 0;
        references_[had.port] += is_send && taken.needs_reference ? 1 : 0;
        if (random_() % 2 == 0 && (disposition == MACH_MSG_TYPE_MOVE_SEND || !is_send) && !receive) { // it comes back
            const auto back = names_.put_back(name, taken.carried, had.dead == 0);
            auto &again = model_.names[back.name];
            EXPECT_EQ(back.name, name);
            again.port = had.port;
            ++(had.dead > 0 ? again.dead : again.sends);
            references_[had.port] -= is_send && !back.took_reference ? 1 : 0;
        } else {
            references_[had.port] -= is_send ? 1 : 0;
        }
        account(gone);
    }

    void account(const Letting &gone) {
        for (const auto &carried : gone) {
            references_[carried.right.key.high] -= carried.receive.any() ? 0 : 1;
        }
        std::erase_if(references_, [](const auto &entry) { return entry.second == 0; });
    }

    void compare() {
        EXPECT_EQ(references_, model_.references());
        EXPECT_EQ(names_.entries().size(), model_.names.size() + 1);
        for (const auto &[name, has] : model_.names) {
            const auto *entry = names_.find(name);
            ASSERT_NE(entry, nullptr);
            EXPECT_EQ(entry->sends, has.sends);
            EXPECT_EQ(entry->dead, has.dead);
            EXPECT_EQ(entry->receive.any(), has.receive);
            EXPECT_EQ(names_.name_of(port(has.port)), has.port == 0 ? 0 : name);
        }
    }

    std::mt19937_64 random_;
    NameSpace names_ = make();
    Model model_;
    std::map<std::uint64_t, int> references_;
};

// Rights that have no name; each has a reference of its own.
TEST(Names, SlotsAreLetGoOf) {
    auto names = make();
    Letting gone;
    names.set_slot(kSlotBootstrap, {.right = port(1)}, gone);
    names.set_slot(kSlotRegistered, {.right = port(2)}, gone);
    names.set_slot(kSlotRegistered + 1, {.right = port(2)}, gone);
    EXPECT_TRUE(gone.empty());
    EXPECT_EQ(names.slot(kSlotBootstrap).right, port(1));
    EXPECT_EQ(names.slot(kSlotRegistered + 2).right, Right{});
    EXPECT_EQ(names.name_of(port(1)), MACH_PORT_NULL);
    names.set_slot(kSlotBootstrap, {.right = port(3)}, gone);
    EXPECT_EQ(std::exchange(gone, {}), Letting{send_right(1)});
    EXPECT_EQ(names.port_died(port(2), gone).name, MACH_PORT_NULL);
    EXPECT_EQ(std::exchange(gone, {}), (Letting{send_right(2), send_right(2)}));
    EXPECT_EQ(names.slots().size(), 1U);
    names.clear(gone);
    EXPECT_EQ(std::ranges::count(gone, send_right(3)), 1);
    EXPECT_TRUE(names.slots().empty());
    for (const std::uint64_t bad : {0UL, 3UL, 15UL, kSlotRegistered + 3UL, kSlotSample - 1UL, kSlotSample + 1UL}) {
        EXPECT_FALSE(is_slot(bad));
    }
}

// Children get the slots of the task, not those of a thread, which go with the thread.
TEST(Names, SlotsOfThreads) {
    auto names = make();
    Letting gone;
    const HeldRight of_task{.right = port(1), .behavior = EXCEPTION_STATE, .flavor = 4};
    names.set_slot(exception_slot(0, EXC_BREAKPOINT), of_task, gone);
    names.set_slot(exception_slot(7, EXC_BAD_ACCESS), {.right = port(2), .behavior = EXCEPTION_DEFAULT}, gone);
    names.set_slot(exception_slot(8, EXC_BAD_ACCESS), {.right = port(3), .behavior = EXCEPTION_DEFAULT}, gone);
    EXPECT_EQ(names.slots(), (Slots{{exception_slot(0, EXC_BREAKPOINT), of_task}}));
    names.thread_ended(7, gone);
    EXPECT_EQ(std::exchange(gone, {}), Letting{send_right(2)});
    EXPECT_EQ(names.slot(exception_slot(7, EXC_BAD_ACCESS)), HeldRight{});
    EXPECT_EQ(names.slot(exception_slot(8, EXC_BAD_ACCESS)).right, port(3));
    names.clear(gone);
    EXPECT_EQ(std::ranges::count(gone, send_right(3)), 1);
    EXPECT_FALSE(is_exception_slot(kSlotException));
    EXPECT_FALSE(is_exception_slot(exception_slot(0, EXC_TYPES_COUNT)));
    EXPECT_FALSE(is_exception_slot(exception_slot(1, EXC_BAD_ACCESS)));
}

TEST(Names, RandomProgramsAgainstAList) {
    for (std::uint64_t seed = 1; seed <= 500; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        Program program(seed);
        for (int i = 0; i < 200; ++i) {
            program.step();
            ASSERT_FALSE(HasFailure()) << "step " << i;
        }
    }
}

} // namespace
} // namespace norma::rt
