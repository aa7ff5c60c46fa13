// SPDX-License-Identifier: BSD-3-Clause
// What a list of samples comes to.
#pragma once

#include <vector>

namespace norma::bench {

struct Summary {
    double min = 0, median = 0, avg = 0, p99 = 0, p999 = 0, max = 0;
};

// Percentiles are nearest rank: each is one of the samples. At least one sample.
Summary summarize(std::vector<double> samples);

double median(std::vector<double> samples);

} // namespace norma::bench
