// SPDX-License-Identifier: BSD-3-Clause
// <norma/mach.h> and <norma/norma.h>: tasks and threads.
#include "norma/norma.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/migration.hpp"
#include "runtime/client/threads.hpp"
#include "runtime/client/vm.hpp"

#include <cstdlib>
#include <cstring>

using norma::rt::call;
using norma::rt::call_waiting;
using norma::rt::job;
using norma::rt::Op;
using norma::rt::port_call;

namespace {

std::uint64_t address_of(void (*entry)(void *)) {
    return reinterpret_cast<std::uint64_t>(entry);
}
std::uint64_t address_of(void *argument) {
    return reinterpret_cast<std::uint64_t>(argument);
}

std::uint64_t timeout_argument(int timeout_ms) {
    return static_cast<std::uint64_t>(std::int64_t{timeout_ms});
}

} // namespace

extern "C" {

task_t norma_mach_task_self(void) noexcept {
    return job.active ? norma::rt::kNameTaskSelf : TASK_NULL;
}
host_t mach_host_self(void) noexcept {
    return job.active ? norma::rt::kNameHost : MACH_PORT_NULL;
}

thread_t mach_thread_self(void) noexcept {
    thread_t self = THREAD_NULL;
    port_call(Op::thread_self, MACH_PORT_NULL, {}, &self);
    return self;
}

kern_return_t norma_node_self(host_t host, int *node) noexcept {
    if (node == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    if (!job.active || host != norma::rt::kNameHost) {
        return job.active ? KERN_INVALID_HOST : KERN_FAILURE;
    }
    *node = job.node;
    return KERN_SUCCESS;
}

kern_return_t norma_port_location_hint(task_t task, mach_port_t port, int *node) noexcept {
    if (node == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    if (task != mach_task_self()) {
        return KERN_INVALID_TASK;
    }
    const auto answer = call(Op::port_location, port);
    if (answer.status == KERN_SUCCESS) {
        *node = static_cast<int>(answer.vals[0]);
    }
    return answer.status;
}

kern_return_t norma_task_create(task_t parent, boolean_t inherit, int node, task_t *child) noexcept {
    return port_call(Op::task_create_on, parent, {inherit ? 1U : 0U, static_cast<std::uint64_t>(node)}, child);
}

kern_return_t norma_task_clone(task_t parent, boolean_t inherit, int node, task_t *child) noexcept {
    return port_call(Op::task_clone, parent, {inherit ? 1U : 0U, static_cast<std::uint64_t>(node)}, child);
}

kern_return_t task_terminate(task_t task) noexcept {
    return call(Op::task_terminate, task).status;
}
kern_return_t task_suspend(task_t task) noexcept {
    return call(Op::task_suspend, task).status;
}
kern_return_t task_resume(task_t task) noexcept {
    return call(Op::task_resume, task).status;
}

kern_return_t task_threads(task_t task, thread_act_array_t *threads, mach_msg_type_number_t *count) noexcept {
    if (threads == nullptr || count == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = call(Op::task_threads, task);
    if (answer.status != KERN_SUCCESS) {
        return answer.status;
    }
    const auto bytes = answer.blob.size();
    std::vector<std::byte> names(answer.blob.begin(), answer.blob.end()); // the next call overwrites the answer
    vm_address_t list = 0;
    const auto status = norma::rt::allocate(mach_task_self(), list, bytes, true);
    if (status != KERN_SUCCESS) {
        return status;
    }
    if (bytes > 0) {
        std::memcpy(reinterpret_cast<void *>(list), names.data(), bytes);
    }
    *threads = reinterpret_cast<thread_act_array_t>(list);
    *count = static_cast<mach_msg_type_number_t>(bytes / sizeof(thread_act_t));
    return KERN_SUCCESS;
}

kern_return_t norma_task_wait(task_t task, int timeout_ms, int *status) noexcept {
    const auto answer = call_waiting(Op::task_wait, task, {timeout_argument(timeout_ms)}, 0);
    if (answer.status == KERN_SUCCESS && status != nullptr) {
        *status = static_cast<int>(answer.vals[0]);
    }
    return answer.status;
}

kern_return_t thread_create(task_t task, thread_act_t *child) noexcept {
    return port_call(Op::thread_create, task, {}, child);
}

kern_return_t norma_thread_start(task_t task, void (*entry)(void *), void *argument, vm_size_t stack_size,
                                 thread_act_t *thread) noexcept {
    return port_call(Op::thread_start, task, {address_of(entry), address_of(argument), stack_size}, thread);
}

kern_return_t thread_suspend(thread_act_t thread) noexcept {
    return call(Op::thread_suspend, thread).status;
}
kern_return_t thread_resume(thread_act_t thread) noexcept {
    return call(Op::thread_resume, thread).status;
}

kern_return_t thread_terminate(thread_act_t thread) noexcept {
    if (job.active && thread == mach_thread_self()) {
        norma::rt::end_this_thread();
    }
    return call(Op::thread_terminate, thread).status;
}

kern_return_t norma_thread_wait(thread_act_t thread, int timeout_ms) noexcept {
    return call_waiting(Op::thread_wait, thread, {timeout_argument(timeout_ms)}, 0).status;
}

void norma_exit(int code) {
    std::exit(code);
}
}
