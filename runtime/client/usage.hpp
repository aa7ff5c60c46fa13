// SPDX-License-Identifier: BSD-3-Clause
// What this process and its threads have used, as the kernel has it.
#pragma once

#include "runtime/protocol.hpp"

#include <optional>
#include <sys/types.h>

namespace norma::rt {

// For the service thread. The library's threads do not count.
std::optional<Usage> task_usage();
std::optional<Usage> thread_usage(pid_t tid); // no value: it has ended

} // namespace norma::rt
