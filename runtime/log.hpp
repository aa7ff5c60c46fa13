// SPDX-License-Identifier: BSD-3-Clause
// The log of the launcher and the node servers: one line per event on stderr, written in one piece so that the lines of
// several processes do not mix. The first function that knows of an error logs it; nobody above repeats it.
#pragma once

#include <cstdint>
#include <fmt/core.h>
#include <string>
#include <string_view>
#include <utility>

namespace norma::rt {

enum class LogLevel : std::uint8_t { error, warn, info, debug };

void set_log_level(LogLevel level);
LogLevel log_level();
// Who speaks, e.g. "node 1"; empty for a process that needs no telling apart. Call it before there are threads.
void set_log_name(std::string name);

// Writes one line whatever the level is; the functions below are what to call.
void log_line(LogLevel level, std::string_view text);

template <class... Args> void log(LogLevel level, fmt::format_string<Args...> format, Args &&...args) {
    if (level <= log_level()) {
        log_line(level, fmt::format(format, std::forward<Args>(args)...));
    }
}
template <class... Args> void log_error(fmt::format_string<Args...> format, Args &&...args) {
    log(LogLevel::error, format, std::forward<Args>(args)...);
}
template <class... Args> void log_warning(fmt::format_string<Args...> format, Args &&...args) {
    log(LogLevel::warn, format, std::forward<Args>(args)...);
}
template <class... Args> void log_info(fmt::format_string<Args...> format, Args &&...args) {
    log(LogLevel::info, format, std::forward<Args>(args)...);
}
template <class... Args> void log_debug(fmt::format_string<Args...> format, Args &&...args) {
    log(LogLevel::debug, format, std::forward<Args>(args)...);
}

} // namespace norma::rt
