// SPDX-License-Identifier: BSD-3-Clause
// `norma run`: starts one node server per node, or waits for it to join from another host, runs a program as the job's
// first task, returns its exit status.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/job_settings.hpp"
#include "runtime/launcher_orders.hpp"
#include "runtime/network.hpp"

namespace norma::rt {

// For a job whose other nodes run on other hosts, which join it.
struct Joining {
    Endpoint listen;
    int listener = -1; // a socket that listens already, instead
    std::string key;
    unsigned local = 1; // nodes that the launcher starts itself, the first ones
    std::chrono::seconds limit{60};
    bool late = false;                           // others may join while the program runs, too
    bool announce = false, announce_key = false; // on standard error
    // By node, who is to join, each once; empty: whoever comes, again if need be.
    std::vector<std::string> expected;
};

// The exit status of a job that a signal had written down and ended: EX_TEMPFAIL, try again later.
inline constexpr int kWrittenDown = 75;

struct JobOptions {
    unsigned nodes = 1;                   // when the program is started
    unsigned places = 0;                  // at most, with those that join while it runs; below `nodes`: as many as that
    std::vector<std::string> node_server; // path and leading arguments; which node it is, is appended
    std::string program;                  // absolute path of the first task's program
    std::vector<std::string> argv;        // its arguments, its own name first
    std::vector<std::string> env;         // environment of the node servers and of the program
    std::string cwd;
    std::optional<Joining> joining;
    SignalOrders on_signal{};
    std::string checkpoint; // the file from which the job goes on, instead of starting the program; empty: none
};

// Runs a job to its end and returns the exit status for the calling process: that of the program, 128 + signal if a
// signal ended the program or the launcher, kWrittenDown, 1 if the job could not go on. Takes over signals and reaps
// children, so it is for a process with one thread that does nothing else. When it returns no process of the job is
// left.
int run_job(const JobOptions &options);

// What a joiner knows before it joins.
struct Place {
    std::vector<Endpoint> launcher; // where it may be reached
    std::string key;
    Environment env; // of this host
    std::chrono::seconds limit{60};
    bool verbose = false;
    std::uint16_t node = 0;   // the one it is to serve; 0: any
    SignalOrders on_signal{}; // only the launcher writes checkpoints
};

// Has a node server here join a job that is run elsewhere, and returns the exit status: 0 if the job came to its end.
// As run_job(), it is for a process that does nothing else.
int join_job(Place place);

// `norma run`. argv[0] is the name of the sub-command. Exit status 2 and a message for wrong input.
int run_command(int argc, char **argv);

// `norma node --join`.
int join_node_command(int argc, char **argv);

} // namespace norma::rt
