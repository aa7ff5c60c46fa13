// SPDX-License-Identifier: BSD-3-Clause
// Stopping threads of this process from its service thread: a signal whose handler waits until the thread may go on.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <sys/types.h>
#include <ucontext.h>
#include <vector>

namespace norma::rt {

// For a signal of the library's own: on the signal stack, with all others blocked; system calls are restarted.
void install_handler(int signal, void (*handler)(int, siginfo_t *, void *));
void install_stop_handler();
// Gives the calling thread a signal stack of its own in private memory, so that it can be stopped while its stack is
// coherent memory that is not here.
void use_signal_stack();
// A thread can be stopped, and given other registers, only where it can be ended as well: on the stack it has for the
// program's code. no_stops() is for the way there; stop_point() ends that, and is where a new thread looks first.
void no_stops();
void stop_point();

// While a thread waits in the handler of a fault: the registers that it goes on with after that are those of the fault.
// Null: no more.
void set_fault_context(ucontext_t *context);

// For stops of another kind (client/migration.hpp). A thread notices that it is to stop; a change lets it go on. Both
// waits return early now and then, and whenever the condition may have come true.
void send_stop_signal(pid_t tid);
void give_notice();
void wait_for_notice(const std::function<bool()> &noticed_already);
void let_changes_show();
void wait_for_change(const std::function<bool()> &changed_already);

// The service thread's side. Each returns 0 or an errno value: ESRCH (no such thread), EAGAIN (too many stopped).
int stop_all(); // all threads but the service thread; returns when all have stopped
int go_all();
int stop_thread(pid_t tid); // returns when it has stopped
int go_thread(pid_t tid);
// Lets `act` see or change the registers a thread goes on with; stops it for that moment if it is not stopped.
int with_registers(pid_t tid, const std::function<void(ucontext_t &)> &act);
// The same, when `act` may say that it goes on somewhere else: then it is in no call any more.
int set_registers(pid_t tid, const std::function<void(ucontext_t &)> &act);
int end_thread(pid_t tid);               // returns when it has taken notice
std::vector<std::uint64_t> thread_ids(); // all but the service thread

} // namespace norma::rt
