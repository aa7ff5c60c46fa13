// SPDX-License-Identifier: BSD-3-Clause
// What the main tasks of the applications do alike with a job and its worker tasks.
#pragma once

#include <string>
#include <vector>

#include <norma/norma.hpp>

#include "apps/common/usage.hpp"

namespace apps {

/// Throws UsageError if the program was not started by `norma run`.
void require_job(const char *program);

/// "0 1 0 1"
std::string node_list(const std::vector<int> &nodes);

/// What went wrong with the workers, after a barrier said that one of them is gone: names each that has ended.
std::string describe_dead(std::vector<norma::task> &workers);

} // namespace apps
