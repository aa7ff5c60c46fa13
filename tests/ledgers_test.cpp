// SPDX-License-Identifier: BSD-3-Clause
// Ledgers: limits that move but never grow, and the same ledgers on another node.
#include "runtime/ledgers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

namespace norma::rt {
namespace {

LedgerPtr paged_root(const LedgerBook &book) {
    return book.roots()[kPaged];
}

Ledgers drawn(const LedgerBook &book, const LedgerPtr &paged) {
    auto ledgers = book.roots();
    ledgers[kPaged] = paged;
    return ledgers;
}

TEST(Ledger, BindsAndIsFreedAgain) {
    LedgerBook book(1, 2);
    const auto ledger = book.create(paged_root(book), 100);
    ASSERT_NE(ledger, nullptr);
    EXPECT_EQ(ledger->id(), 0x0001'0002'0000'0004U);
    EXPECT_EQ(ledger->resource(), kPaged);
    EXPECT_TRUE(ledger->has_room(100));
    EXPECT_FALSE(ledger->has_room(101));
    ledger->charge(60);
    EXPECT_FALSE(ledger->has_room(41));
    EXPECT_FALSE(ledger->has_room(std::numeric_limits<std::uint64_t>::max()));
    ledger->release(60);
    EXPECT_TRUE(ledger->has_room(100));
    EXPECT_EQ(book.find(ledger->id()), ledger);
    EXPECT_EQ(book.find(77), nullptr);
    EXPECT_EQ(book.find(0), nullptr);
    EXPECT_EQ(book.find(2), paged_root(book));
}

TEST(Ledger, WhatWasSentMayPassTheLimit) {
    LedgerBook book(0, 1);
    const auto ledger = book.create(book.roots()[kNetwork], 10);
    ledger->charge(25);
    EXPECT_FALSE(ledger->has_room(1));
    EXPECT_FALSE(ledger->grant(1));
    EXPECT_TRUE(book.roots()[kNetwork]->transfer(*ledger, 20));
    EXPECT_TRUE(ledger->has_room(5));
    EXPECT_FALSE(ledger->has_room(6));
}

TEST(Ledger, GrantsOnlyWhatIsUnused) {
    LedgerBook book(0, 1);
    const auto top = book.create(paged_root(book), 100);
    top->charge(30);
    EXPECT_EQ(book.create(top, 71), nullptr);
    EXPECT_EQ(book.create(top, kNoLimit), nullptr);
    const auto below = book.create(top, 50);
    ASSERT_NE(below, nullptr);
    EXPECT_EQ(top->limit(), 50U);
    EXPECT_FALSE(top->transfer(*below, 21));
    EXPECT_TRUE(top->transfer(*below, 20));
    EXPECT_FALSE(below->transfer(*top, 1));
    EXPECT_FALSE(paged_root(book)->transfer(*below, 1)); // its parent is another
    EXPECT_EQ(below->limit(), 70U);
    EXPECT_EQ(below->granted(), 70U);
    EXPECT_FALSE(paged_root(book)->transfer(*top, kNoLimit - 100));
    const auto endless = book.create(paged_root(book), kNoLimit);
    EXPECT_TRUE(endless->has_room(kNoLimit - 1));
    EXPECT_FALSE(paged_root(book)->transfer(*endless, 1));
}

TEST(Ledger, TerminatedGivesBackWhatItsUsersGiveBack) {
    LedgerBook book(0, 1);
    const auto top = book.create(paged_root(book), 100);
    const auto middle = book.create(top, 60);
    const auto low = book.create(middle, 20);
    middle->charge(10);
    low->charge(5);
    middle->terminate();
    EXPECT_EQ(book.find(middle->id()), nullptr);
    EXPECT_EQ(top->limit(), 40U + 30U);
    EXPECT_FALSE(middle->has_room(1));
    EXPECT_EQ(book.create(middle, 0), nullptr);
    middle->release(4);
    EXPECT_EQ(top->limit(), 74U);
    low->terminate();
    EXPECT_EQ(top->limit(), 89U);
    low->release(5);
    middle->release(6);
    EXPECT_EQ(top->limit(), 100U);
}

TEST(Ledger, DepthIsLimited) {
    LedgerBook book(0, 1);
    auto ledger = paged_root(book);
    for (std::size_t depth = 1; depth <= kDeepestLedger; ++depth) {
        ledger = book.create(ledger, 5);
        ASSERT_NE(ledger, nullptr);
    }
    EXPECT_EQ(book.create(ledger, 5), nullptr);
    EXPECT_EQ(ledger->limit(), 5U);
}

TEST(Ledger, OnAnotherNodeTheSameQuotasInTheSameTree) {
    LedgerBook here(0, 1), there(1, 1);
    const auto top = here.create(paged_root(here), 100);
    const auto first = here.create(top, 70);
    Ledgers got;
    ASSERT_TRUE(there.draw(marks_of(drawn(here, first)), got));
    EXPECT_EQ(got[kWired], there.roots()[kWired]);
    EXPECT_EQ(got[kPaged]->limit(), 70U);
    EXPECT_EQ(got[kPaged]->parent()->limit(), 30U);
    EXPECT_EQ(got[kPaged], there.find(first->id()));
    Ledgers again;
    ASSERT_TRUE(there.draw(marks_of(drawn(here, first)), again));
    EXPECT_EQ(got, again);
    // Ended here and made anew it is another one, for which there is no room on the other node.
    first->terminate();
    const auto second = here.create(top, 70);
    ASSERT_NE(second, nullptr);
    EXPECT_FALSE(there.draw(marks_of(drawn(here, second)), again));
    got[kPaged]->terminate();
    EXPECT_TRUE(there.draw(marks_of(drawn(here, second)), again));
}

TEST(Ledger, WhoDrawsFromATerminatedOneGetsNoOtherInItsPlace) {
    LedgerBook book(0, 1);
    auto ledger = book.create(paged_root(book), 100);
    ledger->charge(10);
    const auto marks = marks_of(drawn(book, ledger));
    ledger->terminate();
    book.create(paged_root(book), 1); // clears up
    Ledgers got;
    ASSERT_TRUE(book.draw(marks, got));
    EXPECT_EQ(got[kPaged], ledger);
    EXPECT_FALSE(got[kPaged]->has_room(1));
}

TEST(Ledger, MarksTravel) {
    LedgerBook book(0, 1);
    const auto low = book.create(book.create(paged_root(book), 9), 5);
    const auto marks = marks_of(drawn(book, low));
    ASSERT_EQ(marks[kPaged].size(), 2U);
    EXPECT_EQ(marks[kPaged][0].granted, 9U);
    EXPECT_EQ(marks[kPaged][1], (LedgerMark{.id = low->id(), .granted = 5}));
    rpc::Writer writer;
    put_marks(writer, marks);
    rpc::Reader reader(writer.bytes());
    LedgerMarks back;
    EXPECT_TRUE(get_marks(reader, back) && reader.done());
    EXPECT_EQ(back, marks);
    for (std::size_t size = 0; size < writer.bytes().size(); ++size) {
        rpc::Reader cut(std::span(writer.bytes()).first(size));
        EXPECT_FALSE(get_marks(cut, back)) << size;
    }
}

TEST(Ledger, MarksThatContradictWhatIsKnownAreRefused) {
    LedgerBook book(0, 1);
    const auto top = book.create(paged_root(book), 9), low = book.create(top, 5);
    Ledgers got;
    LedgerMarks marks;
    marks[kWired] = {{.id = top->id(), .granted = 9}}; // of another resource
    EXPECT_FALSE(book.draw(marks, got));
    marks = {};
    marks[kPaged] = {{.id = low->id(), .granted = 5}}; // of another parent
    EXPECT_FALSE(book.draw(marks, got));
    rpc::Writer writer;
    marks[kPaged] = {{.id = 2, .granted = 5}}; // a root
    put_marks(writer, marks);
    rpc::Reader reader(writer.bytes());
    EXPECT_FALSE(get_marks(reader, marks));
    rpc::Writer longer;
    marks = {};
    marks[kPaged].assign(kDeepestLedger + 1, {.id = 77, .granted = 1});
    put_marks(longer, marks);
    rpc::Reader deep(longer.bytes());
    EXPECT_FALSE(get_marks(deep, marks));
}

// Whatever is done below one ledger, the limits below it and its own are together what it was granted, and nobody has
// more than his limit.
TEST(Ledger, RandomTreesKeepTheirSum) {
    std::mt19937_64 random(11);
    for (int round = 0; round < 200; ++round) {
        LedgerBook book(0, 1);
        std::uint64_t granted = 1000;
        std::vector<LedgerPtr> all{book.create(paged_root(book), granted)};
        for (int step = 0; step < 200; ++step) {
            auto &ledger = all[random() % all.size()];
            const auto bytes = random() % 200;
            switch (random() % 6) {
            case 0:
                if (const auto made = book.create(ledger, bytes)) {
                    all.push_back(made);
                }
                break;
            case 1:
                granted += paged_root(book)->transfer(*all[0], bytes) ? bytes : 0;
                break;
            case 2:
                ledger->parent()->transfer(*ledger, ledger == all[0] ? 0 : bytes);
                break;
            case 3:
                if (ledger->has_room(bytes)) {
                    ledger->charge(bytes);
                }
                break;
            case 4:
                ledger->release(std::min(bytes, ledger->balance()));
                break;
            default:
                if (ledger != all[0] && !ledger->terminated()) {
                    ledger->terminate();
                }
            }
            std::uint64_t sum = 0;
            for (const auto &each : all) {
                ASSERT_LE(each->balance(), each->limit());
                sum += each->limit();
            }
            ASSERT_EQ(sum, granted) << "round " << round << " step " << step;
        }
    }
}

} // namespace
} // namespace norma::rt
