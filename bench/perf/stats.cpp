// SPDX-License-Identifier: BSD-3-Clause
#include "bench/perf/stats.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

namespace norma::bench {
namespace {

double percentile(const std::vector<double> &sorted, double fraction) {
    const auto rank = static_cast<std::size_t>(std::ceil(fraction * static_cast<double>(sorted.size())));
    return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

} // namespace

Summary summarize(std::vector<double> samples) {
    assert(!samples.empty());
    std::sort(samples.begin(), samples.end());
    Summary summary;
    summary.min = samples.front();
    summary.median = percentile(samples, 0.5);
    summary.avg = std::accumulate(samples.begin(), samples.end(), 0.0) / static_cast<double>(samples.size());
    summary.p99 = percentile(samples, 0.99);
    summary.p999 = percentile(samples, 0.999);
    summary.max = samples.back();
    return summary;
}

double median(std::vector<double> samples) {
    return summarize(std::move(samples)).median;
}

} // namespace norma::bench
