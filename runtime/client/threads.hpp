// SPDX-License-Identifier: BSD-3-Clause
// Threads whose stacks are coherent memory. Each is a pthread that runs on its small private stack (which the C library
// and the kernel use behind its back) and switches to the coherent one for the program's own code. So the program's
// frames move with a teleport, while what belongs to the process stays with the process.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <sys/types.h>

namespace norma::rt {

// For the service thread: makes a thread and returns 0 with its kernel id, or an errno value. The thread does nothing
// until `go` is called, once, after the node server has been told the id.
struct NewThread {
    pid_t tid = 0;
    std::function<void()> go;
};
int start_thread(std::uint64_t entry, std::uint64_t argument, std::uint64_t stack, std::uint64_t bytes,
                 NewThread &made);
// The thread of a clone: the process ends with what `entry` returns. It has these signals blocked.
int start_clone(std::uint64_t entry, std::uint64_t argument, std::uint64_t top_of_stack, const sigset_t &blocked,
                NewThread &made);
// The same for a thread that teleported itself here: it goes on from the context it saved.
int resume_thread(std::uint64_t context, std::uint64_t canary, NewThread &made);

// A thread of a task that moves to this process with all of its own; it waits for its state (client/moved_thread.hpp).
struct WaitingThread {
    pid_t tid = 0;
    std::function<void(std::uint64_t saved)> go;
};
int wait_for_state(WaitingThread &made);

// Runs `body` on the coherent stack of the calling thread (the process's first), and returns when it does.
void run_on_stack(std::uint64_t stack, std::uint64_t bytes, void (*body)());

// Whether the caller runs on a coherent stack, and so may teleport itself.
bool on_coherent_stack();
// Whether norma has made the calling thread; and how far down its coherent stack may grow, 0 if that is not known.
bool is_of_norma();
std::uint64_t stack_limit();
// Leaves the coherent stack for good and ends the thread. From any depth, also from a signal handler.
[[noreturn]] void end_this_thread();

std::uint64_t stack_canary();

} // namespace norma::rt
