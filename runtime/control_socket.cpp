// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/control_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <system_error>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace norma::rt {
namespace {

constexpr std::string_view kPrefix = "norma-";
constexpr int kBacklog = 16;

struct Address {
    sockaddr_un name{};
    socklen_t size = 0;
    const sockaddr *get() const { return reinterpret_cast<const sockaddr *>(&name); }
};

// Names of jobs are a few dozen letters.
Address address_of(const std::string &name) {
    Address address;
    address.name.sun_family = AF_UNIX;
    const auto length = std::min(name.size(), sizeof address.name.sun_path - 1);
    std::memcpy(address.name.sun_path + 1, name.data(), length);
    address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
    return address;
}

int new_socket() {
    return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

std::optional<uid_t> user_behind(int fd) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? std::optional(peer.uid) : std::nullopt;
}

template <class Number> bool take_number(std::string_view &text, Number &number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return error == std::errc() && text.starts_with('-') && (text.remove_prefix(1), true);
}

// "norma-USER-LAUNCHER-RANDOM": the random part keeps others from taking the name first.
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
    const int fd = new_socket();
    std::random_device random;
    const auto address =
        address_of(fmt::format("{}{}-{}-{:08x}{:08x}", kPrefix, ::geteuid(), ::getpid(), random(), random()));
    if (fd < 0 || ::bind(fd, address.get(), address.size) != 0 || ::listen(fd, kBacklog) != 0) {
        const std::error_code error(errno, std::generic_category());
        ::close(fd);
        throw std::system_error(error, "the job's control socket");
    }
    return fd;
}

int accept_control(int listener) {
    for (;;) {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            return -1;
        }
        const auto user = user_behind(fd);
        if (user && (*user == ::geteuid() || *user == 0)) {
            return fd;
        }
        ::close(fd);
    }
}

std::vector<JobName> jobs_here() {
    std::vector<JobName> jobs;
    std::ifstream table("/proc/net/unix"); // proc(5): number, references, protocol, flags, type, state, inode, name
    for (std::string line; std::getline(table, line);) {
        constexpr std::string_view kListening = "00010000";
        std::istringstream fields(line);
        std::string number, references, protocol, flags, type, state, inode, name;
        fields >> number >> references >> protocol >> flags >> type >> state >> inode >> name;
        const auto job = name.starts_with('@') && flags == kListening ? parse_name(name.substr(1)) : std::nullopt;
        if (job && (job->user == ::geteuid() || ::geteuid() == 0)) {
            jobs.push_back(*job);
        }
    }
    std::ranges::sort(jobs, {}, &JobName::launcher);
    return jobs;
}

int connect_control(const JobName &job) {
    const int fd = new_socket();
    const auto address = address_of(job.socket);
    if (fd < 0 || ::connect(fd, address.get(), address.size) != 0) {
        const int error = errno;
        ::close(fd);
        errno = error;
        return -1;
    }
    if (user_behind(fd) != job.user) {
        ::close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

} // namespace norma::rt
