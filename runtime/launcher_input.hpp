// SPDX-License-Identifier: BSD-3-Clause
// What `norma run` and `norma node --join` make of their command lines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace norma::rt {

// The words that a variable of the configuration may have.
std::vector<std::string> choices(std::string_view name);

// The absolute path of a program, which is looked for as a shell does. Throws std::invalid_argument.
std::string find_program(const std::string &name);
// Throws std::runtime_error.
std::string find_node_server();
// Why this host cannot run the program in the directory; nothing if it can.
std::optional<std::string> cannot_run(const std::string &program, const std::string &directory);

// The job key: the first line of the file, or NORMA_JOB_KEY if none is named; nothing if there is neither. Throws
// std::invalid_argument.
std::optional<std::string> given_key(const std::string &file);
std::uint64_t random_number(); // never 0; throws std::system_error

} // namespace norma::rt
