// SPDX-License-Identifier: BSD-3-Clause
#include "tests/history/recorder.hpp"

#include "norma/norma.hpp"

#include <ctime>
#include <immintrin.h>

namespace history {

std::int64_t now() {
    _mm_mfence();
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    _mm_lfence(); // nothing behind it is carried out before the clock has been read
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// It is in the log before it happens: the thread may be ended at any moment.
Operation &Recorder::begin(Kind kind, std::uint64_t location) {
    auto &operation = log_->operations[log_->used];
    operation = {.kind = kind,
                 .node = static_cast<std::uint16_t>(norma::this_node()),
                 .thread = log_->thread,
                 .location = location,
                 .read = 0,
                 .written = kind == Kind::read ? 0 : fresh_value(),
                 .begin = now(),
                 .end = kNever};
    ++log_->used;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return operation;
}

std::uint64_t Recorder::read(Word &word, std::uint64_t location) {
    auto &operation = begin(Kind::read, location);
    operation.read = word.load();
    operation.end = now();
    return operation.read;
}

void Recorder::write(Word &word, std::uint64_t location) {
    auto &operation = begin(Kind::write, location);
    word.store(operation.written);
    operation.end = now();
}

void Recorder::exchange(Word &word, std::uint64_t location) {
    auto &operation = begin(Kind::update, location);
    operation.read = word.exchange(operation.written);
    operation.end = now();
}

void Recorder::compare_exchange(Word &word, std::uint64_t location, std::uint64_t expected) {
    auto &operation = begin(Kind::update, location);
    const bool done = word.compare_exchange_strong(expected, operation.written);
    const auto end = now();
    operation.read = expected;
    if (!done) {
        operation.kind = Kind::read;
        operation.written = 0;
    }
    operation.end = end;
}

void Recorder::add_one(Word &word, std::uint64_t location) {
    auto &operation = begin(Kind::update, location);
    const auto before = word.fetch_add(1);
    const auto end = now();
    operation.read = before;
    operation.written = before + 1;
    operation.end = end;
}

} // namespace history
