// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/door.hpp"

#include "norma/mach.h"
#include "runtime/doors.hpp"
#include "runtime/job_settings.hpp"
#include "runtime/local_socket.hpp"
#include "runtime/server/attached.hpp"
#include "runtime/sockets.hpp"

#include <array>
#include <cerrno>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 // Linux 6.5
#endif

namespace norma::rt {
namespace {

// Of the process that has connected. An older kernel makes it from the number, which is still that process's if the
// connection is open then.
int pidfd_of(int socket, pid_t pid) {
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0) {
        return pidfd;
    }
    pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    char byte = 0;
    if (::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        close_if_open(pidfd);
        errno = ESRCH;
        return -1;
    }
    return pidfd;
}

std::string program_of(pid_t pid) {
    std::array<char, 4096> path{};
    const auto size = ::readlink(fmt::format("/proc/{}/exe", pid).c_str(), path.data(), path.size());
    return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size)) : std::string();
}

std::string job_settings() {
    std::string text;
    for (const auto &setting : settings_for_joiners(own_environment())) {
        text += setting;
        text += '\0';
    }
    return text;
}

void turn_away(int socket, std::int32_t status, const std::string &why) {
    greet(socket, status, why);
    ::close(socket);
}

} // namespace

Door::Door(pid_t job, dsm::NodeId node) : listener_(listen_at_door(job, node)) {}

Door::~Door() {
    ::close(listener_);
}

std::optional<Visitor> Door::next() {
    for (;;) {
        const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        stuck_ = socket < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
        if (socket < 0) {
            return std::nullopt;
        }
        const auto peer = peer_behind(socket);
        // Root, too: this node server could not end its process.
        if (!peer || peer->user != ::geteuid()) {
            turn_away(socket, KERN_INVALID_SECURITY, "the job is another user's");
            continue;
        }
        const int pidfd = peer->pid > 0 ? pidfd_of(socket, peer->pid) : -1;
        if (pidfd < 0) {
            turn_away(socket, KERN_NOT_SUPPORTED,
                      "the node server cannot see this process: it is in another container");
            continue;
        }
        return Visitor{.socket = socket,
                       .pidfd = pidfd,
                       .pid = peer->pid,
                       .program = program_of(peer->pid),
                       .settings = job_settings()};
    }
}

} // namespace norma::rt
