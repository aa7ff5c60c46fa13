// SPDX-License-Identifier: BSD-3-Clause
// The litmus shapes: small programs over two words, and which outcomes sequential consistency allows. The allowed set
// is not written down but found, by running each shape in all orders.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace history {

inline constexpr unsigned kLitmusThreads = 4;
inline constexpr unsigned kLitmusReads = 2; // most in one thread

struct Step {
    enum class What : std::uint8_t { write, read } what{};
    std::uint8_t word = 0;  // 0: x, 1: y
    std::uint8_t value = 0; // write
    bool if_seen = false;   // write: only if the thread's last read did not return 0
};

struct Shape {
    const char *name;
    std::array<std::vector<Step>, kLitmusThreads> threads;
    const char *shows; // what it would mean if a forbidden outcome appeared
};
const std::vector<Shape> &shapes();

// What each thread read, in its order, and what the words held in the end. What a shape does not read is 0.
struct Outcome {
    std::array<std::array<std::uint8_t, kLitmusReads>, kLitmusThreads> read{};
    std::array<std::uint8_t, 2> last{};
    auto operator<=>(const Outcome &) const = default;
};
std::string describe(const Shape &shape, const Outcome &outcome);

std::set<Outcome> allowed(const Shape &shape);

} // namespace history
