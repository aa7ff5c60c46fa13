// SPDX-License-Identifier: BSD-3-Clause
// A task that moves to another node with all its threads. Each is stopped where no library holds anything for it, and
// leaves what it goes on with on its stack, which is coherent memory (docs/migration.md).
#pragma once

#include "runtime/client/channel.hpp"
#include "runtime/client/threads.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/types.h>
#include <ucontext.h>
#include <vector>

namespace norma::rt {

// A call that may wait long, with its timeout in milliseconds (as signed). It is begun again if the task moves
// meanwhile, with what is left of that.
class WaitingCall {
  public:
    explicit WaitingCall(std::uint64_t timeout) noexcept : timeout_(timeout) {}
    std::uint64_t timeout() const { return timeout_; }
    bool again(std::int32_t status) noexcept; // may stop here, so nothing of this process's may be remembered

  private:
    std::uint64_t timeout_;
    std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};
// The same, with the timeout in that argument.
Answer call_waiting(Op op, std::uint32_t port, std::array<std::uint64_t, kOpArgs> args, std::size_t timeout) noexcept;
// For who has had kWithdrawn from a call: stops here if the task moves, and goes on on the node where it is then.
void migration_point() noexcept;
// For the beginning of a call that a program may make all the time, so that it might never be met outside: stops here
// if the task moves.
void may_stop() noexcept;

// The handler of the signal that stops threads: returns at once unless the task gathers its threads and the calling one
// can move as it stands; then when it is to go on here.
void stop_for_migration(ucontext_t *context);

// ---- The service thread's side. ----
struct Gathered {
    int error = 0;
    std::uint64_t registers = 0;
    std::vector<std::byte> blob;
};
Gathered gather_threads(bool first, bool files_move);
void let_threads_go(std::int32_t status, bool shares_files);

// In the new process. 0 or an errno value: EXDEV (the processor has other registers).
int make_threads(std::size_t count, std::uint64_t registers, std::span<const std::byte> process);
// Their kernel ids; none if there is not one for each. They run when `go` is called for each.
std::vector<NewThread> carry_on(std::span<const std::byte> states);

} // namespace norma::rt
