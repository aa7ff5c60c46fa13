// SPDX-License-Identifier: BSD-3-Clause
// How the tasks of a node have spent their time (docs/watching.md).
#pragma once

#include "dsm/pager.hpp"

#include <chrono>
#include <string>

namespace norma::rt {

struct Spent {
    dsm::ThreadTimes::Totals threads{}; // of those that norma has started
    std::chrono::microseconds cpu{};    // of the processes, user and system

    void add(const dsm::ThreadTimes::Totals &times, std::chrono::microseconds used);
};

// Adds a line to the file, an object of JSON. That it cannot is logged.
void write_account(const std::string &file, dsm::NodeId node, const Spent &spent, const dsm::PagerCounters &pages);

} // namespace norma::rt
