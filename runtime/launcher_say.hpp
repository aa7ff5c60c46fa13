// SPDX-License-Identifier: BSD-3-Clause
// What the launcher and the joiners tell the user.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

namespace norma::rt {

template <class... Args> void say(fmt::format_string<Args...> format, Args &&...args) {
    // One write per line: several processes share the stream.
    const auto line = "norma: " + fmt::format(format, std::forward<Args>(args)...) + "\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

// Text from the network, for a terminal.
inline std::string printable(std::string text) {
    std::ranges::replace_if(
        text, [](unsigned char c) { return c < 0x20 || c > 0x7e; }, '?');
    return text.substr(0, 300);
}

} // namespace norma::rt
