// SPDX-License-Identifier: BSD-3-Clause
// What the fuzz targets share. A target takes any bytes at all and must come back; what must hold whatever the bytes
// are it says with FUZZ_CHECK, which ends the process, as the sanitizers do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace fuzz {

using Bytes = std::span<const std::byte>;

struct Target {
    const char *name; // also of its folder in corpus/
    void (*run)(Bytes input);
    std::size_t longest; // inputs the engine should try, in bytes
};
std::span<const Target> targets();
const Target *find_target(std::string_view name); // null: there is none

[[noreturn]] void check_failed(const char *condition, const char *file, int line);

// The input as a row of small choices; zeros when it is used up.
class Choices {
  public:
    explicit Choices(Bytes input) : rest_(input) {}
    bool any_left() const { return !rest_.empty(); }
    std::uint8_t byte() {
        if (rest_.empty()) {
            return 0;
        }
        const auto value = std::to_integer<std::uint8_t>(rest_.front());
        rest_ = rest_.subspan(1);
        return value;
    }
    bool flag() { return (byte() & 1) != 0; }
    unsigned below(unsigned limit) { return byte() % limit; }
    std::uint64_t number() {
        std::uint64_t value = 0;
        for (unsigned i = 0; i < 8; ++i) {
            value |= std::uint64_t{byte()} << (8 * i);
        }
        return value;
    }
    Bytes rest() const { return rest_; }

  private:
    Bytes rest_;
};

inline std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

} // namespace fuzz

#define FUZZ_CHECK(condition)                                                                                          \
    ((condition) ? static_cast<void>(0) : ::fuzz::check_failed(#condition, __FILE__, __LINE__))
