// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "runtime/report.hpp"

namespace norma::rt {

class Node;

// How the node stands now; with a list of the threads of task `of`, if it is here.
NodeReport report_of(const Node &node, TaskId of);

} // namespace norma::rt
