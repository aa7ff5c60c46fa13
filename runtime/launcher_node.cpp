// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_node.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/c_strings.hpp"

namespace norma::rt {
namespace {

[[noreturn]] void throw_errno(const char *what) {
    throw std::system_error(errno, std::generic_category(), what);
}

// Room for the largest record. Without the privilege the kernel caps it at net.core.wmem_max, which still holds any
// ordinary environment; send() reports a record that does not fit.
void raise_buffers(int fd) {
    const int bytes = static_cast<int>(kMaxLaunchBytes);
    for (const int option : {SO_SNDBUFFORCE, SO_SNDBUF}) {
        if (::setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes) == 0) {
            break;
        }
    }
    for (const int option : {SO_RCVBUFFORCE, SO_RCVBUF}) {
        if (::setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes) == 0) {
            break;
        }
    }
}

void set_up_stdin(unsigned index) {
    if (index == 0) {
        return; // the first task's input
    }
    const int null = ::open("/dev/null", O_RDONLY);
    if (null > 0) {
        ::dup2(null, STDIN_FILENO);
        ::close(null);
    }
}

void set_up_socket(int fd) {
    if (fd == kLaunchFd) {
        ::fcntl(fd, F_SETFD, 0);
    } else {
        ::dup2(fd, kLaunchFd);
    }
    // Nothing but the standard streams and the socket goes on to the node server, whatever the launcher inherited.
    ::close_range(kLaunchFd + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

[[noreturn]] void become_node_server(unsigned index, int fd, pid_t launcher, char *const *argv, char *const *env,
                                     const sigset_t &signal_mask) {
    // A session of its own: Ctrl-C reaches the launcher only, and a program that reads the terminal is not stopped for
    // being in the background.
    ::setsid();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != launcher) {
        ::_exit(1); // the launcher died before the death signal was set
    }
    set_up_stdin(index);
    set_up_socket(fd);
    ::sigprocmask(SIG_SETMASK, &signal_mask, nullptr);
    ::execve(argv[0], argv, env);
    ::dprintf(STDERR_FILENO, "norma: cannot run the node server %s: %s\n", argv[0], std::strerror(errno));
    ::_exit(127);
}

} // namespace

NodeServer::End describe_end(int status) {
    if (WIFSIGNALED(status)) {
        return {.why = fmt::format("killed by signal {}", WTERMSIG(status)), .violent = true};
    }
    return {.why = fmt::format("exit status {}", WEXITSTATUS(status))};
}

NodeProcess::NodeProcess(unsigned index, const JobSize &size, const std::vector<std::string> &command,
                         const std::vector<std::string> &env, const sigset_t &signal_mask) {
    auto arguments = command;
    arguments.insert(arguments.end(),
                     {"--node", std::to_string(index), "--nodes", std::to_string(size.nodes), "--founders",
                      std::to_string(size.founders), "--places", std::to_string(size.places)});
    const auto argv = c_strings(arguments);
    const auto envp = c_strings(env);

    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        throw_errno("socketpair");
    }
    raise_buffers(ends[0]);
    raise_buffers(ends[1]);
    const pid_t launcher = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) {
        become_node_server(index, ends[1], launcher, argv.data(), envp.data(), signal_mask);
    }
    const int fork_errno = errno;
    ::close(ends[1]);
    if (child < 0) {
        ::close(ends[0]);
        errno = fork_errno;
        throw_errno("fork");
    }
    pid_ = child;
    fd_ = ends[0];
}

NodeProcess::~NodeProcess() {
    NodeProcess::kill();
    close_socket();
}

bool NodeProcess::send(std::span<const std::byte> record) {
    if (record.size() > kMaxLaunchBytes) {
        errno = EMSGSIZE; // the kernel may take more, but the other end has no room for it
        return false;
    }
    return fd_ >= 0 && ::send(fd_, record.data(), record.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

NodeProcess::Received NodeProcess::receive(std::vector<std::byte> &buffer) {
    if (fd_ < 0) {
        return Received::nothing;
    }
    buffer.resize(kMaxLaunchBytes);
    const auto size = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return Received::nothing;
    }
    if (size <= 0 || static_cast<std::size_t>(size) > buffer.size()) {
        close_socket();
        return Received::closed;
    }
    buffer.resize(static_cast<std::size_t>(size));
    return Received::record;
}

void NodeProcess::kill() {
    if (alive()) {
        ::kill(-pid_, SIGKILL); // the group does not exist until the child has made its session
        ::kill(pid_, SIGKILL);
    }
}

bool NodeProcess::ended() const {
    siginfo_t info{};
    return alive() && ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

int NodeProcess::reap() {
    // The zombie still holds the process group's number, so it cannot be someone else's by now.
    ::kill(-pid_, SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    close_socket();
    return status;
}

void NodeProcess::close_socket() {
    if (fd_ >= 0) {
        ::close(fd_);
        fd_ = -1;
    }
}

} // namespace norma::rt
