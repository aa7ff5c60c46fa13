// SPDX-License-Identifier: BSD-3-Clause
// What a job and the processes that attach themselves to it share, by its name.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#include <norma/norma.h>

namespace attachtest {

constexpr std::size_t kPlaces = 64, kWords = 512; // a page each

struct Board {
    std::atomic<std::uint64_t> open;         // set when the rest is
    std::atomic<std::uint64_t> guests, stop; // by those who have come; by who has the job end
    norma_sync_t mutex, never;               // never: a semaphore that nobody posts
    std::uint64_t guarded;                   // by the mutex
    alignas(4096) std::array<std::array<std::atomic<std::uint64_t>, kWords>, kPlaces> places;
};
constexpr const char *kName = "attach board";

[[noreturn]] inline void fail(int line, const char *what, long got) {
    std::fprintf(stderr, "line %d: %s: %ld\n", line, what, got);
    std::_Exit(1);
}

} // namespace attachtest

#define CHECK(condition) ((condition) ? (void)0 : attachtest::fail(__LINE__, #condition, 0))
#define CHECK_KERN(expected, call)                                                                                     \
    do {                                                                                                               \
        const kern_return_t got_ = (call);                                                                             \
        if (got_ != (expected)) {                                                                                      \
            attachtest::fail(__LINE__, #call, got_);                                                                   \
        }                                                                                                              \
    } while (false)

namespace attachtest {

inline Board *open_board(bool make) {
    vm_size_t size = make ? sizeof(Board) : 0;
    memory_object_t object = MACH_PORT_NULL;
    kern_return_t status = norma_object_open(kName, &size, &object);
    while (status == KERN_INVALID_VALUE) { // it is not there yet
        ::usleep(10'000);
        status = norma_object_open(kName, &size, &object);
    }
    CHECK_KERN(KERN_SUCCESS, status);
    CHECK(size == sizeof(Board));
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_map(mach_task_self(), &address, size, 0, TRUE, object, 0, FALSE, VM_PROT_DEFAULT,
                                    VM_PROT_DEFAULT, VM_INHERIT_SHARE));
    auto *board = reinterpret_cast<Board *>(address);
    while (!make && board->open == 0) {
        ::usleep(10'000);
    }
    return board;
}

inline mach_port_t bootstrap() {
    mach_port_t port = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, task_get_bootstrap_port(mach_task_self(), &port));
    return port;
}

} // namespace attachtest
