// SPDX-License-Identifier: BSD-3-Clause
// What all of <norma/pthread.h> waits with: words of coherent memory, or of private memory, which one process knows.
#pragma once

#include <atomic>
#include <cstdint>
#include <ctime>

namespace norma::threads {

using Word = std::uint32_t;

/// When to stop waiting. No time: never.
struct Deadline {
    const timespec *time = nullptr;
    clockid_t clock = CLOCK_REALTIME;
    bool is_valid() const; // else the call returns EINVAL
};

inline std::atomic_ref<Word> at(Word &word) {
    return std::atomic_ref(word);
}

/// Sleeps while the word is `expected`; may return early. 0, ETIMEDOUT, ENOTRECOVERABLE (the node of its memory has
/// died), EAGAIN, EINVAL.
int wait_at(Word &word, Word expected, Deadline deadline = {});
/// Change the word first.
void wake_at(const Word *word, int count);

/// A lock in a word: 0 free, 1 held, 2 held and perhaps somebody waits. lock() returns what wait_at() does.
bool try_lock(Word &word);
int lock(Word &word, Deadline deadline = {});
void unlock(Word &word);

} // namespace norma::threads
