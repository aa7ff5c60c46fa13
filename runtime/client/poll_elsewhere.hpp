// SPDX-License-Identifier: BSD-3-Clause
// Waiting for files of which some are open on another node. Those that are not are the kernel's; of the others the node
// server tells on a socket, for which the kernel waits as well.
#pragma once

#include "runtime/client/shared_files.hpp"

#include <algorithm>
#include <csignal>
#include <ctime>
#include <poll.h>
#include <span>

namespace norma::rt {

inline bool any_elsewhere(std::span<const pollfd> files) {
    return shared_numbers.any && std::ranges::any_of(files, [](const auto &file) { return is_elsewhere(file.fd); });
}

timespec deadline_in(const timespec &time);
timespec left_until(const timespec &deadline); // not less than nothing

// As ppoll(2); null: no limit, no mask. The limit is left as it is.
int poll_files(std::span<pollfd> files, const timespec *limit, const sigset_t *mask) noexcept;

} // namespace norma::rt
