// SPDX-License-Identifier: BSD-3-Clause
// What the cases about exceptions share: threads that do what they may not do, and who hears of it.
#pragma once

#include "tests/system/ports.hpp"

#include <csignal>

namespace systest {

/// Where a thread is to fault, and how far it has come. In coherent memory.
struct Victim {
    int signal;
    vm_address_t address; // SIGSEGV, SIGBUS: of the byte it writes
    std::atomic<long> ready, survived;
};

/// Sets Victim::ready, faults, and if it goes on sets Victim::survived. The address of a bad access is in rax, so who
/// changes that makes it another.
void fault(void *victim);

/// Has exceptions told to `port`, of all kinds.
inline void tell(task_t task, mach_port_t port, exception_behavior_t behavior = EXCEPTION_DEFAULT,
                 thread_state_flavor_t flavor = x86_THREAD_STATE64) {
    CHECK_KERN(KERN_SUCCESS, task_set_exception_ports(task, EXC_MASK_ALL, port, behavior, flavor));
}
inline void tell_of_thread(thread_t thread, mach_port_t port, exception_behavior_t behavior = EXCEPTION_DEFAULT) {
    CHECK_KERN(KERN_SUCCESS, thread_set_exception_ports(thread, EXC_MASK_ALL, port, behavior, x86_THREAD_STATE64));
}

/// The exception that comes next to a port with EXCEPTION_DEFAULT.
inline norma_exception_raise_t raised(mach_port_t port) {
    norma_exception_raise_t told{};
    CHECK_KERN(MACH_MSG_SUCCESS,
               mach_msg(&told.Head, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof told, port, 20'000, MACH_PORT_NULL));
    CHECK_EQ(MACH_EXCEPTION_RAISE_ID, told.Head.msgh_id);
    CHECK_EQ(2U, told.msgh_body.msgh_descriptor_count);
    CHECK_EQ(2U, told.codeCnt);
    return told;
}

template <class Reply> void make_reply(const mach_msg_header_t &to, Reply &reply, kern_return_t status) {
    reply.Head.msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(to.msgh_bits), 0);
    reply.Head.msgh_remote_port = to.msgh_remote_port;
    reply.Head.msgh_id = to.msgh_id + MACH_EXCEPTION_REPLY_OFFSET;
    reply.RetCode = status;
}

inline void answer(const mach_msg_header_t &to, kern_return_t status) {
    norma_exception_reply_t reply{};
    make_reply(to, reply, status);
    CHECK_KERN(MACH_MSG_SUCCESS,
               mach_msg(&reply.Head, MACH_SEND_MSG, sizeof reply, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
}

inline x86_thread_state64_t state_of(thread_t thread) {
    x86_thread_state64_t state{};
    auto count = x86_THREAD_STATE64_COUNT;
    CHECK_KERN(KERN_SUCCESS,
               thread_get_state(thread, x86_THREAD_STATE64, reinterpret_cast<thread_state_t>(&state), &count));
    return state;
}

inline void set_state(thread_t thread, x86_thread_state64_t state) {
    CHECK_KERN(KERN_SUCCESS, thread_set_state(thread, x86_THREAD_STATE64, reinterpret_cast<thread_state_t>(&state),
                                              x86_THREAD_STATE64_COUNT));
}

} // namespace systest
