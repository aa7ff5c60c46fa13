// SPDX-License-Identifier: BSD-3-Clause
// Which processors processes run on.
#pragma once

#include <string>

#include <sys/types.h>

namespace norma::bench {

// The processors that a process may use, e.g. "0,1".
std::string cpu_list(pid_t process, const char *separator);

// One line about the caller and its node server.
std::string describe_binding();

} // namespace norma::bench
