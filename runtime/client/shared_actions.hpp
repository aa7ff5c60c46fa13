// SPDX-License-Identifier: BSD-3-Clause
// What is to be done with signals, in a task that may share that with others (CLONE_SIGHAND).
#pragma once

#include <csignal>
#include <cstddef>
#include <span>
#include <vector>

namespace norma::rt {

// The C library's sigaction: of this process alone.
int kernel_action(int signal, const struct sigaction *action, struct sigaction *before) noexcept;

// A change is an Inheritance::Action, and so is what was there before.
int prepare_action(std::span<const std::byte> change);
int commit_action(std::vector<std::byte> &before);
void drop_action();

} // namespace norma::rt
