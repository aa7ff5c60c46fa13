// SPDX-License-Identifier: BSD-3-Clause
// Faults of this process's threads, told to the node server as exceptions (docs/exceptions.md).
#pragma once

#include <csignal>

namespace norma::rt {

// From now on. For the service thread; more than once is fine.
void catch_exceptions();

// As sigaction, about what the program wants done with a signal: that is what the library's own handler goes on to,
// where there is one.
int program_action(int signal, const struct sigaction *action, struct sigaction *before) noexcept;

} // namespace norma::rt
