// SPDX-License-Identifier: BSD-3-Clause
// What is done with a file for a task on another node, by a thread that has nothing but the file and its orders. Before
// it does what may wait for somebody else, it waits in a way that can be broken off, for a task that has ended must not
// take what is written for others.
#pragma once

#include "runtime/server/wire.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <poll.h>
#include <vector>

namespace norma::rt {

struct FileJob {
    FileAction action = FileAction::read;
    std::array<std::uint64_t, 3> args{}; // of the action
    std::vector<std::byte> data;
    int fd = -1, stop = -1;
    std::vector<pollfd> polled; // their descriptors end with the job
    Reply reply{};

    FileJob() = default;
    FileJob(const FileJob &) = delete;
    FileJob &operator=(const FileJob &) = delete;
    ~FileJob();
};

// Whether the request, which comes from a task, asks for something that can be done.
bool is_file_job(const Request &request);
// Nothing if there is no descriptor for it.
std::shared_ptr<FileJob> make_file_job(const Request &request, int fd);
void run(FileJob &job);

// Nothing: it cannot be what libnorma or a node server sends.
std::optional<std::vector<PolledFile>> polled_in(const std::vector<std::byte> &blob);
// Waits, if it is to, until one of the files that are polled is ready; `revents` say which are.
std::shared_ptr<FileJob> make_poll_job();
void run_poll(FileJob &job, bool wait);
void break_off(const FileJob &job); // from another thread

// ---- file_messages.cpp: sockets, which are never waited for in the system call itself ----
ssize_t send_message(FileJob &job);
ssize_t receive_message(FileJob &job);
bool is_stream(int socket);

// ---- for those that wait: false, and EINTR, if the job is broken off ----
bool wait_until(const FileJob &job, short event);
bool wait_a_moment(const FileJob &job);
bool may_wait(const FileJob &job); // the file is not in non-blocking mode

} // namespace norma::rt
