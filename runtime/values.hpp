// SPDX-License-Identifier: BSD-3-Clause
// Reading and writing of the values that configuration and command lines are made of. Nothing here knows a variable.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace norma::rt {

// All take the whole text or nothing: no blanks, no rest, no overflow.
std::optional<std::int64_t> parse_integer(std::string_view text);
std::optional<std::int64_t> parse_boolean(std::string_view text);                          // 0 or 1
std::optional<std::int64_t> parse_bytes(std::string_view text);                            // 4096, 64K, 8M, 2G, 16T
std::optional<std::int64_t> parse_time(std::string_view text);                             // 50us, 10ms, 2s, 0; ns
std::optional<std::int64_t> parse_address(std::string_view text);                          // 0x...
std::optional<std::int64_t> parse_choice(std::string_view text, std::string_view choices); // its place in a|b|c

// "8M", "50us": the number as a user would write it.
std::string format_bytes(std::uint64_t bytes);
std::string format_time(std::chrono::nanoseconds time);

// How many letters must be put in, taken out, changed or swapped with their neighbour to make one of the other.
unsigned edit_distance(std::string_view one, std::string_view other);

} // namespace norma::rt
