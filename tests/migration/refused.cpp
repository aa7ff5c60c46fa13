// SPDX-License-Identifier: BSD-3-Clause
// What must not be moved: the reason is on standard error, and the task goes on where it is.
#include "tests/migration/moving.hpp"

#include <csignal>
#include <ctime>

namespace {

using namespace moving;

/// A child that has set something up stays, and then ends well.
template <class F> int stays(F set_up) {
    over = false;
    ready = 0;
    auto child = systest::spawn(0, [set_up] {
        set_up();
        be_moved();
        CHECK_EQ(0, norma::this_node());
    });
    CHECK_SOON(ready == 1);
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_migrate(child.port(), 1, 0));
    over = true;
    JOIN(child);
    return 0;
}

SYSTEM_CASE(timer_stays) {
    return stays([] {
        timer_t timer{};
        sigevent nothing{};
        nothing.sigev_notify = SIGEV_NONE;
        CHECK_EQ(0, timer_create(CLOCK_MONOTONIC, &nothing, &timer));
    });
}

SYSTEM_CASE(wired_memory_stays) {
    return stays([] {
        vm_address_t address = 0;
        CHECK_KERN(KERN_SUCCESS, vm_allocate(self(), &address, 4096, TRUE));
        CHECK_KERN(KERN_SUCCESS, vm_wire(mach_host_self(), self(), address, 4096, VM_PROT_DEFAULT));
    });
}

SYSTEM_CASE(file_as_memory_stays) {
    return stays([] {
        vm_size_t size = 0;
        memory_object_t object = MACH_PORT_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_object_open_file("/etc/hostname", VM_PROT_READ, &size, &object));
    });
}

SYSTEM_CASE(suspended_task_stays) {
    over = false;
    ready = 0;
    auto child = systest::spawn(0, be_moved);
    CHECK_SOON(ready == 1);
    CHECK_KERN(KERN_SUCCESS, task_suspend(child.port()));
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_migrate(child.port(), 1, 0));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_migrate(child.port(), norma::node_count(), 0));
    CHECK_KERN(KERN_SUCCESS, task_resume(child.port()));
    CHECK_KERN(KERN_SUCCESS, norma_task_migrate(child.port(), 0, 0)); // is there
    over = true;
    JOIN(child);
    return 0;
}

SYSTEM_CASE(suspended_thread_stays) {
    over = false;
    ready = 0;
    auto child = norma::clone_to(0);
    thread_act_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(
                                 child.port(), [](void *) { be_moved(); }, nullptr, 0, &thread));
    CHECK_SOON(ready == 1);
    CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_migrate(child.port(), 1, 0));
    CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
    over = true;
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
    CHECK_KERN(KERN_SUCCESS, task_terminate(child.release()));
    return 0;
}

} // namespace
