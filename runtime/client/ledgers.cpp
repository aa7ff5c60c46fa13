// SPDX-License-Identifier: BSD-3-Clause
// <norma/mach_ledger.h>, and task_create, which takes ledgers.
#include "norma/mach.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"

#include <bit>

using norma::rt::call;
using norma::rt::Op;
using norma::rt::port_call;

namespace {

struct Token {
    security_token_t value;
    mach_port_t privilege; // not null
};

kern_return_t create(task_t parent, ledger_port_array_t ledgers, int count, boolean_t inherit, const Token &token,
                     task_t *child) {
    if (count < 0 || count > NORMA_LEDGER_COUNT) {
        return KERN_INVALID_ARGUMENT;
    }
    std::array<std::uint64_t, norma::rt::kOpArgs> args{
        inherit ? 1U : 0U, 0, 0, 0, std::bit_cast<std::uint64_t>(token.value), token.privilege};
    for (int i = 0; ledgers != nullptr && i < count; ++i) {
        args.at(1 + static_cast<std::size_t>(i)) = ledgers[i];
    }
    return port_call(Op::task_create, parent, args, child);
}

} // namespace

extern "C" {

kern_return_t task_create(task_t parent, ledger_port_array_t ledgers, int ledger_count, boolean_t inherit,
                          task_t *child) noexcept {
    return create(parent, ledgers, ledger_count, inherit, {}, child);
}

kern_return_t task_create_security_token(task_t parent, mach_port_t host_security, security_token_t sec_token,
                                         ledger_port_array_t ledgers, int ledger_count, boolean_t inherit,
                                         task_t *child) noexcept {
    return host_security == MACH_PORT_NULL ? KERN_INVALID_SECURITY
                                           : create(parent, ledgers, ledger_count, inherit,
                                                    {.value = sec_token, .privilege = host_security}, child);
}

kern_return_t host_security_set_task_token(mach_port_t host_security, task_t target_task, security_token_t sec_token,
                                           host_t host) noexcept {
    if (host != mach_host_self()) {
        return KERN_INVALID_HOST;
    }
    return call(Op::task_set_token, target_task, {std::bit_cast<std::uint64_t>(sec_token), host_security}).status;
}

host_priv_t host_priv_self(void) noexcept {
    host_priv_t port = MACH_PORT_NULL;
    port_call(Op::host_priv, MACH_PORT_NULL, {}, &port);
    return port;
}

kern_return_t norma_task_get_ledger(task_t task, int which, ledger_t *ledger) noexcept {
    return port_call(Op::task_ledger, task, {static_cast<std::uint64_t>(which)}, ledger);
}

kern_return_t ledger_create(ledger_t parent_ledger, ledger_t ledger_ledger, ledger_t *new_ledger,
                            ledger_item_t transfer) noexcept {
    return port_call(Op::ledger_create, parent_ledger, {transfer, ledger_ledger}, new_ledger);
}

kern_return_t ledger_read(ledger_t ledger, ledger_item_t *balance, ledger_item_t *limit) noexcept {
    const auto answer = call(Op::ledger_read, ledger);
    if (answer.status == KERN_SUCCESS && balance != nullptr) {
        *balance = answer.vals[0];
    }
    if (answer.status == KERN_SUCCESS && limit != nullptr) {
        *limit = answer.vals[1];
    }
    return answer.status;
}

kern_return_t ledger_transfer(ledger_t parent_ledger, ledger_t child_ledger, ledger_item_t transfer) noexcept {
    return call(Op::ledger_transfer, parent_ledger, {transfer, child_ledger}).status;
}

kern_return_t ledger_terminate(ledger_t ledger) noexcept {
    return call(Op::ledger_terminate, ledger).status;
}
}
