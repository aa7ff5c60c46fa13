// SPDX-License-Identifier: BSD-3-Clause
// The service thread: does to this process what the node server says. It never touches coherent memory, so it can never
// wait for the node server that waits for it.
#pragma once

#include <cstdint>

namespace norma::rt {

// Serves until the order to run main() comes (which makes this the job's first task), and hands the rest to a thread of
// its own; returns the stack for main(). In any other task it never returns.
struct MainStack {
    std::uint64_t address = 0, bytes = 0;
};
MainStack serve_until_main();

// Of a process that has attached itself: carries out the first command, then a thread of its own serves until the node
// server is gone (client/attach.hpp). 0, or an errno value: ECONNRESET if it is gone already.
int serve_from_now_on();

} // namespace norma::rt
