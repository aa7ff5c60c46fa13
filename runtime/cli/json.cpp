// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/cli/json.hpp"

#include <fmt/format.h>

namespace norma::rt::json {

std::string text(std::string_view text) {
    std::string out = "\"";
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') {
            out += '\\';
            out += letter;
        } else if (static_cast<unsigned char>(letter) < 0x20) {
            out += fmt::format("\\u{:04x}", letter);
        } else {
            out += letter;
        }
    }
    return out + '"';
}

std::string object(const Members &members) {
    std::vector<std::string> parts;
    for (const auto &[name, value] : members) {
        parts.push_back(fmt::format("{}: {}", text(name), value));
    }
    return fmt::format("{{{}}}", fmt::join(parts, ", "));
}

std::string list(const std::vector<std::string> &items) {
    return fmt::format("[{}]", fmt::join(items, ", "));
}

std::string lines(const std::vector<std::string> &items) {
    return items.empty() ? "[]" : fmt::format("[\n  {}\n]", fmt::join(items, ",\n  "));
}

} // namespace norma::rt::json
