// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fmt/core.h>
#include <limits>
#include <utility>
#include <vector>

namespace norma::rt {
namespace {

struct Unit {
    std::string_view name;
    std::int64_t factor;
};

constexpr std::array kByteUnits = {Unit{"T", std::int64_t{1} << 40}, Unit{"G", std::int64_t{1} << 30},
                                   Unit{"M", std::int64_t{1} << 20}, Unit{"K", std::int64_t{1} << 10}};
constexpr std::array kTimeUnits = {Unit{"us", 1'000}, Unit{"ms", 1'000'000}, Unit{"s", 1'000'000'000}};

std::optional<std::int64_t> parse_digits(std::string_view text, int base) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return number;
}

std::optional<std::int64_t> parse_scaled(std::string_view digits, std::int64_t factor) {
    const auto number = parse_digits(digits, 10);
    if (!number || *number < 0 || *number > std::numeric_limits<std::int64_t>::max() / factor) {
        return std::nullopt;
    }
    return *number * factor;
}

} // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) {
    return parse_digits(text, 10);
}

std::optional<std::int64_t> parse_boolean(std::string_view text) {
    constexpr std::string_view kFalse = "no|false|off|0";
    constexpr std::string_view kTrue = "yes|true|on|1";
    if (parse_choice(text, kTrue)) {
        return 1;
    }
    return parse_choice(text, kFalse) ? std::optional<std::int64_t>(0) : std::nullopt;
}

std::optional<std::int64_t> parse_bytes(std::string_view text) {
    for (const Unit &unit : kByteUnits) {
        if (text.ends_with(unit.name)) {
            return parse_scaled(text.substr(0, text.size() - unit.name.size()), unit.factor);
        }
    }
    return parse_scaled(text, 1);
}

std::optional<std::int64_t> parse_time(std::string_view text) {
    if (text == "0") {
        return 0;
    }
    for (const Unit &unit : kTimeUnits) { // s comes last: the others end in it too
        if (text.ends_with(unit.name)) {
            return parse_scaled(text.substr(0, text.size() - unit.name.size()), unit.factor);
        }
    }
    return std::nullopt;
}

std::optional<std::int64_t> parse_address(std::string_view text) {
    if (!text.starts_with("0x") || text.starts_with("0x-")) {
        return std::nullopt;
    }
    return parse_digits(text.substr(2), 16);
}

std::optional<std::int64_t> parse_choice(std::string_view text, std::string_view choices) {
    for (std::int64_t place = 0;; ++place) {
        const auto bar = choices.find('|');
        if (text == choices.substr(0, bar)) {
            return place;
        }
        if (bar == std::string_view::npos) {
            return std::nullopt;
        }
        choices.remove_prefix(bar + 1);
    }
}

std::string format_bytes(std::uint64_t bytes) {
    for (const Unit &unit : kByteUnits) {
        const auto factor = std::uint64_t(unit.factor);
        if (bytes >= factor && bytes % factor == 0) {
            return fmt::format("{}{}", bytes / factor, unit.name);
        }
    }
    return fmt::format("{}", bytes);
}

std::string format_time(std::chrono::nanoseconds time) {
    for (auto unit = kTimeUnits.rbegin(); unit != kTimeUnits.rend(); ++unit) {
        if (time.count() >= unit->factor && time.count() % unit->factor == 0) {
            return fmt::format("{}{}", time.count() / unit->factor, unit->name);
        }
    }
    return time.count() == 0 ? "0us" : fmt::format("{}ns", time.count());
}

unsigned edit_distance(std::string_view one, std::string_view other) {
    // Row i holds the distances from the first i letters of `one`; a swap looks two rows back.
    const std::size_t width = other.size() + 1;
    std::vector<unsigned> before(width), above(width), row(width);
    for (std::size_t j = 0; j < width; ++j) {
        row[j] = unsigned(j);
    }
    for (std::size_t i = 1; i <= one.size(); ++i) {
        std::swap(before, above);
        std::swap(above, row);
        row[0] = unsigned(i);
        for (std::size_t j = 1; j < width; ++j) {
            const unsigned change = above[j - 1] + (one[i - 1] == other[j - 1] ? 0 : 1);
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, change});
            if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1]) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
    }
    return row.back();
}

} // namespace norma::rt
