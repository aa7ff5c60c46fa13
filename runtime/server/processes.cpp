// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/processes.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include "runtime/c_strings.hpp"

namespace norma::rt {

namespace {

// In the child of fork: becomes the program, with the same addresses everywhere, or says why not.
[[noreturn]] void become(const Program &program, char *const *argv, char *const *env, pid_t parent, bool first) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); // no task outlives its node server
    if (getppid() != parent) {
        _exit(127);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (!first) {
        const int null = ::open("/dev/null", O_RDONLY);
        dup2(null, STDIN_FILENO);
        ::close(null);
    }
    if (chdir(program.cwd.c_str()) != 0) {
        dprintf(STDERR_FILENO, "norma: cannot change to the directory %s: %s\n", program.cwd.c_str(), strerror(errno));
        _exit(127);
    }
    if (personality(ADDR_NO_RANDOMIZE) == -1) {
        dprintf(STDERR_FILENO,
                "norma: address randomisation cannot be switched off (personality: %s); does a "
                "container forbid it?\n",
                strerror(errno));
        _exit(127);
    }
    execve(program.path.c_str(), argv, env);
    dprintf(STDERR_FILENO, "norma: cannot run %s: %s\n", program.path.c_str(), strerror(errno));
    _exit(127);
}

std::chrono::microseconds cpu_time(const rusage &used) {
    const auto time = [](const timeval &value) {
        return std::chrono::seconds(value.tv_sec) + std::chrono::microseconds(value.tv_usec);
    };
    return time(used.ru_utime) + time(used.ru_stime);
}

} // namespace

pid_t Processes::start(const Program &program, bool first, int control) {
    auto env = program.env;
    env.push_back(fmt::format("NORMA_TASK_FD={}", control));
    auto argv = program.argv;
    const auto argv_list = c_strings(argv);
    const auto env_list = c_strings(env);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
        // The transport's sockets are not close-on-exec by themselves; held open by a task, they would hide from the
        // other nodes that this one has died.
        close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
        fcntl(control, F_SETFD, 0);
        become(program, argv_list.data(), env_list.data(), parent, first);
    }
    if (pid < 0) {
        throw std::system_error(errno, std::generic_category(), "fork of a task");
    }
    return pid;
}

void Processes::kill(pid_t pid) {
    ::kill(pid, SIGKILL);
}

void Processes::signal(pid_t pid, int signal) {
    ::kill(pid, signal);
}

void Processes::signal_through(int pidfd, int signal) {
    syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
}

std::optional<Processes::End> Processes::next_end() {
    int status = 0;
    rusage used{};
    const pid_t pid = wait4(-1, &status, WNOHANG, &used);
    return pid > 0 ? std::optional(End{.pid = pid, .status = status, .cpu = cpu_time(used)}) : std::nullopt;
}

Processes::End Processes::wait_for(pid_t pid) {
    int status = 0;
    rusage used{};
    wait4(pid, &status, 0, &used);
    return {.pid = pid, .status = status, .cpu = cpu_time(used)};
}

} // namespace norma::rt
