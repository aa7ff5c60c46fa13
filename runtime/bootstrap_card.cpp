// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/bootstrap.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "rpc/wire.hpp"

namespace norma::rt {
namespace {

constexpr std::uint64_t kCardMagic = 0x64726143616d726f; // "ormaCard"

bool same_versions(const Card &one, const Card &other) {
    return one.join == other.join && one.wire == other.wire;
}

bool overlap(std::span<const std::byte> one, std::span<const std::byte> other) {
    for (std::size_t i = 0; i < std::min(one.size(), other.size()); ++i) {
        if ((one[i] & other[i]) != std::byte{0}) {
            return true;
        }
    }
    return false;
}

} // namespace

CardBytes encode_card(const Card &card) {
    rpc::Writer rest;
    rest.put_string(card.trouble).put_string(card.machine);
    rest.put_bytes(card.processors).put(card.one_machine);
    rest.put(static_cast<std::uint32_t>(card.launcher.size()));
    for (const auto &address : card.launcher) {
        rest.put_string(address);
    }
    rest.put_string(card.key);
    rpc::Writer writer;
    writer.put(kCardMagic).put(card.join).put(card.wire).put_bytes(rest.bytes());
    return writer.bytes();
}

std::optional<Card> decode_card(std::span<const std::byte> bytes) {
    rpc::Reader reader(bytes);
    if (reader.get<std::uint64_t>() != kCardMagic) {
        return std::nullopt;
    }
    Card card;
    card.join = reader.get<std::uint16_t>();
    card.wire = reader.get<std::uint16_t>();
    const auto said = reader.get_bytes();
    if (!reader.done() || !same_versions(card, Card{})) {
        return reader.done() ? std::optional(card) : std::nullopt;
    }
    rpc::Reader rest(said);
    card.trouble = rest.get_string();
    card.machine = rest.get_string();
    const auto processors = rest.get_bytes();
    card.processors.assign(processors.begin(), processors.end());
    card.one_machine = rest.get<bool>();
    card.launcher.resize(rest.get_count(sizeof(std::uint32_t)));
    for (auto &address : card.launcher) {
        address = rest.get_string();
    }
    card.key = rest.get_string();
    return rest.done() ? std::optional(card) : std::nullopt;
}

std::optional<Objection> objection_to(const std::vector<std::optional<Card>> &cards,
                                      const std::vector<std::string> &names) {
    const auto found = std::ranges::find_if(cards, [](const auto &card) { return card.has_value(); });
    const auto speaker = static_cast<unsigned>(found - cards.begin());
    for (std::size_t rank = 0; rank < cards.size(); ++rank) {
        const auto &card = cards[rank];
        if (!card) {
            return Objection{speaker,
                             fmt::format("{} does not say what norma says: is it another program?", names[rank])};
        }
        if (!same_versions(*card, **found)) {
            return Objection{
                speaker,
                fmt::format("the norma of {} speaks version {} of joining and {} between node servers, that "
                            "of {} versions {} and {}",
                            names[rank], card->join, card->wire, names[speaker], (*found)->join, (*found)->wire)};
        }
        if (!card->trouble.empty()) {
            return Objection{speaker, fmt::format("{}: {}", names[rank], card->trouble)};
        }
        if (cards[0]->one_machine && card->machine != cards[0]->machine) {
            return Objection{speaker, fmt::format("-x shm is for one machine, and {} is on another one than {}",
                                                  names[rank], names[0])};
        }
    }
    if (cards[0]->launcher.empty()) {
        return Objection{speaker, fmt::format("{} does not say where the others can reach it", names[0])};
    }
    return std::nullopt;
}

RankShare share_of(unsigned rank, const std::vector<Card> &cards) {
    const auto &mine = cards[rank];
    RankShare share{.nodes_here = 0, .core_share = 0, .core_shares = 0};
    for (unsigned other = 0; other < cards.size(); ++other) {
        if (cards[other].machine != mine.machine) {
            continue;
        }
        ++share.nodes_here;
        if (other == rank || overlap(cards[other].processors, mine.processors)) {
            share.core_share += other < rank ? 1 : 0;
            ++share.core_shares;
        }
    }
    return share;
}

} // namespace norma::rt
