// SPDX-License-Identifier: BSD-3-Clause
#include "tests/system/puppet.hpp"

#include <algorithm>
#include <csetjmp>
#include <csignal>

namespace systest {

namespace {

constexpr vm_size_t kStack = 64 * 1024;
constexpr int kPatience = 20'000; // ms

thread_local sigjmp_buf *way_out = nullptr;

void on_fault(int signal) {
    if (way_out != nullptr) {
        siglongjmp(*way_out, 1);
    }
    ::signal(signal, SIG_DFL); // nobody expects it: the access is made again, and ends the task
}

void serve(void *raw) {
    auto &seat = *static_cast<Seat *>(raw);
    catch_faults();
    for (;;) {
        CHECK_KERN(KERN_SUCCESS, norma_semaphore_wait(seat.go, -1));
        for (std::size_t i = 0; i < seat.count; ++i) {
            do_access(seat.accesses.at(i));
        }
        CHECK_KERN(KERN_SUCCESS, norma_semaphore_post(seat.done));
    }
}

} // namespace

void catch_faults() {
    struct sigaction action {};
    action.sa_handler = on_fault;
    action.sa_flags = SA_NODEFER; // as it is left by a jump
    CHECK_EQ(0, ::sigaction(SIGSEGV, &action, nullptr));
}

void do_access(Access &access) {
    sigjmp_buf here;
    auto *const word = reinterpret_cast<volatile std::uint64_t *>(access.address);
    access.fault = false;
    way_out = &here;
    if (sigsetjmp(here, 0) != 0) {
        access.fault = true;
    } else if (access.write) {
        *word = access.value;
    } else {
        access.value = *word;
    }
    way_out = nullptr;
}

Stage::Stage(std::size_t seats) : memory_(shared_bytes(seats * kPageBytes)) {
    set_inheritance(memory_, seats * kPageBytes, VM_INHERIT_SHARE);
    for (std::size_t i = 0; i < seats; ++i) {
        CHECK_KERN(KERN_SUCCESS, norma_semaphore_create(0, &seat(i).go));
        CHECK_KERN(KERN_SUCCESS, norma_semaphore_create(0, &seat(i).done));
    }
}

void put_into(task_t task, Seat &seat) {
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, serve, &seat, kStack, &thread));
}

void begin(Seat &seat, std::span<const Access> orders) {
    CHECK(orders.size() <= Seat::kMost);
    seat.count = orders.size();
    std::copy(orders.begin(), orders.end(), seat.accesses.begin());
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_post(seat.go));
}

bool finished(Seat &seat) {
    return norma_semaphore_wait(seat.done, kPatience) == KERN_SUCCESS;
}

} // namespace systest
