// SPDX-License-Identifier: BSD-3-Clause
#include "tests/exploration/progress.hpp"

#include <algorithm>

namespace norma::exploration {

namespace {

// The states that follow each state, one list after the other.
struct Followers {
    std::vector<std::uint64_t> first; // where the list of a state begins; one more than there are states
    std::vector<std::uint32_t> after;
};

Followers sort(std::uint64_t states, const std::vector<Arrival> &arrivals) {
    Followers result{.first = std::vector<std::uint64_t>(states + 1, 0),
                     .after = std::vector<std::uint32_t>(arrivals.size())};
    for (const Arrival &arrival : arrivals) {
        ++result.first[arrival.before + 1];
    }
    for (std::uint64_t state = 0; state < states; ++state) {
        result.first[state + 1] += result.first[state];
    }
    std::vector<std::uint64_t> place(result.first.begin(), result.first.end() - 1);
    for (const Arrival &arrival : arrivals) {
        result.after[place[arrival.before]++] = arrival.after;
    }
    return result;
}

} // namespace

// Takes away states that nothing leads to any more, again and again. What cannot be taken away lies on a circle or
// behind one; going back from there, always to a state that is left, ends on the circle.
Progress judge_progress(std::uint64_t states, const std::vector<Arrival> &arrivals) {
    const Followers followers = sort(states, arrivals);
    std::vector<std::uint32_t> leading(states, 0); // how many arrivals lead to the state
    for (const std::uint32_t after : followers.after) {
        ++leading[after];
    }
    std::vector<std::uint32_t> layer;
    for (std::uint32_t state = 0; state < states; ++state) {
        if (leading[state] == 0) {
            layer.push_back(state);
        }
    }
    Progress result;
    std::uint64_t taken = 0;
    for (std::vector<std::uint32_t> next; !layer.empty(); layer.swap(next)) {
        taken += layer.size();
        next.clear();
        for (const std::uint32_t state : layer) {
            for (std::uint64_t i = followers.first[state]; i < followers.first[state + 1]; ++i) {
                if (--leading[followers.after[i]] == 0) {
                    next.push_back(followers.after[i]);
                }
            }
        }
        result.longest += next.empty() ? 0 : 1;
    }
    if (taken == states) {
        return result;
    }
    std::vector<std::uint32_t> before(states, UINT32_MAX);
    for (const Arrival &arrival : arrivals) {
        if (leading[arrival.before] != 0) {
            before[arrival.after] = arrival.before;
        }
    }
    std::uint32_t state = 0;
    while (leading[state] == 0) {
        ++state;
    }
    for (std::uint64_t steps = 0; steps < states; ++steps) {
        state = before[state];
    }
    result.endless = state;
    return result;
}

} // namespace norma::exploration
