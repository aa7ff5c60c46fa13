// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_ranks.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <fmt/format.h>
#include <sched.h>

#include "runtime/job_proof.hpp"
#include "runtime/launcher_say.hpp"

namespace norma::rt {
namespace {

using namespace std::chrono_literals;

constexpr int kWrongInput = 2;
constexpr std::size_t kLongestTrouble = 300; // PMIx is for short values
constexpr auto kSpeakerLimit = 10s;          // for the rank that says what is wrong, before it ends all

// Drawn by the kernel when it starts, so it tells machines from each other whatever they are called.
std::string this_machine() {
    std::string id;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
    return id;
}

std::vector<std::byte> own_processors() {
    std::vector<std::byte> mask(CPU_ALLOC_SIZE(8192));
    if (::sched_getaffinity(0, mask.size(), reinterpret_cast<cpu_set_t *>(mask.data())) != 0) {
        throw std::system_error(errno, std::generic_category(), "sched_getaffinity");
    }
    while (!mask.empty() && mask.back() == std::byte{0}) {
        mask.pop_back();
    }
    return mask;
}

std::string fresh_key() {
    std::string key;
    for (const auto byte : fresh_number()) {
        key += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    }
    return key;
}

Card card_of(const RankOrders &orders, const std::string &fresh) {
    Card card;
    card.trouble = orders.trouble.substr(0, kLongestTrouble);
    if (!card.trouble.empty()) {
        return card;
    }
    card.machine = this_machine();
    card.processors = own_processors();
    card.one_machine = value_in(orders.env, "NORMA_TRANSPORT") == "shm";
    if (orders.listener >= 0) {
        std::ranges::transform(addresses_of(orders.listener), std::back_inserter(card.launcher), format_endpoint);
        card.key = orders.key ? "" : fresh;
    }
    return card;
}

// All ranks' cards, this one's among them; ends all ranks if some do not come.
std::vector<std::optional<Card>> exchange(Ranks &ranks, const Card &mine, const std::vector<std::string> &names,
                                          std::chrono::seconds limit) {
    const auto said = ranks.exchange(encode_card(mine), limit);
    std::vector<std::optional<Card>> cards(ranks.count());
    std::vector<std::string> missing;
    auto speaker = ranks.self();
    for (unsigned rank = 0; rank < ranks.count(); ++rank) {
        cards[rank] = rank == ranks.self() ? mine : said[rank] ? decode_card(*said[rank]) : std::nullopt;
        if (!said[rank]) {
            missing.push_back(names[rank]);
        } else if (cards[rank]) {
            speaker = std::min(speaker, rank);
        }
    }
    if (!missing.empty()) {
        const auto why = fmt::format("{} {} not come within {} s", fmt::join(missing, ", "),
                                     missing.size() == 1 ? "has" : "have", limit / 1s);
        if (speaker == ranks.self()) {
            say("{}", why);
        } else {
            std::this_thread::sleep_for(kSpeakerLimit);
        }
        ranks.end_all(why);
    }
    return cards;
}

// Of the rank's node server and its tasks: they are ranks of nothing.
void set_for_rank(Environment &env, const RankShare &share) {
    for (const auto *name : {"PMIX_RANK", "PMIX_NAMESPACE", "NORMA_BOOTSTRAP", "NORMA_JOB_KEY"}) {
        unset_in(env, name);
    }
    if (!value_in(env, "NORMA_HOST_NODES")) {
        set_in(env, "NORMA_CORE_SHARE", std::to_string(share.core_share));
        set_in(env, "NORMA_CORE_SHARES", std::to_string(share.core_shares));
    }
    set_for_several_hosts(env, share.nodes_here);
}

int run_rank_0(RankOrders orders, const std::string &key, const std::vector<std::string> &names) {
    auto job = std::move(*orders.job);
    job.nodes = static_cast<unsigned>(names.size());
    job.env = orders.env;
    job.joining = Joining{.listen = {},
                          .listener = orders.listener,
                          .key = key,
                          .limit = orders.limit,
                          .announce = orders.verbose,
                          .expected = names};
    return run_job(job);
}

int join_rank_0(const RankOrders &orders, unsigned self, const std::string &key, const Card &mine, const Card &zero) {
    Place place{.launcher = {}, .key = key, .env = orders.env, .limit = orders.limit, .verbose = orders.verbose};
    place.node = static_cast<std::uint16_t>(self);
    place.on_signal = orders.on_signal;
    for (const auto &address : zero.launcher) {
        const auto endpoint = parse_endpoint(address);
        if (!is_loopback(endpoint) || mine.machine == zero.machine) {
            place.launcher.push_back(endpoint);
        }
    }
    if (place.launcher.empty()) {
        throw std::runtime_error("rank 0 has no address but that of its loopback device, and is on another machine");
    }
    return join_job(std::move(place));
}

} // namespace

int run_as_rank(std::unique_ptr<Ranks> ranks, RankOrders orders) {
    const auto self = ranks->self();
    std::vector<std::string> names;
    for (unsigned rank = 0; rank < ranks->count(); ++rank) {
        names.push_back(ranks->name(rank));
    }
    const auto mine = card_of(orders, fresh_key());
    const auto said = exchange(*ranks, mine, names, orders.limit);
    ranks.reset(); // with its threads: what follows takes over signals and children
    if (const auto objection = objection_to(said, names)) {
        if (objection->speaker != self) {
            return 0; // another status could make the launcher end the one that speaks before it has spoken
        }
        say("{}", printable(objection->why));
        return kWrongInput;
    }
    std::vector<Card> cards;
    std::ranges::transform(said, std::back_inserter(cards), [](const auto &card) { return *card; });
    set_for_rank(orders.env, share_of(self, cards));
    const auto key = orders.key.value_or(cards[0].key);
    if (self == 0) {
        return run_rank_0(std::move(orders), key, names);
    }
    if (key.empty()) {
        throw std::invalid_argument("rank 0 has a job key of the user's, and this rank has none");
    }
    return join_rank_0(orders, self, key, mine, cards[0]);
}

} // namespace norma::rt
