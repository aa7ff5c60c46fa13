// SPDX-License-Identifier: BSD-3-Clause
// What ranks make of each other's cards.
#include "runtime/bootstrap.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace norma::rt {
namespace {

using Cards = std::vector<std::optional<Card>>;

std::vector<std::byte> bits(std::initializer_list<unsigned> set) {
    std::vector<std::byte> mask;
    for (const auto bit : set) {
        mask.resize(std::max<std::size_t>(mask.size(), bit / 8 + 1));
        mask[bit / 8] |= std::byte(1U << bit % 8);
    }
    return mask;
}

Card card(const std::string &machine = "m", std::initializer_list<unsigned> processors = {0, 1}) {
    Card made;
    made.machine = machine;
    made.processors = bits(processors);
    return made;
}

Card first_card() {
    auto made = card();
    made.launcher = {"192.0.2.1:4000", "[2001:db8::1]:4000"};
    made.key = "the key";
    return made;
}

std::string objection(const Cards &cards, unsigned speaker = 0) {
    std::vector<std::string> names;
    for (std::size_t rank = 0; rank < cards.size(); ++rank) {
        names.push_back("rank " + std::to_string(rank));
    }
    const auto found = objection_to(cards, names);
    EXPECT_TRUE(!found || found->speaker == speaker);
    return found ? found->why : "";
}

TEST(Cards, ComeAsTheyWere) {
    auto all = first_card();
    all.trouble = "none";
    all.one_machine = true;
    for (const auto &one : {Card{}, card(), first_card(), all}) {
        EXPECT_EQ(decode_card(encode_card(one)), one);
    }
}

TEST(Cards, WhatIsNoCardIsRefused) {
    const auto good = encode_card(first_card());
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_FALSE(decode_card(std::span(good).first(size)).has_value()) << size;
    }
    auto longer = good;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(decode_card(longer).has_value());
    auto other_magic = good;
    other_magic[0] ^= std::byte{1};
    EXPECT_FALSE(decode_card(other_magic).has_value());
    // Any byte may be anything: nothing worse than another card comes of it.
    for (std::size_t at = 0; at < good.size(); ++at) {
        for (const unsigned value : {0x00U, 0x7fU, 0xffU}) {
            auto changed = good;
            changed[at] = std::byte(value);
            decode_card(changed);
        }
    }
}

TEST(Cards, OfAnotherVersionOnlyTheVersionIsRead) {
    auto other = first_card();
    other.wire = 7;
    const auto read = decode_card(encode_card(other));
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->wire, 7);
    EXPECT_EQ(read->machine, "");
}

TEST(Objection, ThereIsNoneToRanksThatFit) {
    EXPECT_EQ(objection({first_card(), card(), card("other")}), "");
}

TEST(Objection, NamesTheRankAndTheReason) {
    auto other = card();
    other.join = 77;
    EXPECT_NE(objection({first_card(), card(), other}).find("the norma of rank 2 speaks version 77 of joining"),
              std::string::npos);
    auto troubled = card();
    troubled.trouble = "it rains";
    EXPECT_EQ(objection({first_card(), troubled}), "rank 1: it rains");
    EXPECT_EQ(objection({first_card(), std::nullopt}), "rank 1 does not say what norma says: is it another program?");
    EXPECT_EQ(objection({card(), card()}), "rank 0 does not say where the others can reach it");
    auto near = first_card();
    near.one_machine = true;
    EXPECT_EQ(objection({near, card()}), "");
    EXPECT_EQ(objection({near, card("other")}), "-x shm is for one machine, and rank 1 is on another one than rank 0");
}

TEST(Objection, IsSaidByTheFirstWhoSpeaksNorma) {
    EXPECT_EQ(objection({std::nullopt, card()}, 1), "rank 0 does not say what norma says: is it another program?");
}

TEST(Share, OfRanksThatMayUseTheSameProcessors) {
    const std::vector<Card> cards{card("m", {0, 1, 2, 3}), card("other", {0, 1, 2, 3}), card("m", {0, 1, 2, 3}),
                                  card("m", {0, 1, 2, 3})};
    EXPECT_EQ(share_of(0, cards), (RankShare{.nodes_here = 3, .core_share = 0, .core_shares = 3}));
    EXPECT_EQ(share_of(1, cards), (RankShare{.nodes_here = 1, .core_share = 0, .core_shares = 1}));
    EXPECT_EQ(share_of(3, cards), (RankShare{.nodes_here = 3, .core_share = 2, .core_shares = 3}));
}

TEST(Share, WhoHasProcessorsOfItsOwnHasThemWhole) {
    const std::vector<Card> cards{card("m", {0, 1}), card("m", {2, 3}), card("m", {70, 71}), card("m", {70, 71})};
    EXPECT_EQ(share_of(0, cards), (RankShare{.nodes_here = 4, .core_share = 0, .core_shares = 1}));
    EXPECT_EQ(share_of(1, cards), (RankShare{.nodes_here = 4, .core_share = 0, .core_shares = 1}));
    EXPECT_EQ(share_of(3, cards), (RankShare{.nodes_here = 4, .core_share = 1, .core_shares = 2}));
}

TEST(FindRanks, LeavesAProcessAloneThatNoLauncherHasStarted) {
    EXPECT_EQ(find_ranks({}), nullptr);
    EXPECT_EQ(find_ranks({"PMIX_RANK=0"}), nullptr);
    EXPECT_EQ(find_ranks({"PMIX_RANK=0", "PMIX_NAMESPACE=x", "NORMA_BOOTSTRAP=single"}), nullptr);
    EXPECT_THROW(find_ranks({"NORMA_BOOTSTRAP=pmix"}), std::invalid_argument);
}

} // namespace
} // namespace norma::rt
