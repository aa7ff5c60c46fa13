// SPDX-License-Identifier: BSD-3-Clause
// What ps, stat and top have in common: how a job, its nodes and tasks are written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/control_client.hpp"

namespace norma::rt {

std::string_view state_word(TaskReport::State state);
std::string size_words(std::uint64_t bytes); // "1.5 MiB"
std::string time_words(std::uint64_t us);    // "1:02.50", minutes first

std::string task_json(const JobView &view, const NodeReport &node, const TaskReport &task);
std::string node_json(const JobView &view, const NodeReport &node);

// Tells of nodes that could not be asked.
void tell_of_unseen(std::string_view command, const JobView &view);

} // namespace norma::rt
