// SPDX-License-Identifier: BSD-3-Clause
// What libnorma knows of the job it is in. Set once, before main() or by norma_attach(), and, but for what is atomic,
// read-only afterwards, so any thread may read it that has found `active` to be true.
#pragma once

#include "dsm/userfault.hpp"
#include "runtime/config.hpp"

#include <atomic>
#include <cstdint>
#include <sys/types.h>

namespace norma::rt {

struct Job {
    std::atomic<bool> active{false}; // false: the process is no task
    pid_t attached = 0;              // the process, if norma has not started it
    int node = -1;
    std::atomic<int> nodes{0}; // grows when a node joins
    int pid = 0;               // what the task calls itself as a process of the job
    int control = -1;          // the task's control socket
    // The node server serves the faults. It is held here as well, for if the server's were the only one, its death
    // would let this process read zeros until the kernel has killed it too; so a thread that faults then waits for
    // that.
    int userfault = -1;
    dsm::FaultMode fault_mode = dsm::FaultMode::none;
    std::uint64_t window_base = 0, window_size = 0;
    std::uint64_t data_start = 0, data_size = 0; // the variables of a whole program, else empty
    pid_t service = 0;                           // kernel id of the service thread
    std::atomic<pid_t> owner_thread{0};          // the one that carries out one-sided access; 0: there is none
    std::atomic<pid_t> network_thread{0};        // of the network library's; 0: there is none
    bool is_library_thread(pid_t tid) const { return tid == service || tid == owner_thread || tid == network_thread; }

    bool in_window(const void *address) const {
        return reinterpret_cast<std::uint64_t>(address) - window_base < window_size;
    }
    bool is_coherent(const void *address) const {
        return in_window(address) || reinterpret_cast<std::uint64_t>(address) - data_start < data_size;
    }
};

extern Job job;

// 0 or an errno value.
int open_userfault(bool user_faults_only);
// The node server is told why there is no userfaultfd, if there is none.
int say_hello(int userfault_error);

// Joins the job: reserves the window and says hello. False outside a job; does not return if it fails.
bool join_job();

} // namespace norma::rt
