// SPDX-License-Identifier: BSD-3-Clause
#include "apps/common/split.hpp"

#include <cassert>
#include <numeric>

namespace apps {

std::vector<Range> split_evenly(std::size_t count, std::size_t parts) {
    assert(parts > 0);
    const std::size_t base = count / parts;
    const std::size_t longer = count % parts; // the first so many ranges get one more
    std::vector<Range> ranges;
    ranges.reserve(parts);
    std::size_t begin = 0;
    for (std::size_t part = 0; part < parts; ++part) {
        const std::size_t end = begin + base + (part < longer ? 1 : 0);
        ranges.push_back({begin, end});
        begin = end;
    }
    return ranges;
}

std::vector<Range> split_by_weight(std::span<const std::uint64_t> weights, std::size_t parts) {
    assert(parts > 0 && parts <= weights.size());
    std::uint64_t left = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
    std::vector<Range> ranges;
    ranges.reserve(parts);
    std::size_t begin = 0;
    for (std::size_t part = 0; part < parts; ++part) {
        const std::size_t parts_left = parts - part;
        const std::size_t latest_end = weights.size() - (parts_left - 1); // every later part needs an item
        const std::uint64_t share = left / parts_left;
        std::uint64_t taken = weights[begin];
        std::size_t end = begin + 1;
        // The next item goes to the side where it does the smaller harm.
        while (end < latest_end && (parts_left == 1 || taken + weights[end] / 2 < share)) {
            taken += weights[end++];
        }
        left -= taken;
        ranges.push_back({begin, end});
        begin = end;
    }
    return ranges;
}

} // namespace apps
