// SPDX-License-Identifier: BSD-3-Clause
// What the sub-commands print with --json.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace norma::rt::json {

std::string text(std::string_view text);
template <std::integral Number> std::string number(Number value) {
    return std::to_string(value);
}
inline std::string boolean(bool value) {
    return value ? "true" : "false";
}

// The values are JSON already.
using Members = std::vector<std::pair<std::string_view, std::string>>;
std::string object(const Members &members);
std::string list(const std::vector<std::string> &items);
// An item a line.
std::string lines(const std::vector<std::string> &items);

} // namespace norma::rt::json
