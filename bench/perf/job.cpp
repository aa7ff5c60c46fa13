// SPDX-License-Identifier: BSD-3-Clause
#include "bench/perf/job.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace norma::bench {
namespace {

// Nothing that is measured takes this long; what does hangs.
constexpr int kPatienceMs = 600'000;
constexpr int kTurnPatienceMs = 30'000;

} // namespace

void check(kern_return_t code, const char *call) {
    if (code != KERN_SUCCESS) {
        throw std::runtime_error(fmt::format("{}: {} ({})", call, norma_strerror(code), code));
    }
}

Memory::Memory(std::size_t bytes) : size_((bytes + kPage - 1) / kPage * kPage) {
    check(vm_allocate(mach_task_self(), &address_, size_, TRUE), "vm_allocate");
}

Memory::~Memory() {
    vm_deallocate(mach_task_self(), address_, size_);
}

Semaphore::Semaphore() {
    check(norma_semaphore_create(0, &id_), "norma_semaphore_create");
}

Semaphore::~Semaphore() {
    norma_sync_destroy(id_);
}

void Semaphore::post(norma_sync_t id) {
    check(norma_semaphore_post(id), "norma_semaphore_post");
}

void Semaphore::wait(norma_sync_t id) {
    check(norma_semaphore_wait(id, kTurnPatienceMs), "norma_semaphore_wait");
}

Barrier::Barrier(unsigned participants) {
    check(norma_barrier_create(participants, &id_), "norma_barrier_create");
}

Barrier::~Barrier() {
    norma_sync_destroy(id_);
}

RemoteTask::RemoteTask(int node) {
    check(norma_task_clone(mach_task_self(), TRUE, node, &task_), "norma_task_clone");
}

RemoteTask::~RemoteTask() {
    task_terminate(task_);
    // Memory that it maps must not be reused before it is gone.
    int status = 0;
    norma_task_wait(task_, kTurnPatienceMs, &status);
}

void RemoteTask::start_thread(void (*entry)(void *), void *arguments) {
    *start_.data() = Start{arguments, {}};
    check(norma_thread_start(task_, entry, start_.data(), 0, &thread_), "norma_thread_start");
}

void RemoteTask::join() {
    const auto waited = norma_thread_wait(thread_, kPatienceMs);
    if (start_.data()->error[0] != '\0') {
        throw std::runtime_error(start_.data()->error);
    }
    check(waited, "norma_thread_wait");
}

void RemoteTask::teleport(int node) {
    task_t moved = TASK_NULL;
    check(norma_task_teleport(task_, TRUE, node, &moved), "norma_task_teleport");
    task_ = moved;
}

void RemoteTask::give_up(Start &start, const char *why) {
    std::strncpy(start.error, why, sizeof start.error - 1);
    norma_exit(1); // whoever waits for this task at a barrier is told
}

} // namespace norma::bench
