// SPDX-License-Identifier: BSD-3-Clause
// For the calls that say what is wrong as Unix does.
#pragma once

#include "norma/mach.h"
#include "runtime/client/channel.hpp"

#include <cerrno>
#include <cstdint>

namespace norma::rt {

inline int fail_with(int error) noexcept {
    errno = error;
    return -1;
}

inline int errno_of(std::int32_t status) noexcept {
    switch (status) {
    case KERN_INVALID_ARGUMENT:
        return EINVAL;
    case KERN_INVALID_TASK:
        return ESRCH;
    case KERN_NODE_DOWN:
        return EHOSTDOWN;
    case KERN_OPERATION_TIMED_OUT:
        return ETIMEDOUT;
    case KERN_ABORTED:
        return EINTR;
    case KERN_NOT_SUPPORTED:
        return ENOTSUP;
    case KERN_FAILURE: // outside a job
        return ENOSYS;
    default:
        return ENOMEM;
    }
}
// Of a call whose answer has an errno value in vals[1].
inline int errno_of(const Answer &answer) noexcept {
    return answer.status == KERN_SUCCESS ? static_cast<int>(answer.vals[1]) : errno_of(answer.status);
}

} // namespace norma::rt
