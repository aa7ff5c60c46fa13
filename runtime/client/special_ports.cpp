// SPDX-License-Identifier: BSD-3-Clause
// <norma/mach_port.h>: special and registered ports, and the name servers; <norma/mach_sample.h>.
#include "norma/mach.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/vm.hpp"
#include "runtime/names.hpp"

#include <array>
#include <cstring>

using norma::rt::Answer;
using norma::rt::call;
using norma::rt::job;
using norma::rt::kSlotRegistered;
using norma::rt::Op;

namespace {

// What a name server knows a right by, copied out of coherent memory, which a system call cannot be given.
struct ServiceName {
    std::array<char, BOOTSTRAP_MAX_NAME_LEN> text;
    std::size_t size = 0;
};
thread_local ServiceName service;

bool set_service(const char *name) {
    service.size = name == nullptr ? 0 : strnlen(name, service.text.size());
    if (service.size == 0 || service.size == service.text.size()) {
        return false;
    }
    std::memcpy(service.text.data(), name, service.size);
    return true;
}

// The name that is kept for a node's special port: no string can be it.
bool set_special(int which) {
    service.text[0] = 0;
    service.text[1] = static_cast<char>(which);
    service.size = 2;
    return which > 0 && which <= NORMA_MAX_SPECIAL_PORT;
}

Answer ask(Op op, const std::array<std::uint64_t, norma::rt::kOpArgs> &args) {
    return call(op, MACH_PORT_NULL, args, std::as_bytes(std::span(service.text).first(service.size)));
}

kern_return_t port_of(const Answer &answer, mach_port_t *port) {
    if (answer.status == KERN_SUCCESS) {
        *port = static_cast<mach_port_t>(answer.vals[0]);
    }
    return answer.status;
}

} // namespace

extern "C" {

kern_return_t task_get_special_port(task_t task, int which, mach_port_t *port) noexcept {
    if (port == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    if (which == TASK_KERNEL_PORT || which == TASK_HOST_PORT) {
        const auto known = call(Op::port_type, mach_task_self(), {task});
        if (known.status != KERN_SUCCESS || (which == TASK_HOST_PORT && task != mach_task_self())) {
            return known.status == KERN_SUCCESS ? KERN_NOT_SUPPORTED : KERN_INVALID_TASK;
        }
        *port = which == TASK_KERNEL_PORT ? task : mach_host_self();
        return KERN_SUCCESS;
    }
    if (which != TASK_BOOTSTRAP_PORT) {
        return KERN_INVALID_ARGUMENT;
    }
    return port_of(call(Op::special_get, MACH_PORT_NULL, {task, static_cast<std::uint64_t>(which)}), port);
}

kern_return_t task_set_special_port(task_t task, int which, mach_port_t port) noexcept {
    if (which != TASK_BOOTSTRAP_PORT) {
        return which == TASK_KERNEL_PORT || which == TASK_HOST_PORT ? KERN_NOT_SUPPORTED : KERN_INVALID_ARGUMENT;
    }
    return call(Op::special_set, MACH_PORT_NULL, {task, static_cast<std::uint64_t>(which), port}).status;
}

kern_return_t mach_ports_register(task_t task, const mach_port_t *ports, mach_msg_type_number_t count) noexcept {
    if (count > TASK_PORT_REGISTER_MAX || (ports == nullptr && count > 0)) {
        return KERN_INVALID_ARGUMENT;
    }
    for (mach_msg_type_number_t i = 0; i < count; ++i) { // all of them, or none
        const auto type = call(Op::port_type, mach_task_self(), {ports[i]});
        if (ports[i] != MACH_PORT_NULL && (type.vals[0] & MACH_PORT_TYPE_SEND) == 0) {
            return KERN_INVALID_CAPABILITY;
        }
    }
    for (mach_msg_type_number_t i = 0; i < TASK_PORT_REGISTER_MAX; ++i) {
        const auto port = i < count ? ports[i] : MACH_PORT_NULL;
        const auto status = call(Op::special_set, MACH_PORT_NULL, {task, kSlotRegistered + i, port}).status;
        if (status != KERN_SUCCESS) {
            return status;
        }
    }
    return KERN_SUCCESS;
}

kern_return_t mach_ports_lookup(task_t task, mach_port_t **ports, mach_msg_type_number_t *count) noexcept {
    if (ports == nullptr || count == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    std::array<mach_port_t, TASK_PORT_REGISTER_MAX> found{};
    for (std::uint64_t i = 0; i < found.size(); ++i) {
        const auto status = port_of(call(Op::special_get, MACH_PORT_NULL, {task, kSlotRegistered + i}), &found[i]);
        if (status != KERN_SUCCESS) {
            return status;
        }
    }
    vm_address_t address = 0;
    const auto status = norma::rt::allocate(mach_task_self(), address, sizeof found, true);
    if (status == KERN_SUCCESS) {
        std::memcpy(reinterpret_cast<void *>(address), found.data(), sizeof found);
        *ports = reinterpret_cast<mach_port_t *>(address);
        *count = TASK_PORT_REGISTER_MAX;
    }
    return status;
}

kern_return_t task_sample(task_t task, mach_port_t port) noexcept {
    return call(Op::special_set, MACH_PORT_NULL, {task, norma::rt::kSlotSample, port}).status;
}

kern_return_t bootstrap_register(mach_port_t bootstrap, const char *name, mach_port_t port) noexcept {
    return set_service(name) ? ask(Op::name_set, {bootstrap, port}).status : KERN_INVALID_ARGUMENT;
}

kern_return_t bootstrap_look_up(mach_port_t bootstrap, const char *name, mach_port_t *port) noexcept {
    return port != nullptr && set_service(name) ? port_of(ask(Op::name_get, {bootstrap}), port) : KERN_INVALID_ARGUMENT;
}

kern_return_t norma_set_special_port(host_t host, int which, mach_port_t port) noexcept {
    if (host != mach_host_self() || !set_special(which)) {
        return host != mach_host_self() ? KERN_INVALID_HOST : KERN_INVALID_ARGUMENT;
    }
    const auto status = ask(Op::name_set, {MACH_PORT_DEAD, port, 1, static_cast<std::uint64_t>(job.node)}).status;
    return status == BOOTSTRAP_UNKNOWN_SERVICE ? KERN_SUCCESS : status; // there was nothing to take away
}

kern_return_t norma_get_special_port(host_t host, int node, int which, mach_port_t *port) noexcept {
    if (host != mach_host_self() || port == nullptr || node < 0 || !set_special(which)) {
        return host != mach_host_self() ? KERN_INVALID_HOST : KERN_INVALID_ARGUMENT;
    }
    const auto answer = ask(Op::name_get, {MACH_PORT_DEAD, 0, 0, static_cast<std::uint64_t>(node)});
    if (answer.status == BOOTSTRAP_UNKNOWN_SERVICE) {
        *port = MACH_PORT_NULL;
        return KERN_SUCCESS;
    }
    return port_of(answer, port);
}
}
