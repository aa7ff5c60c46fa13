// SPDX-License-Identifier: BSD-3-Clause
// How work is divided among workers, and workers among nodes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace apps {

struct Range {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t size() const { return end - begin; }
    bool operator==(const Range &) const = default;
};

/// Splits [0, count) into `parts` consecutive ranges whose sizes differ by at most one.
std::vector<Range> split_evenly(std::size_t count, std::size_t parts);

/// Splits the items into `parts` consecutive ranges of about equal weight, none of them empty.
/// Needs 1 <= parts <= weights.size().
std::vector<Range> split_by_weight(std::span<const std::uint64_t> weights, std::size_t parts);

/// As many workers as nodes, but two at least, so that there is something to share.
inline unsigned default_workers(int nodes) {
    return static_cast<unsigned>(std::max(2, nodes));
}

/// Round robin: where worker `index` starts.
inline int node_for(std::size_t index, int nodes) {
    return static_cast<int>(index % static_cast<std::size_t>(nodes));
}

} // namespace apps
