// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/control_socket.hpp"

#include "runtime/local_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

namespace norma::rt {
namespace {

constexpr std::string_view kPrefix = "norma-";
constexpr int kBacklog = 16;

// "norma-USER-LAUNCHER-RANDOM".
std::optional<JobName> parse_name(const std::string &name) {
    JobName job{.launcher = 0, .user = 0, .socket = name};
    std::string_view rest = name;
    if (!rest.starts_with(kPrefix)) {
        return std::nullopt;
    }
    rest.remove_prefix(kPrefix.size());
    return take_number(rest, job.user) && take_number(rest, job.launcher) ? std::optional(job) : std::nullopt;
}

} // namespace

int listen_for_control() {
    const int fd =
        listen_as(fmt::format("{}{}-{}-{}", kPrefix, ::geteuid(), ::getpid(), random_part()), SOCK_STREAM, kBacklog);
    if (fd < 0) {
        throw std::system_error(errno, std::generic_category(), "the job's control socket");
    }
    return fd;
}

int accept_control(int listener) {
    for (;;) {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            return -1;
        }
        const auto peer = peer_behind(fd);
        if (peer && (peer->user == ::geteuid() || peer->user == 0)) {
            return fd;
        }
        ::close(fd);
    }
}

std::vector<JobName> jobs_here() {
    std::vector<JobName> jobs;
    for (const auto &name : names_listened_at()) {
        const auto job = parse_name(name);
        if (job && (job->user == ::geteuid() || ::geteuid() == 0)) {
            jobs.push_back(*job);
        }
    }
    std::ranges::sort(jobs, {}, &JobName::launcher);
    return jobs;
}

int connect_control(const JobName &job) {
    const int fd = connect_to(job.socket, SOCK_STREAM);
    if (fd >= 0 && (!peer_behind(fd) || peer_behind(fd)->user != job.user)) {
        ::close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

} // namespace norma::rt
