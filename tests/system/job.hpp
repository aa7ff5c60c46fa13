// SPDX-License-Identifier: BSD-3-Clause
// Starts `norma run` as a user does, and finds out what it wrote, how it ended and what it left behind.
#pragma once

#include <chrono>
#include <string>
#include <sys/types.h>
#include <vector>

namespace systest {

struct JobSetup {
    int nodes = 2;
    std::string transport{};        // empty: none is said
    std::vector<std::string> env{}; // NAME=VALUE; nothing that starts with NORMA_ comes from the environment
    bool as_user = false;           // as `nobody`, if one is root
    bool no_userfaultfd = false;    // userfaultfd(2) and /dev/userfaultfd say EPERM
    std::chrono::seconds limit{60};
};

struct JobEnd {
    int status = -1; // exit status, or 128 + signal
    std::string out, err;
    std::vector<std::string> left_behind;
    std::chrono::duration<double> time{};
    bool timed_out = false;
};

class Job {
  public:
    /// Starts `norma run` with the words behind its options.
    Job(const JobSetup &setup, std::vector<std::string> words);
    ~Job();
    Job(const Job &) = delete;
    Job &operator=(const Job &) = delete;

    pid_t launcher() const { return pid_; }
    /// False if standard output ends, or the time, before the text is there.
    bool wait_for_output(const std::string &text);
    /// Waits for the launcher's end, and for everything that holds its output.
    JobEnd finish();
    /// Processes of the job, with their command lines.
    std::vector<std::string> processes() const;
    /// -1: it has none any more.
    pid_t node_server(int node) const;

  private:
    bool read_some(std::chrono::steady_clock::time_point until);
    void kill_everything() const;
    std::vector<pid_t> members() const;
    std::vector<std::string> remains() const;

    JobSetup setup_;
    std::string marker_;
    std::vector<std::string> memory_before_;
    std::chrono::steady_clock::time_point begin_, deadline_;
    pid_t pid_ = -1;
    bool reaped_ = false;
    int out_ = -1, err_ = -1;
    JobEnd end_;
};

/// A whole job of one case of system_app.
JobEnd run_case(const JobSetup &setup, std::vector<std::string> words);
JobEnd run_words(const JobSetup &setup, std::vector<std::string> words);

} // namespace systest
