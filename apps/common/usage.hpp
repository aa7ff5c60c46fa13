// SPDX-License-Identifier: BSD-3-Clause
// Exit statuses of the applications, and the error for what the user gave.
#pragma once

#include <stdexcept>

namespace apps {

inline constexpr int kExitFailed = 1; // the run, or what it was to show, failed
inline constexpr int kExitUsage = 2;  // an option or an input file is wrong; no task was made

/// Something the user gave is wrong; the message names it.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

} // namespace apps
