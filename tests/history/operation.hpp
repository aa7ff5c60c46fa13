// SPDX-License-Identifier: BSD-3-Clause
// One operation of a thread on one word of shared memory, as it was seen from the thread: what was done, what came of
// it, and when. Written by the tasks of a job, judged by check.hpp when the job is over.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace history {

// What every word holds in the beginning. Nobody writes it.
inline constexpr std::uint64_t kInitial = 0;
// The end of an operation whose thread was ended in the middle of it: it may have happened, and it may not.
inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

enum class Kind : std::uint16_t {
    read = 1,
    write,
    update, // one that reads and writes in one step: exchange, successful compare-and-exchange, add
};

struct Operation {
    Kind kind{};
    std::uint16_t node = 0; // where it was done
    std::uint32_t thread = 0;
    std::uint64_t location = 0;
    std::uint64_t read = 0;    // read, update
    std::uint64_t written = 0; // write, update; no two operations write the same value to one location
    std::int64_t begin = 0;    // nanoseconds of the node's CLOCK_MONOTONIC, taken before and after
    std::int64_t end = kNever;
    bool operator==(const Operation &) const = default;
};
static_assert(sizeof(Operation) == 48 && std::is_trivially_copyable_v<Operation>);

} // namespace history
