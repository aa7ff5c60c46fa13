// SPDX-License-Identifier: BSD-3-Clause
// When two positions count as the same: 128 bits that are equal if and only if (but for chance) the positions behave
// alike for ever. Positions that differ only in the following are folded into one, and here is why that is sound.
//
// * Numbers of transactions are compared, as equal or as older and newer, and only with numbers that concern the same
//   page; a new one is newer than all. So only the order of those that concern a page matters: each is replaced by its
//   rank among them.
// * Numbers of requests are compared for being equal, and only with the number of the request that the requester has
//   under way for that page; a new one equals none before it. So only whether they are equal matters.
// * Versions of pages are compared for being the last, and an old one never becomes the last again.
// * Nodes are alike but for being the home, having another program, or what they know of one another: the digest is the
//   least over all ways to renumber the nodes that keep home and programs.
// * Of a dead node nothing matters but that it is dead and what it sent.
// * Messages on their way have no order. Slots of the core have none either, but for those of transactions while
//   somebody may still die: the home goes through them in order then.
//
// Jobs with snapshots are not folded: their numbers are compared across the pages of all stretches. There, positions
// are the same if all that the cores keep is, slots as above, and what is on its way.
#pragma once

#include "tests/exploration/job.hpp"

#include <compare>
#include <cstdint>
#include <vector>

namespace norma::exploration {

struct Digest {
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    auto operator<=>(const Digest &) const = default;
};

// One way to renumber nodes.
struct Renumbering {
    std::array<dsm::NodeId, kMostNodes> to{};   // node -> its new number
    std::array<dsm::NodeId, kMostNodes> from{}; // and back
};

// All that keep the home and the programs; the first changes nothing.
std::vector<Renumbering> renumberings(const Job &job, bool fold_nodes);

Digest digest_of(const Job &job, const Position &position, const std::vector<Renumbering> &ways);

} // namespace norma::exploration
