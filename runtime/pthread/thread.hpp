// SPDX-License-Identifier: BSD-3-Clause
// A thread of <norma/pthread.h>, as all nodes see it.
#pragma once

#include "runtime/pthread/words.hpp"

#include <norma/pthread.h>

namespace norma::threads {

/// A pthread_t points to one. In a page of its own that the thread writes to only when it ends, so that those who wait
/// for it can look at it when its node has died.
struct alignas(4096) Thread {
    static constexpr Word kEnded = 1, kDetached = 2, kClaimed = 4; // claimed: somebody joins it
    Word state = 0;
    int node = 0;
    void *(*start)(void *) = nullptr;
    void *argument = nullptr;
    std::size_t stack_size = 0;
    void *result = nullptr;
};

inline pthread_t name_of(Thread *thread) {
    return reinterpret_cast<pthread_t>(thread);
}
inline Thread &thread_of(pthread_t name) {
    return *reinterpret_cast<Thread *>(name);
}

/// Null: no memory.
Thread *make_thread(int node);
void free_thread(Thread *thread);

/// The calling thread. One that norma has not made is taken in when it asks: the program's first, mostly.
Thread &self();

/// Whether a node has died.
bool is_down(int node);

/// The end of a thread, for norma_pthread_exit: cleanup handlers, then its keys.
void run_handlers();
void run_destructors();

/// In a job: starts `entry` with `thread` on `node`, or where NORMA_NODE_NEXT or NORMA_NODE_LEAST_LOADED says. The rest
/// as norma_pthread_create_on.
int start_somewhere(int node, Thread *thread, void (*entry)(void *));

/// Runs `body` on a stack in the heap, which the threads of all tasks can reach: memory that a task gets after it was
/// cloned, as the stacks of norma's threads, is its own. Returns when leave_shared_stack() was called, or with false if
/// there is no memory.
bool run_on_shared_stack(std::size_t bytes, void (*body)());
/// From any depth. Returns if the caller is not on such a stack.
void leave_shared_stack();

/// Waits until no other thread of the program is left on any node.
void wait_for_all();

/// What the C library has under a name, whatever the program's linker was told about it.
void *in_c_library(const char *name);
template <class Function> Function *in_c_library(Function * /*like*/, const char *name) {
    return reinterpret_cast<Function *>(in_c_library(name));
}

} // namespace norma::threads

// The C library's function of this name, where <norma/pthread.h> has given the name to norma's.
#define NORMA_C_LIBRARY(name) norma::threads::in_c_library(norma_##name, #name)
