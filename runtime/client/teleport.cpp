// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/teleport.hpp"

#include "norma/norma.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/stops.hpp"
#include "runtime/client/threads.hpp"

#include <cstdio>
#include <ucontext.h>

namespace norma::rt {

namespace {

// Lives in the frame of teleport_self() on the coherent stack, so it is there for the new process to read.
struct Saved {
    ucontext_t context;
    volatile bool moved; // set by the new process before it goes on
};

// getcontext() returns twice: in the old process at once, in the new one when the thread goes on there. The old process
// never returns from call() if the teleport succeeds, because it is gone by then.
[[gnu::noinline]] kern_return_t teleport_self(bool inherit, int node, task_t *child) {
    Saved saved;
    saved.moved = false;
    std::fflush(nullptr); // what the C library has buffered is the old process's own
    getcontext(&saved.context);
    if (saved.moved) {
        stop_point();
        *child = kNameTaskSelf;
        return KERN_SUCCESS;
    }
    const auto answer = call(
        Op::task_teleport, kNameTaskSelf,
        {inherit ? 1U : 0U, static_cast<std::uint64_t>(node), reinterpret_cast<std::uint64_t>(&saved), stack_canary()});
    if (answer.status == KERN_SUCCESS) { // to the node one is on: nothing has moved
        *child = static_cast<task_t>(answer.vals[0]);
    }
    return answer.status;
}

} // namespace

void continue_here(std::uint64_t context) {
    auto *saved = reinterpret_cast<Saved *>(context);
    saved->moved = true;
    setcontext(&saved->context);
}

} // namespace norma::rt

extern "C" kern_return_t norma_task_teleport(task_t parent, boolean_t inherit, int node, task_t *child) noexcept {
    using namespace norma::rt;
    if (child == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    if (parent == kNameTaskSelf && node != job.node) {
        // Without its memory there would be no stack for the thread to go on with.
        return on_coherent_stack() && inherit ? teleport_self(true, node, child) : KERN_NOT_SUPPORTED;
    }
    const auto answer = call(Op::task_teleport, parent, {inherit ? 1U : 0U, static_cast<std::uint64_t>(node), 0, 0});
    if (answer.status == KERN_SUCCESS) {
        *child = static_cast<task_t>(answer.vals[0]);
    }
    return answer.status;
}
