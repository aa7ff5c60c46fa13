// SPDX-License-Identifier: BSD-3-Clause
// A job whose nodes the launcher of a cluster starts (`srun --mpi=pmix norma run ./app`, `mpirun norma run ./app`):
// each `norma run` is one rank among several, and rank K serves node K. What the ranks tell each other on that
// occasion, by way of the cluster's launcher, are cards.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rpc/record.hpp"
#include "runtime/job_settings.hpp"
#include "runtime/launch.hpp"

namespace norma::rt {

using CardBytes = std::vector<std::byte>;
inline constexpr const char *kCardKey = "norma.card"; // what PMIx knows them by

// This process among the ranks. Ends with the object: the cluster's launcher is told that there is nothing more to say.
class Ranks {
  public:
    Ranks() = default;
    virtual ~Ranks() = default;
    Ranks(const Ranks &) = delete;
    Ranks &operator=(const Ranks &) = delete;

    virtual unsigned self() const = 0;
    virtual unsigned count() const = 0;
    virtual std::string name(unsigned rank) = 0; // "rank 1 on host"

    // Waits until every rank has called it, and returns what each has said, by rank; empty: it has said nothing that
    // can be read. If that takes longer than `limit`, there is no value for those who have not come. Throws
    // std::runtime_error.
    virtual std::vector<std::optional<CardBytes>> exchange(std::span<const std::byte> card,
                                                           std::chrono::seconds limit) = 0;

    // Has the cluster's launcher end all ranks, and ends this process.
    [[noreturn]] virtual void end_all(const std::string &why) = 0;
};

// As NORMA_BOOTSTRAP says; nothing if this process is to start a job of its own. Throws std::runtime_error.
std::unique_ptr<Ranks> find_ranks(const Environment &environment);

// libnorma_pmix.so has this. Nothing, and why, if the launcher that the environment speaks of does not answer.
using OpenRanks = Ranks *(std::string &why);
inline constexpr const char *kOpenRanks = "norma_open_ranks";

struct Card {
    std::uint16_t join = kJoinVersion, wire = rpc::kWireVersion;
    // Of a card with other versions nothing else is known.
    std::string trouble;               // why this rank cannot take part; empty: it can
    std::string machine;               // the same on all ranks of one machine
    std::vector<std::byte> processors; // that it may use there: one bit each
    bool one_machine = false;          // it is to use a transport that does not leave the machine
    // Rank 0 only:
    std::vector<std::string> launcher; // where the others may reach it, the likeliest first
    std::string key;                   // of the job; empty: it has been given to the ranks in another way
    bool operator==(const Card &) const = default;
};
CardBytes encode_card(const Card &card);
// No value: not one whole card.
std::optional<Card> decode_card(std::span<const std::byte> bytes);

// Why there can be no job of these ranks; nothing if there can.
struct Objection {
    unsigned speaker = 0; // the rank that is to say so
    std::string why;
};
std::optional<Objection> objection_to(const std::vector<std::optional<Card>> &cards,
                                      const std::vector<std::string> &names);

// Which part of its machine a rank has. Ranks that may use the same processors share them; a rank to which the
// cluster's launcher has given some of its own has these.
struct RankShare {
    unsigned nodes_here = 1;                  // on this machine, itself included
    unsigned core_share = 0, core_shares = 1; // of the processors that it may use
    bool operator==(const RankShare &) const = default;
};
RankShare share_of(unsigned rank, const std::vector<Card> &cards);

} // namespace norma::rt
