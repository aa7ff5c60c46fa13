// SPDX-License-Identifier: BSD-3-Clause
// Static variables of functions, which are made by whoever comes first. In a whole program that may be any task on any
// node, so whoever comes second cannot wait by a futex, as the C++ library would: it looks again from time to time.
// What the functions do is the C++ ABI's (Itanium, 3.3.3): the guard's first byte says that the variable is there.
#include "norma/mach.h"

#include <atomic>
#include <cstdint>
#include <ctime>

namespace {

constexpr std::uint32_t kMade = 1, kBeingMade = 0x100;

std::atomic_ref<std::uint32_t> word_of(std::int64_t *guard) {
    return std::atomic_ref(*reinterpret_cast<std::uint32_t *>(guard));
}

void wait_a_moment() {
    const timespec moment{.tv_sec = 0, .tv_nsec = 50'000};
    nanosleep(&moment, nullptr);
}

} // namespace

extern "C" {

NORMA_EXPORT int __cxa_guard_acquire(std::int64_t *guard) {
    for (;;) {
        std::uint32_t state = 0;
        if (word_of(guard).compare_exchange_strong(state, kBeingMade)) {
            return 1;
        }
        if ((state & kMade) != 0) {
            return 0;
        }
        wait_a_moment();
    }
}

NORMA_EXPORT void __cxa_guard_release(std::int64_t *guard) {
    word_of(guard).store(kMade);
}

NORMA_EXPORT void __cxa_guard_abort(std::int64_t *guard) {
    word_of(guard).store(0);
}
}
