// SPDX-License-Identifier: BSD-3-Clause
// What may take any time, a disk or somebody else's pipe, is waited for by another thread than the node server's.
#pragma once

#include "runtime/server/loop.hpp"

#include <functional>

namespace norma::rt {

// Has `work` done by a thread of its own, which gets no signals, and then calls `then` in the loop. The node server may
// end before that. False: there is no thread for it, or no descriptor, and nothing is done.
bool do_apart(Loop &loop, std::function<void()> work, std::function<void()> then);

} // namespace norma::rt
