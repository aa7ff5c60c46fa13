// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/pthread/words.hpp"

#include <norma/norma.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace norma::threads {

namespace {

constexpr long kBillion = 1'000'000'000;

// Rounded up, so that a wait does not end early; 0 when it is over, -1: no deadline.
int milliseconds_left(Deadline deadline) {
    if (deadline.time == nullptr) {
        return -1;
    }
    timespec now{};
    clock_gettime(deadline.clock, &now);
    const std::int64_t seconds = std::clamp<std::int64_t>(deadline.time->tv_sec - now.tv_sec, -2, INT_MAX / 1000 - 2);
    const std::int64_t nanoseconds = seconds * kBillion + deadline.time->tv_nsec - now.tv_nsec;
    return nanoseconds <= 0 ? 0 : static_cast<int>((nanoseconds + 999'999) / 1'000'000);
}

int wait_here(const Word &word, Word expected, int timeout_ms) {
    const timespec time{.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1'000'000L};
    const auto status = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, timeout_ms < 0 ? nullptr : &time);
    return status != 0 && errno == ETIMEDOUT ? ETIMEDOUT : 0;
}

int wait_anywhere(const Word &word, Word expected, int timeout_ms) {
    switch (norma_in_job() != 0 ? norma_wait(&word, expected, timeout_ms) : KERN_INVALID_ADDRESS) {
    case KERN_SUCCESS:
    case KERN_INVALID_VALUE: // it has changed
    case KERN_ABORTED:
        return 0;
    case KERN_OPERATION_TIMED_OUT:
        return ETIMEDOUT;
    case KERN_INVALID_ADDRESS:
        return wait_here(word, expected, timeout_ms);
    case KERN_NODE_DOWN:
        return ENOTRECOVERABLE;
    case KERN_RESOURCE_SHORTAGE:
        return EAGAIN;
    default:
        return EINVAL;
    }
}

} // namespace

bool Deadline::is_valid() const {
    return time == nullptr || (time->tv_nsec >= 0 && time->tv_nsec < kBillion);
}

int wait_at(Word &word, Word expected, Deadline deadline) {
    const int left = milliseconds_left(deadline);
    if (left == 0) {
        return ETIMEDOUT;
    }
    const int error = wait_anywhere(word, expected, left);
    // A deadline that is weeks away is waited for in parts.
    return error == ETIMEDOUT && milliseconds_left(deadline) > 0 ? 0 : error;
}

void wake_at(const Word *word, int count) {
    if (norma_in_job() == 0 || norma_wake(word, count) == KERN_INVALID_ADDRESS) {
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count);
    }
}

bool try_lock(Word &word) {
    Word free = 0;
    return at(word).compare_exchange_strong(free, 1);
}

int lock(Word &word, Deadline deadline) {
    if (try_lock(word)) {
        return 0;
    }
    while (at(word).exchange(2) != 0) {
        if (const int error = wait_at(word, 2, deadline); error != 0) {
            return error;
        }
    }
    return 0;
}

void unlock(Word &word) {
    const Word *where = &word; // whoever gets the lock now may free it
    if (at(word).exchange(0) == 2) {
        wake_at(where, 1);
    }
}

} // namespace norma::threads
