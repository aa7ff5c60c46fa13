// SPDX-License-Identifier: BSD-3-Clause
// A task on another node that has exported some memory and then does as it is told.
#pragma once

#include "tests/system/app.hpp"

#include <norma/region.h>

#include <csignal>
#include <thread>
#include <unistd.h>

namespace systest {

inline constexpr vm_prot_t kBoth = VM_PROT_READ | VM_PROT_WRITE;

struct OwnerState {
    std::atomic<int> ready;
    norma_key_t key;
    vm_size_t bytes;
    vm_prot_t access;
    vm_address_t address; // in the owner's node only, as long as it is wired
    std::atomic<int> turn;
    pid_t pid;
};

inline vm_address_t wired_memory(vm_size_t bytes, vm_prot_t access = kBoth) {
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(mach_task_self(), &address, bytes, TRUE));
    CHECK_KERN(KERN_SUCCESS, vm_wire(mach_host_self(), mach_task_self(), address, bytes, access));
    return address;
}

/// Exports `bytes` and then runs `then(state)` in the owner.
template <class Then>
norma::task start_owner(int node, OwnerState *state, vm_size_t bytes, vm_prot_t access, Then then) {
    state->bytes = bytes;
    state->access = access;
    state->turn = 0;
    state->ready = 0;
    auto task = spawn(node, [state, then] {
        state->pid = ::getpid();
        state->address = wired_memory(state->bytes, kBoth);
        CHECK_KERN(KERN_SUCCESS, norma_region_export(state->address, state->bytes, state->access, &state->key));
        state->ready = 1;
        then(state);
    });
    CHECK_SOON(state->ready >= 1);
    return task;
}

inline void wait_for_turn(OwnerState *state, int turn) {
    CHECK_SOON(state->turn >= turn);
}

inline norma_region_t import(const norma_key_t &key) {
    norma_region_t region = 0;
    CHECK_KERN(KERN_SUCCESS, norma_region_import(&key, &region, nullptr, nullptr));
    CHECK(region != 0);
    return region;
}

} // namespace systest
