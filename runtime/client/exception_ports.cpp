// SPDX-License-Identifier: BSD-3-Clause
// <norma/mach_exception.h>: who is told of exceptions.
#include "norma/mach.h"
#include "runtime/client/channel.hpp"

#include <bit>
#include <cstring>

using norma::rt::call;
using norma::rt::ExceptionPort;
using norma::rt::kExceptionsOfThread;
using norma::rt::kSetsExceptions;
using norma::rt::kTellsExceptions;
using norma::rt::Op;

namespace {

struct Target {
    mach_port_t port;
    std::uint64_t kind; // 0 or kExceptionsOfThread
    exception_mask_t mask;
};

struct Setting {
    mach_port_t port;
    exception_behavior_t behavior;
    thread_state_flavor_t flavor;
};

// The caller's arrays.
struct Arrays {
    exception_mask_array_t masks;
    mach_msg_type_number_t *count;
    exception_port_array_t ports;
    exception_behavior_array_t behaviors;
    exception_flavor_array_t flavors;

    bool hold(exception_mask_t mask) const {
        return masks != nullptr && count != nullptr && ports != nullptr && behaviors != nullptr && flavors != nullptr &&
               *count >= static_cast<unsigned>(std::popcount(mask));
    }
    void fill(std::span<const std::byte> told) const {
        *count = static_cast<mach_msg_type_number_t>(told.size() / sizeof(ExceptionPort));
        for (mach_msg_type_number_t i = 0; i < *count; ++i) {
            ExceptionPort one;
            std::memcpy(&one, told.data() + i * sizeof one, sizeof one);
            masks[i] = one.mask;
            ports[i] = one.port;
            behaviors[i] = one.behavior;
            flavors[i] = static_cast<thread_state_flavor_t>(one.flavor);
        }
    }
};

kern_return_t change(const Target &of, std::uint64_t what, const Setting &to, const Arrays *arrays) {
    if (arrays != nullptr && !arrays->hold(of.mask)) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer =
        call(Op::exception_ports, MACH_PORT_NULL,
             {of.port, of.mask, what | of.kind, to.port, to.behavior, static_cast<natural_t>(to.flavor)});
    if (answer.status == KERN_SUCCESS && arrays != nullptr) {
        arrays->fill(answer.blob);
    }
    return answer.status;
}

kern_return_t set(const Target &of, const Setting &to) {
    return change(of, kSetsExceptions, to, nullptr);
}

kern_return_t get(const Target &of, const Arrays &arrays) {
    return change(of, kTellsExceptions, {}, &arrays);
}

kern_return_t swap(const Target &of, const Setting &to, const Arrays &arrays) {
    return change(of, kSetsExceptions | kTellsExceptions, to, &arrays);
}

} // namespace

extern "C" {

kern_return_t task_set_exception_ports(task_t task, exception_mask_t mask, mach_port_t port,
                                       exception_behavior_t behavior, thread_state_flavor_t flavor) noexcept {
    return set({task, 0, mask}, {port, behavior, flavor});
}

kern_return_t task_get_exception_ports(task_t task, exception_mask_t mask, exception_mask_array_t masks,
                                       mach_msg_type_number_t *count, exception_port_array_t ports,
                                       exception_behavior_array_t behaviors,
                                       exception_flavor_array_t flavors) noexcept {
    return get({task, 0, mask}, {masks, count, ports, behaviors, flavors});
}

kern_return_t task_swap_exception_ports(task_t task, exception_mask_t mask, mach_port_t port,
                                        exception_behavior_t behavior, thread_state_flavor_t flavor,
                                        exception_mask_array_t masks, mach_msg_type_number_t *count,
                                        exception_port_array_t ports, exception_behavior_array_t behaviors,
                                        exception_flavor_array_t flavors) noexcept {
    return swap({task, 0, mask}, {port, behavior, flavor}, {masks, count, ports, behaviors, flavors});
}

kern_return_t thread_set_exception_ports(thread_act_t thread, exception_mask_t mask, mach_port_t port,
                                         exception_behavior_t behavior, thread_state_flavor_t flavor) noexcept {
    return set({thread, kExceptionsOfThread, mask}, {port, behavior, flavor});
}

kern_return_t thread_get_exception_ports(thread_act_t thread, exception_mask_t mask, exception_mask_array_t masks,
                                         mach_msg_type_number_t *count, exception_port_array_t ports,
                                         exception_behavior_array_t behaviors,
                                         exception_flavor_array_t flavors) noexcept {
    return get({thread, kExceptionsOfThread, mask}, {masks, count, ports, behaviors, flavors});
}

kern_return_t thread_swap_exception_ports(thread_act_t thread, exception_mask_t mask, mach_port_t port,
                                          exception_behavior_t behavior, thread_state_flavor_t flavor,
                                          exception_mask_array_t masks, mach_msg_type_number_t *count,
                                          exception_port_array_t ports, exception_behavior_array_t behaviors,
                                          exception_flavor_array_t flavors) noexcept {
    return swap({thread, kExceptionsOfThread, mask}, {port, behavior, flavor},
                {masks, count, ports, behaviors, flavors});
}
}
