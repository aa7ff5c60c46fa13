// SPDX-License-Identifier: BSD-3-Clause
// The checker sees what is wrong and nothing else: histories by hand, and random ones, right and spoilt, compared with
// a search through all orders.
#include "tests/history/check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <random>

namespace history {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Operation wrote(std::uint64_t value, std::int64_t begin, std::int64_t end) {
    return {.kind = Kind::write, .thread = 1, .location = 1, .read = 0, .written = value, .begin = begin, .end = end};
}
Operation saw(std::uint64_t value, std::int64_t begin, std::int64_t end) {
    return {.kind = Kind::read, .thread = 2, .location = 1, .read = value, .written = 0, .begin = begin, .end = end};
}
Operation turned(std::uint64_t from, std::uint64_t to, std::int64_t begin, std::int64_t end) {
    return {.kind = Kind::update, .thread = 3, .location = 1, .read = from, .written = to, .begin = begin, .end = end};
}

void expect_right(const std::vector<Operation> &operations) {
    EXPECT_THAT(check(operations).faults, IsEmpty());
}
void expect_wrong(const std::vector<Operation> &operations, const char *why) {
    const auto faults = check(operations).faults;
    ASSERT_EQ(faults.size(), 1U);
    EXPECT_THAT(faults[0], HasSubstr(why));
}

TEST(Registers, OneAfterTheOther) {
    expect_right({saw(0, 1, 2), wrote(5, 3, 4), saw(5, 5, 6), saw(5, 7, 8), wrote(6, 9, 10), saw(6, 11, 12)});
}

TEST(Registers, AnOldValueAfterTheNewOneWasWritten) {
    expect_wrong({wrote(5, 1, 2), wrote(6, 3, 4), saw(5, 5, 6)}, "neither can come first");
    expect_wrong({wrote(5, 1, 2), saw(0, 3, 4)}, "neither can come first");
    expect_right({wrote(5, 1, 2), wrote(6, 3, 7), saw(5, 5, 6)}); // beside the write
}

TEST(Registers, NewThenOld) {
    // Both reads beside the write: whoever has seen the new value, nobody sees the old one afterwards.
    expect_wrong({wrote(5, 1, 100), saw(5, 10, 20), saw(0, 30, 40)}, "neither can come first");
    expect_right({wrote(5, 1, 100), saw(0, 10, 20), saw(5, 30, 40)});
    expect_right({wrote(5, 1, 100), saw(5, 10, 30), saw(0, 20, 40)}); // the reads overlap
}

TEST(Registers, TwoReadersMustAgreeOnTheOrderOfTwoWrites) {
    const auto one = wrote(5, 1, 100);
    const auto other = wrote(6, 1, 100);
    expect_wrong({one, other, saw(5, 10, 20), saw(6, 30, 40), saw(5, 50, 60)}, "neither can come first");
    expect_right({one, other, saw(5, 10, 20), saw(6, 30, 40), saw(6, 50, 60)});
}

TEST(Registers, WhatNobodyWroteAndWhatIsNotWrittenYet) {
    expect_wrong({wrote(5, 1, 2), saw(7, 3, 4)}, "nobody wrote");
    expect_wrong({saw(5, 1, 2), wrote(5, 3, 4)}, "over before the first began");
    expect_wrong({wrote(5, 1, 2), wrote(5, 3, 4)}, "written twice");
    expect_wrong({wrote(kInitial, 1, 2)}, "written twice");
    expect_wrong({wrote(5, 3, 2)}, "ends before it begins");
}

TEST(Registers, EqualTimesAreBeside) {
    expect_right({wrote(5, 1, 2), wrote(6, 2, 3), saw(5, 3, 4), saw(6, 4, 5)});
}

TEST(Registers, EachLocationForItself) {
    auto other = saw(0, 5, 6);
    other.location = 2;
    const auto report = check({wrote(5, 1, 2), other});
    EXPECT_THAT(report.faults, IsEmpty());
    EXPECT_EQ(report.locations, 2U);
    EXPECT_EQ(report.operations, 2U);
    other.read = 5;
    EXPECT_EQ(check({wrote(5, 1, 2), other}).faults.size(), 1U);
}

TEST(Updates, EachReadsTheOneBefore) {
    expect_right({turned(0, 1, 1, 10), turned(1, 2, 1, 10), turned(2, 3, 1, 10), saw(3, 11, 12)});
    expect_wrong({turned(0, 1, 1, 2), turned(0, 2, 3, 4)}, "two updates of one value");
    expect_wrong({turned(0, 1, 5, 6), turned(1, 2, 3, 4)}, "over before the first began");
    expect_wrong({turned(0, 1, 1, 2), turned(1, 2, 3, 4), saw(1, 5, 6)}, "");
    expect_right({turned(0, 1, 1, 2), turned(1, 2, 3, 6), saw(1, 4, 5)});
}

TEST(Updates, NothingComesBetween) {
    // 5 -> 6 in one step, so 7 is before both or behind both; but it was there, by its reads, before 6 and after 5.
    expect_wrong({wrote(5, 1, 2), saw(5, 3, 4), wrote(7, 5, 6), turned(5, 6, 7, 8), saw(6, 9, 10)},
                 "neither can come first");
    expect_right({wrote(7, 1, 2), wrote(5, 3, 4), turned(5, 6, 5, 6), saw(6, 7, 8)});
}

TEST(Updates, InACircle) {
    expect_wrong({turned(8, 9, 1, 10), turned(9, 8, 1, 10)}, "circle");
}

TEST(Unfinished, MayHaveHappened) {
    auto open = wrote(5, 10, kNever);
    expect_right({open, saw(5, 20, 30)});
    expect_right({open, saw(0, 20, 30), saw(5, 1000, 1001)});
    expect_right({open, saw(0, 20, 30)});
    EXPECT_EQ(check({open, saw(0, 20, 30)}).unknown, 1U);
    expect_wrong({open, saw(5, 1, 2)}, "over before the first began");
    expect_wrong({open, saw(5, 20, 30), saw(0, 40, 50)}, "neither can come first");
    expect_right({turned(99, 5, 10, kNever), saw(5, 20, 30)}); // what it read is not known
    expect_right({saw(99, 10, kNever)});
}

// The slow way: is there an order?
class Search {
  public:
    explicit Search(const std::vector<Operation> &operations) : operations_(operations) {}
    bool exists() { return extend(0, kInitial); }

  private:
    bool extend(unsigned done, std::uint64_t value) {
        if (done + 1 == 1U << operations_.size()) {
            return true;
        }
        for (std::size_t i = 0; i < operations_.size(); ++i) {
            if ((done >> i & 1) != 0 || !may_be_next(done, i)) {
                continue;
            }
            const auto &next = operations_[i];
            if (next.kind != Kind::write && next.read != value) {
                continue;
            }
            if (extend(done | 1U << i, next.kind == Kind::read ? value : next.written)) {
                return true;
            }
        }
        return false;
    }
    bool may_be_next(unsigned done, std::size_t candidate) const {
        for (std::size_t i = 0; i < operations_.size(); ++i) {
            if ((done >> i & 1) == 0 && operations_[i].end < operations_[candidate].begin) {
                return false;
            }
        }
        return true;
    }
    const std::vector<Operation> &operations_;
};

// Each takes effect at a moment of its own inside its time, so the history is right.
std::vector<Operation> right_history(std::mt19937 &random, std::size_t size, std::int64_t longest) {
    std::vector<Operation> operations;
    std::uint64_t value = kInitial;
    for (std::size_t i = 0; i < size; ++i) {
        const auto moment = static_cast<std::int64_t>(i) * 10;
        const auto begin = moment - static_cast<std::int64_t>(random()) % longest;
        const auto end = moment + static_cast<std::int64_t>(random()) % longest;
        const auto fresh = static_cast<std::uint64_t>(i + 1);
        switch (random() % 4) {
        case 0:
            operations.push_back(wrote(fresh, begin, end));
            value = fresh;
            break;
        case 1:
            operations.push_back(turned(value, fresh, begin, end));
            value = fresh;
            break;
        default:
            operations.push_back(saw(value, begin, end));
        }
    }
    return operations;
}

// A right one in which some operations have moved in time, or read something else.
std::vector<Operation> spoilt_history(std::mt19937 &random, std::size_t size) {
    auto operations = right_history(random, size, 30);
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
        auto &one = operations[random() % size];
        if (random() % 2 == 0) {
            const auto shift = static_cast<std::int64_t>(random() % 60) - 30;
            one.begin += shift;
            one.end += shift;
        } else {
            one.read = random() % (size + 1);
        }
    }
    return operations;
}

TEST(Random, RightHistoriesAreRight) {
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        auto operations = right_history(random, 500, 200);
        std::ranges::shuffle(operations, random);
        ASSERT_THAT(check(operations).faults, IsEmpty()) << "round " << round;
    }
}

TEST(Random, AgreesWithASearchThroughAllOrders) {
    std::mt19937 random(2);
    std::array<unsigned, 2> verdicts{};
    for (int round = 0; round < 30'000; ++round) {
        const auto operations = spoilt_history(random, 2 + random() % 8);
        const bool right = Search(operations).exists();
        ASSERT_EQ(check(operations).faults.empty(), right) << "round " << round;
        ++verdicts.at(right ? 1 : 0);
    }
    EXPECT_GT(verdicts[0], 1000U);
    EXPECT_GT(verdicts[1], 1000U);
}

// One stale read among many right operations is found.
TEST(Random, OneStaleReadAmongMany) {
    std::mt19937 random(3);
    for (int round = 0; round < 100; ++round) {
        auto operations = right_history(random, 2000, 40);
        const auto victim = std::ranges::find_if(
            operations, [](const Operation &one) { return one.kind == Kind::read && one.begin > 15'000; });
        victim->read = std::ranges::find_if(operations, [](const Operation &one) {
                           return one.kind != Kind::read && one.begin > 5000;
                       })->written;
        ASSERT_EQ(check(operations).faults.size(), 1U) << "round " << round;
    }
}

} // namespace
} // namespace history
