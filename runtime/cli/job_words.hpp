// SPDX-License-Identifier: BSD-3-Clause
// What ps, stat, top and migrate have in common: how a job, its nodes and tasks are written, and how a command ends.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "runtime/control_client.hpp"

namespace norma::rt {

std::string_view state_word(TaskReport::State state);
std::string size_words(std::uint64_t bytes); // "1.5 MiB"
std::string time_words(std::uint64_t us);    // "1:02.50", minutes first

std::string task_json(const JobView &view, const NodeReport &node, const TaskReport &task);
std::string node_json(const JobView &view, const NodeReport &node);

// The exit status of a sub-command: `run` is called once its options have been read; what it throws is reported.
int run_command_line(std::string_view command, CLI::App &line, int argc, char **argv, const std::function<int()> &run);

// Tells of nodes that could not be asked.
void tell_of_unseen(std::string_view command, const JobView &view);

} // namespace norma::rt
