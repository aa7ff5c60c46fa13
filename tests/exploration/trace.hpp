// SPDX-License-Identifier: BSD-3-Clause
// A way through a job as a table for people: one line for each step, with what every node then has and what the
// directory says.
#pragma once

#include "tests/exploration/job.hpp"

#include <string>
#include <vector>

namespace norma::exploration {

std::string trace_of(const Job &job, const std::vector<Choice> &way);
// How to read it.
std::string legend();
// What one node has of one page, what the home's record says of it, and all of a position in some lines.
std::string cell_of(const dsm::World &world, dsm::NodeId node, dsm::PageIndex page);
std::string record_of(const dsm::World &world, dsm::PageIndex page);
std::string picture_of(const Position &position);

} // namespace norma::exploration
