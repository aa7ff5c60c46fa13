// SPDX-License-Identifier: BSD-3-Clause
// Operations on shared words, each noted down with the time before and after. A thread's notes are in coherent memory
// that nobody else touches while it runs: they move with its task, and outlive it.
#pragma once

#include "tests/history/operation.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace history {

// Nanoseconds of CLOCK_MONOTONIC: all that stands before it has happened, and nothing that stands behind it.
std::int64_t now();

using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 8);

struct Log {
    std::uint32_t thread;
    std::uint32_t room;
    std::uint32_t used;
    Operation operations[]; // NOLINT: as many as there is room for

    static std::size_t bytes(std::uint32_t room) { return sizeof(Log) + room * sizeof(Operation); }
};

// Every operation is a full fence, so that it has taken effect for all processors when the second time is taken: what
// is judged is the memory of several nodes, and not the store buffer of a processor.
class Recorder {
  public:
    explicit Recorder(Log *log) : log_(log) {}

    bool full() const { return log_->used == log_->room; }
    // A value that nobody else writes anywhere.
    std::uint64_t fresh_value() const { return (std::uint64_t{log_->thread} + 1) << 32 | (log_->used + 1); }

    std::uint64_t read(Word &word, std::uint64_t location);
    void write(Word &word, std::uint64_t location);
    void exchange(Word &word, std::uint64_t location);
    // Against what it holds, as far as is known; a comparison that fails is a read.
    void compare_exchange(Word &word, std::uint64_t location, std::uint64_t expected);
    void add_one(Word &word, std::uint64_t location); // of a word that is only counted up

  private:
    Operation &begin(Kind kind, std::uint64_t location);

    Log *log_;
};

} // namespace history
