// SPDX-License-Identifier: BSD-3-Clause
// Reading a text file line by line and field by field, with line numbers in every error.
#pragma once

#include <charconv>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include <fmt/format.h>

#include "apps/cg/matrix_market.hpp"

namespace cg {

class Lines {
  public:
    explicit Lines(std::string_view text) : text_(text) {}

    /// Goes to the next line; false at the end.
    bool next() {
        if (position_ >= text_.size()) {
            return false;
        }
        const std::size_t end = std::min(text_.find('\n', position_), text_.size());
        rest_ = text_.substr(position_, end - position_);
        position_ = end + 1;
        ++number_;
        return true;
    }

    /// Goes to the next line that is neither blank nor a % comment.
    bool next_data() {
        while (next()) {
            skip_blanks();
            if (!rest_.empty() && rest_.front() != '%') {
                return true;
            }
        }
        return false;
    }

    std::size_t number() const { return number_; }
    std::size_t bytes_left() const { return text_.size() - std::min(position_, text_.size()); }
    std::string_view rest() const { return rest_; }

    [[noreturn]] void fail(std::string_view message) const {
        throw MatrixError(fmt::format("line {}: {}", number_, message));
    }

    /// The next field of the line, empty if there is none.
    std::string_view field() {
        skip_blanks();
        std::size_t length = 0;
        while (length < rest_.size() && !is_blank(rest_[length])) {
            ++length;
        }
        const std::string_view result = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return result;
    }

    /// The next field as a number; `what` names it in the error. Reals must be finite.
    template <class T> T read(std::string_view what) {
        const std::string_view whole = field();
        if (whole.empty()) {
            fail(fmt::format("{} is missing", what));
        }
        const std::string_view digits = whole.starts_with('+') ? whole.substr(1) : whole;
        T value{};
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (error != std::errc() || end != digits.data() + digits.size()) {
            fail(fmt::format("'{}' is no valid {}", whole, what));
        }
        if constexpr (std::is_floating_point_v<T>) {
            if (!std::isfinite(value)) {
                fail(fmt::format("{} '{}' is not finite", what, whole));
            }
        }
        return value;
    }

    void expect_end() {
        if (const std::string_view more = field(); !more.empty()) {
            fail(fmt::format("'{}' is too much in this line", more));
        }
    }

  private:
    static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
    void skip_blanks() {
        while (!rest_.empty() && is_blank(rest_.front())) {
            rest_.remove_prefix(1);
        }
    }

    std::string_view text_;
    std::string_view rest_;
    std::size_t position_ = 0;
    std::size_t number_ = 0;
};

} // namespace cg
