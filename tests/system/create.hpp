// SPDX-License-Identifier: BSD-3-Clause
// What the cases about inheritance share.
#pragma once

#include "tests/system/app.hpp"

#include <new>

namespace systest {

inline constexpr std::size_t kPageBytes = 4096;

inline void set_inheritance(const void *memory, std::size_t bytes, vm_inherit_t inheritance) {
    CHECK_KERN(KERN_SUCCESS, vm_inherit(mach_task_self(), address_of(memory), bytes, inheritance));
}

/// A zero-filled T that tasks share, however they are made; there for as long as the task.
template <class T> T *truly_shared() {
    auto *const made = shared<T>();
    set_inheritance(made, sizeof(T), VM_INHERIT_SHARE);
    return made;
}

/// How a child is made.
struct Maker {
    enum class How : std::uint8_t { create, create_on, clone } how;
    int node;
    kern_return_t operator()(task_t parent, task_t *child) const {
        switch (how) {
        case How::create:
            return task_create(parent, nullptr, 0, TRUE, child);
        case How::create_on:
            return norma_task_create(parent, TRUE, node, child);
        default:
            return norma_task_clone(parent, TRUE, node, child);
        }
    }
};

/// Starts a thread of `child` that runs a callable, kept in memory the child shares, and then ends the child.
template <class F> void start_in(task_t child, F *callable) {
    thread_t thread = THREAD_NULL;
    const auto entry = [](void *place) {
        (*static_cast<F *>(place))();
        norma_exit(0);
    };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(child, entry, callable, 0, &thread));
}

/// Room in truly shared memory for a callable; what it captures must mean something in the child.
template <class F> F *place_for(F callable) {
    auto *const place = shared_bytes((sizeof(F) + kPageBytes - 1) / kPageBytes * kPageBytes);
    set_inheritance(place, sizeof(F), VM_INHERIT_SHARE);
    return ::new (place) F(callable);
}

/// A child of this task, which runs `callable` and then ends.
template <class F> task_t child_of_mine(const Maker &maker, F callable) {
    auto *const place = place_for(callable);
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, maker(mach_task_self(), &child));
    start_in(child, place);
    return child;
}

/// Allocates memory whose home is `node`: this task goes there for it, and back.
inline std::byte *bytes_of_node(int node, std::size_t bytes) {
    const int here = norma::this_node();
    task_t self = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(mach_task_self(), TRUE, node, &self));
    auto *const made = shared_bytes(bytes);
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(mach_task_self(), TRUE, here, &self));
    return made;
}

} // namespace systest
