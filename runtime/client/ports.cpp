// SPDX-License-Identifier: BSD-3-Clause
// <norma/mach_port.h>: ports and messages.
#include "norma/mach.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/migration.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

using norma::rt::call;
using norma::rt::Op;
using norma::rt::WaitingCall;

namespace {

// A message may lie in coherent memory, which a system call cannot be given. Of each thread its own, from its first
// message on.
struct Buffer {
    std::unique_ptr<std::byte[]> bytes;
};
thread_local Buffer buffer;

constexpr mach_msg_option_t kTrailer = MACH_RCV_TRAILER_ELEMENTS(0xf); // the elements, of format 0

std::uint64_t timeout_of(mach_msg_option_t option, mach_msg_option_t flag, mach_msg_timeout_t timeout) {
    return (option & flag) != 0 ? timeout : ~std::uint64_t{0};
}

// Not inlined: begun again, the thread may be in another process.
[[gnu::noinline]] mach_msg_return_t send(const mach_msg_header_t *msg, mach_msg_size_t size, std::uint64_t timeout) {
    if (size < sizeof *msg || size > NORMA_MSG_BYTES_MAX) {
        return size < sizeof *msg ? MACH_SEND_MSG_TOO_SMALL : MACH_SEND_TOO_LARGE;
    }
    if (buffer.bytes == nullptr) {
        buffer.bytes.reset(new (std::nothrow) std::byte[NORMA_MSG_BYTES_MAX]);
        if (buffer.bytes == nullptr) {
            return MACH_SEND_NO_BUFFER;
        }
    }
    std::memcpy(buffer.bytes.get(), msg, size);
    return call(Op::msg_send, MACH_PORT_NULL, {timeout}, std::span(buffer.bytes.get(), size)).status;
}

[[gnu::noinline]] mach_msg_return_t receive(mach_msg_header_t *msg, mach_msg_option_t option, mach_msg_size_t room,
                                            mach_port_t name, std::uint64_t timeout) {
    const bool keep_large = (option & MACH_RCV_LARGE) != 0;
    const bool sender = (option & kTrailer) == MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_SENDER);
    const auto answer =
        call(Op::msg_receive, MACH_PORT_NULL, {timeout, name, room, keep_large ? 1U : 0U, sender ? 1U : 0U});
    if (answer.status == MACH_MSG_SUCCESS || answer.status == MACH_RCV_BODY_ERROR) {
        std::memcpy(msg, answer.blob.data(), std::min<std::size_t>(answer.blob.size(), room));
    } else if (answer.status == MACH_RCV_TOO_LARGE && keep_large && room >= sizeof *msg) {
        msg->msgh_size = static_cast<mach_msg_size_t>(answer.vals[1]);
    }
    return answer.status;
}

template <class Attempt> mach_msg_return_t attempt(std::uint64_t timeout, Attempt attempt_once) {
    WaitingCall waiting(timeout);
    mach_msg_return_t status = MACH_MSG_SUCCESS;
    do {
        status = attempt_once(waiting.timeout());
    } while (waiting.again(status));
    return status;
}

// A call whose one result is a number.
template <class T> kern_return_t number_call(Op op, task_t task, std::uint64_t first, std::uint64_t second, T *result) {
    if (result == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = call(op, task, {first, second});
    if (answer.status == KERN_SUCCESS) {
        *result = static_cast<T>(answer.vals[0]);
    }
    return answer.status;
}

} // namespace

extern "C" {

mach_msg_return_t mach_msg(mach_msg_header_t *msg, mach_msg_option_t option, mach_msg_size_t send_size,
                           mach_msg_size_t rcv_size, mach_port_t rcv_name, mach_msg_timeout_t timeout,
                           mach_port_t) noexcept {
    constexpr auto kKnown = MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_LARGE | MACH_SEND_TIMEOUT | MACH_RCV_TIMEOUT |
                            MACH_SEND_INTERRUPT | MACH_RCV_INTERRUPT;
    const auto trailer = option & kTrailer;
    if (msg == nullptr || (option & ~(kKnown | kTrailer)) != 0 ||
        (trailer != MACH_RCV_TRAILER_NULL && trailer != MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_SENDER))) {
        return MACH_SEND_INVALID_DATA;
    }
    if ((option & MACH_SEND_MSG) != 0) {
        const auto status = attempt(timeout_of(option, MACH_SEND_TIMEOUT, timeout),
                                    [&](std::uint64_t left) { return send(msg, send_size, left); });
        if (status != MACH_MSG_SUCCESS) {
            return status;
        }
    }
    if ((option & MACH_RCV_MSG) == 0) {
        return MACH_MSG_SUCCESS;
    }
    return attempt(timeout_of(option, MACH_RCV_TIMEOUT, timeout),
                   [&](std::uint64_t left) { return receive(msg, option, rcv_size, rcv_name, left); });
}

kern_return_t mach_port_allocate(task_t task, mach_port_right_t right, mach_port_t *name) noexcept {
    return number_call(Op::port_allocate, task, right, MACH_PORT_NULL, name);
}

kern_return_t mach_port_allocate_name(task_t task, mach_port_right_t right, mach_port_t name) noexcept {
    return MACH_PORT_VALID(name) ? number_call(Op::port_allocate, task, right, name, &name) : KERN_INVALID_VALUE;
}

kern_return_t mach_port_deallocate(task_t task, mach_port_t name) noexcept {
    return call(Op::port_deallocate, task, {name}).status;
}

kern_return_t mach_port_destroy(task_t task, mach_port_t name) noexcept {
    return call(Op::port_remove, task, {name}).status;
}

kern_return_t mach_port_get_refs(task_t task, mach_port_t name, mach_port_right_t right,
                                 mach_port_urefs_t *refs) noexcept {
    return number_call(Op::port_get_refs, task, name, right, refs);
}

kern_return_t mach_port_mod_refs(task_t task, mach_port_t name, mach_port_right_t right,
                                 mach_port_delta_t delta) noexcept {
    return call(Op::port_mod_refs, task, {name, right, static_cast<std::uint32_t>(delta)}).status;
}

kern_return_t mach_port_type(task_t task, mach_port_t name, mach_port_type_t *type) noexcept {
    return number_call(Op::port_type, task, name, 0, type);
}

kern_return_t mach_port_insert_right(task_t task, mach_port_t name, mach_port_t poly,
                                     mach_msg_type_name_t disposition) noexcept {
    return call(Op::port_insert, MACH_PORT_NULL, {task, name, poly, disposition}).status;
}

kern_return_t mach_port_extract_right(task_t task, mach_port_t name, mach_msg_type_name_t disposition,
                                      mach_port_t *poly, mach_msg_type_name_t *type) noexcept {
    if (poly == nullptr || type == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = call(Op::port_extract, MACH_PORT_NULL, {task, name, disposition});
    if (answer.status == KERN_SUCCESS) {
        *poly = static_cast<mach_port_t>(answer.vals[0]);
        *type = static_cast<mach_msg_type_name_t>(answer.vals[1]);
    }
    return answer.status;
}

kern_return_t mach_port_request_notification(task_t task, mach_port_t name, mach_msg_id_t kind,
                                             mach_port_mscount_t sync, mach_port_t notify,
                                             mach_msg_type_name_t disposition, mach_port_t *previous) noexcept {
    if (task != mach_task_self()) {
        return KERN_INVALID_TASK;
    }
    if (previous == nullptr || disposition != MACH_MSG_TYPE_MAKE_SEND_ONCE) {
        return previous == nullptr ? KERN_INVALID_ARGUMENT : KERN_INVALID_VALUE;
    }
    const auto answer = call(Op::port_ask, MACH_PORT_NULL, {name, static_cast<std::uint32_t>(kind), sync, notify});
    if (answer.status == KERN_SUCCESS) {
        *previous = MACH_PORT_NULL;
    }
    return answer.status;
}
}
