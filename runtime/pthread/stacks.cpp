// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/pthread/thread.hpp"

#include <cstddef>
#include <cstdlib>
#include <ucontext.h>

namespace norma::threads {

namespace {

constexpr std::size_t kPage = 4096;

thread_local ucontext_t below; // where the thread goes on when it leaves its stack
thread_local bool on_stack;
thread_local void (*body_of_stack)();

void bottom() {
    body_of_stack();
    leave_shared_stack();
}

// A page below the stack, so that one that overflows does not write into the heap. In this task, which uses the stack.
void protect(std::byte *page, vm_prot_t protection) {
    vm_protect(mach_task_self(), reinterpret_cast<vm_address_t>(page), kPage, FALSE, protection);
}

} // namespace

bool run_on_shared_stack(std::size_t bytes, void (*body)()) {
    const std::size_t size = (bytes + kPage - 1) / kPage * kPage + kPage;
    auto *memory = static_cast<std::byte *>(std::aligned_alloc(kPage, size));
    if (memory == nullptr) {
        return false;
    }
    protect(memory, VM_PROT_NONE);
    ucontext_t above;
    getcontext(&above);
    above.uc_stack.ss_sp = memory + kPage;
    above.uc_stack.ss_size = size - kPage;
    above.uc_link = nullptr;
    makecontext(&above, bottom, 0);
    body_of_stack = body;
    on_stack = true;
    swapcontext(&below, &above);
    protect(memory, VM_PROT_READ | VM_PROT_WRITE);
    std::free(memory);
    return true;
}

void leave_shared_stack() {
    if (on_stack) {
        on_stack = false;
        setcontext(&below);
    }
}

} // namespace norma::threads
