// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/log.hpp"

#include <atomic>
#include <unistd.h>

namespace norma::rt {
namespace {

std::atomic<LogLevel> current_level{LogLevel::warn};

std::string &speaker() {
    static std::string name;
    return name;
}

std::string_view word(LogLevel level) {
    switch (level) {
    case LogLevel::error:
        return "error";
    case LogLevel::warn:
        return "warning";
    case LogLevel::info:
        return "info";
    case LogLevel::debug:
        break;
    }
    return "debug";
}

} // namespace

void set_log_level(LogLevel level) {
    current_level.store(level, std::memory_order_relaxed);
}

LogLevel log_level() {
    return current_level.load(std::memory_order_relaxed);
}

void set_log_name(std::string name) {
    speaker() = std::move(name);
}

void log_line(LogLevel level, std::string_view text) {
    const std::string &name = speaker();
    const std::string line = name.empty() ? fmt::format("norma: {}: {}\n", word(level), text)
                                          : fmt::format("norma[{}]: {}: {}\n", name, word(level), text);
    // A log that cannot be written has nowhere to say so.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

} // namespace norma::rt
