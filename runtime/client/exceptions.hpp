// SPDX-License-Identifier: BSD-3-Clause
// Faults of this process's threads, told to the node server as exceptions (docs/exceptions.md).
#pragma once

namespace norma::rt {

// From now on. For the service thread; more than once is fine.
void catch_exceptions();

} // namespace norma::rt
