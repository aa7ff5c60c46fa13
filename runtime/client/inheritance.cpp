// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/inheritance.hpp"

#include "runtime/families.hpp"
#include "runtime/protocol.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

namespace norma::rt {

static_assert(sizeof(Inheritance) <= kMaxCommandBlob);

SignalSet signals_in(const sigset_t &set) {
    SignalSet signals = 0;
    std::memcpy(&signals, &set, sizeof signals);
    return signals;
}

sigset_t set_of(SignalSet signals) {
    sigset_t set;
    sigemptyset(&set);
    std::memcpy(&set, &signals, sizeof signals);
    return set;
}

namespace {

// umask(2) cannot tell it without changing it for other threads.
int read_umask(mode_t &mask) {
    std::array<char, 512> text{};
    const int fd = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    const auto size = fd < 0 ? -1 : ::read(fd, text.data(), text.size() - 1);
    const int error = errno;
    if (fd >= 0) {
        ::close(fd);
    }
    if (size < 0) {
        return error;
    }
    const char *line = std::strstr(text.data(), "\nUmask:");
    if (line == nullptr) {
        return ENOSYS;
    }
    mask = static_cast<mode_t>(std::strtoul(line + std::strlen("\nUmask:"), nullptr, 8));
    return 0;
}

bool has_actions(int signal) {
    return is_signal(static_cast<std::uint64_t>(signal)) && signal != SIGKILL && signal != SIGSTOP;
}

std::uint64_t handler_of(const struct sigaction &action) {
    return (action.sa_flags & SA_SIGINFO) != 0 ? reinterpret_cast<std::uint64_t>(action.sa_sigaction)
                                               : reinterpret_cast<std::uint64_t>(action.sa_handler);
}

void collect_actions(Inheritance &inheritance) {
    for (int signal = 1; signal <= kSignals; ++signal) {
        struct sigaction action {};
        if (has_actions(signal) && sigaction(signal, nullptr, &action) == 0 &&
            handler_of(action) != reinterpret_cast<std::uint64_t>(SIG_DFL)) {
            inheritance.action.at(inheritance.actions++) = {.signal = signal,
                                                            .flags = action.sa_flags,
                                                            .handler = handler_of(action),
                                                            .mask = signals_in(action.sa_mask)};
        }
    }
}

int apply_actions(const Inheritance &inheritance) {
    for (std::uint32_t i = 0; i < inheritance.actions; ++i) {
        const auto &wanted = inheritance.action.at(i);
        struct sigaction action {};
        action.sa_flags = wanted.flags;
        action.sa_mask = set_of(wanted.mask);
        if ((wanted.flags & SA_SIGINFO) != 0) {
            action.sa_sigaction = reinterpret_cast<void (*)(int, siginfo_t *, void *)>(wanted.handler);
        } else {
            action.sa_handler = reinterpret_cast<void (*)(int)>(wanted.handler);
        }
        if (!has_actions(wanted.signal) || sigaction(wanted.signal, &action, nullptr) != 0) {
            return EINVAL;
        }
    }
    return 0;
}

bool is_text(const std::array<char, PATH_MAX> &path) {
    return std::memchr(path.data(), 0, path.size()) != nullptr;
}

} // namespace

int collect(Inheritance &inheritance) {
    inheritance = {};
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    inheritance.blocked = signals_in(blocked);
    collect_actions(inheritance);
    if (readlink("/proc/self/root", inheritance.root.data(), inheritance.root.size() - 1) < 0 ||
        getcwd(inheritance.directory.data(), inheritance.directory.size()) == nullptr) {
        return errno;
    }
    return read_umask(inheritance.umask);
}

int apply(const Inheritance &inheritance) {
    if (inheritance.actions > inheritance.action.size() || !is_text(inheritance.root) ||
        !is_text(inheritance.directory)) {
        return EINVAL;
    }
    if (std::strcmp(inheritance.root.data(), "/") != 0 && chroot(inheritance.root.data()) != 0) {
        return errno;
    }
    if (chdir(inheritance.directory.data()) != 0) {
        return errno;
    }
    umask(inheritance.umask & 0777);
    return apply_actions(inheritance);
}

} // namespace norma::rt
