// SPDX-License-Identifier: BSD-3-Clause
// What the launcher (`norma run`) and the node servers say to each other, over one SOCK_SEQPACKET socket pair each.
// Each packet is one record: type, then the fields listed, in rpc/wire encoding.
#pragma once

#include <cstdint>

namespace norma::rt {

inline constexpr int kLaunchFd = 3;                         // the node server finds its end here
inline constexpr std::size_t kMaxLaunchBytes = 1024 * 1024; // SO_SNDBUF is raised to hold it

enum class LaunchMsg : std::uint8_t {
    // node server -> launcher
    ready = 1, // bytes: transport address
    exited,    // i32 status as wait(2) has it, string note (empty, or why): the first task has ended, the job is over
    fatal,     // string: this node server cannot go on; it exits after this
    connected, // every peer is connected
    hosting,   // the first task runs on this node from now on
    // launcher -> node server
    job = 64, // u64 job_key: the first record of all
    start,    // u16 nodes, then per node: u32 incarnation, bytes address
    run, // node 0 only, after all are connected: string program, u32 n, n strings argv, u32 n, n strings env, string
         // cwd
    node_down, // u16 node, string why
    shutdown,  // end every task and exit; sent to all nodes
};

} // namespace norma::rt
