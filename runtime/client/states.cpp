// SPDX-License-Identifier: BSD-3-Clause
// <norma/mach.h>: what tasks and threads are asked about and told.
#include "norma/mach.h"
#include "runtime/client/channel.hpp"

#include <algorithm>
#include <array>
#include <cstring>

using norma::rt::call;
using norma::rt::Op;

namespace {

constexpr mach_msg_type_number_t kLargest = x86_FLOAT_STATE64_COUNT; // of everything that is set

// A call that answers with a structure of a flavor: told only if there is room for all of it.
kern_return_t ask(Op op, mach_port_t target, std::uint64_t flavor, void *out, mach_msg_type_number_t *count) {
    if (out == nullptr || count == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = call(op, target, {flavor});
    if (answer.status != KERN_SUCCESS) {
        return answer.status;
    }
    const auto told = static_cast<mach_msg_type_number_t>(answer.blob.size() / sizeof(int));
    if (told > *count) {
        return KERN_INVALID_ARGUMENT;
    }
    std::memcpy(out, answer.blob.data(), answer.blob.size());
    *count = told;
    return KERN_SUCCESS;
}

} // namespace

extern "C" {

kern_return_t thread_get_state(thread_act_t thread, thread_state_flavor_t flavor, thread_state_t state,
                               mach_msg_type_number_t *count) noexcept {
    return ask(Op::thread_get_state, thread, static_cast<std::uint64_t>(flavor), state, count);
}

kern_return_t thread_set_state(thread_act_t thread, thread_state_flavor_t flavor, thread_state_t state,
                               mach_msg_type_number_t count) noexcept {
    if (state == nullptr || count > kLargest) {
        return KERN_INVALID_ARGUMENT;
    }
    static thread_local std::array<natural_t, kLargest> copy; // the state itself may be coherent memory
    std::copy_n(state, count, copy.begin());
    return call(Op::thread_set_state, thread, {static_cast<std::uint64_t>(flavor)},
                std::as_bytes(std::span(copy).first(count)))
        .status;
}

kern_return_t task_info(task_t task, task_flavor_t flavor, task_info_t info, mach_msg_type_number_t *count) noexcept {
    return ask(Op::task_info, task, flavor, info, count);
}

kern_return_t thread_info(thread_act_t thread, thread_flavor_t flavor, thread_info_t info,
                          mach_msg_type_number_t *count) noexcept {
    return ask(Op::thread_info, thread, flavor, info, count);
}

kern_return_t task_set_child_node(task_t task, int child_node) noexcept {
    return call(Op::task_set_child_node, task, {static_cast<std::uint64_t>(std::int64_t{child_node})}).status;
}

kern_return_t thread_abort(thread_act_t thread) noexcept {
    return call(Op::thread_abort, thread).status;
}

kern_return_t thread_create_running(task_t task, thread_state_flavor_t flavor, thread_state_t state,
                                    mach_msg_type_number_t count, thread_act_t *child) noexcept {
    thread_act_t made = THREAD_NULL;
    if (child == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    if (const auto status = thread_create(task, &made); status != KERN_SUCCESS) {
        return status;
    }
    auto status = thread_set_state(made, flavor, state, count);
    if (status == KERN_SUCCESS) {
        status = thread_resume(made);
    }
    if (status != KERN_SUCCESS) {
        thread_terminate(made);
        return status;
    }
    *child = made;
    return KERN_SUCCESS;
}
}
