// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_leases.hpp"

#include <algorithm>

namespace norma::rt {

namespace {

// Between an answer and the next question. To another host a question that is not acknowledged sets the clock of
// TCP_USER_TIMEOUT going, which otherwise is that of the last probe: so the connection may live so much longer.
constexpr auto kMostRest = std::chrono::seconds(2);

} // namespace

Leases::Leases(std::size_t nodes, Clock::duration length, Clock::time_point now)
    : length_(length), leases_(nodes, {.over = false, .asked = false, .since = now}) {}

std::vector<std::size_t> Leases::to_ask(Clock::time_point now) {
    std::vector<std::size_t> nodes;
    for (std::size_t node = 0; node < leases_.size(); ++node) {
        auto &lease = leases_[node];
        if (!lease.over && !lease.asked && now >= lease.since) {
            lease.asked = true;
            lease.since = now;
            nodes.push_back(node);
        }
    }
    return nodes;
}

void Leases::answered(std::size_t node, Clock::time_point now) {
    if (node < leases_.size() && leases_[node].asked) {
        auto &lease = leases_[node];
        lease.asked = false;
        lease.since = now + std::min<Clock::duration>(length_ / 4, kMostRest);
    }
}

std::vector<std::size_t> Leases::run_out(Clock::time_point now) {
    std::vector<std::size_t> nodes;
    for (std::size_t node = 0; node < leases_.size(); ++node) {
        auto &lease = leases_[node];
        if (!lease.over && lease.asked && now >= lease.since + length_) {
            lease.over = true;
            nodes.push_back(node);
        }
    }
    return nodes;
}

void Leases::end(std::size_t node) {
    if (node < leases_.size()) { // else it has not had one yet
        leases_[node].over = true;
    }
}

void Leases::begin(std::size_t node, Clock::time_point now) {
    constexpr Lease kNobodys{.over = true, .asked = false, .since = {}};
    leases_.resize(std::max(leases_.size(), node + 1), kNobodys);
    leases_[node] = {.over = false, .asked = false, .since = now};
}

std::optional<Leases::Clock::time_point> Leases::deadline() const {
    std::optional<Clock::time_point> first;
    for (const auto &lease : leases_) {
        const auto at = lease.asked ? lease.since + length_ : lease.since;
        if (!lease.over && (!first || at < *first)) {
            first = at;
        }
    }
    return first;
}

} // namespace norma::rt
