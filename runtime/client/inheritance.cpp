// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/inheritance.hpp"

#include "runtime/client/descriptors.hpp"
#include "runtime/client/exceptions.hpp"
#include "runtime/client/shared_directories.hpp"
#include "runtime/families.hpp"
#include "runtime/protocol.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
    const int fd = open_briefly("/proc/self/status");
    const auto size = fd < 0 ? -1 : ::read(fd, text.data(), text.size() - 1);
    const int error = errno;
    if (fd >= 0) {
        close_briefly(fd);
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

std::uint64_t handler_of(const struct sigaction &action) {
    return (action.sa_flags & SA_SIGINFO) != 0 ? reinterpret_cast<std::uint64_t>(action.sa_sigaction)
                                               : reinterpret_cast<std::uint64_t>(action.sa_handler);
}

bool is_text(const std::array<char, PATH_MAX> &path) {
    return std::memchr(path.data(), 0, path.size()) != nullptr;
}

} // namespace

bool has_actions(int signal) {
    return signal > 0 && is_signal(static_cast<std::uint64_t>(signal)) && signal != SIGKILL && signal != SIGSTOP;
}

Inheritance::Action action_in(int signal, const struct sigaction &action) {
    return {
        .signal = signal, .flags = action.sa_flags, .handler = handler_of(action), .mask = signals_in(action.sa_mask)};
}

struct sigaction sigaction_of(const Inheritance::Action &action) {
    struct sigaction made {};
    made.sa_flags = action.flags;
    made.sa_mask = set_of(action.mask);
    if ((action.flags & SA_SIGINFO) != 0) {
        made.sa_sigaction = reinterpret_cast<void (*)(int, siginfo_t *, void *)>(action.handler);
    } else {
        made.sa_handler = reinterpret_cast<void (*)(int)>(action.handler);
    }
    return made;
}

void collect_actions(Inheritance &inheritance) {
    for (int signal = 1; signal <= kSignals; ++signal) {
        struct sigaction action {};
        if (has_actions(signal) && program_action(signal, nullptr, &action) == 0 &&
            handler_of(action) != reinterpret_cast<std::uint64_t>(SIG_DFL)) {
            inheritance.action.at(inheritance.actions++) = action_in(signal, action);
        }
    }
}

int apply_actions(const Inheritance &inheritance) {
    if (inheritance.actions > inheritance.action.size()) {
        return EINVAL;
    }
    for (std::uint32_t i = 0; i < inheritance.actions; ++i) {
        const auto &wanted = inheritance.action.at(i);
        const auto action = sigaction_of(wanted);
        if (!has_actions(wanted.signal) || program_action(wanted.signal, &action, nullptr) != 0) {
            return EINVAL;
        }
    }
    return 0;
}

int collect(Inheritance &inheritance) {
    inheritance = {};
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    inheritance.blocked = signals_in(blocked);
    collect_actions(inheritance);
    return collect_directories(inheritance);
}

int collect_directories(Inheritance &inheritance) {
    std::strcpy(inheritance.root.data(), root_directory());
    if (inheritance.root[0] == 0) {
        return ENOENT;
    }
    if (syscall(SYS_getcwd, inheritance.directory.data(), inheritance.directory.size()) < 0) {
        return errno;
    }
    return read_umask(inheritance.umask);
}

int apply_directories(const Inheritance &inheritance) {
    if (!is_text(inheritance.root) || !is_text(inheritance.directory)) {
        return EINVAL;
    }
    // Not by the calls that the program has for it: this is about this process alone, whatever it shares.
    if (std::strcmp(inheritance.root.data(), "/") != 0) {
        if (const int error = enter_root(inheritance.root.data()); error != 0) {
            return error;
        }
    }
    if (syscall(SYS_chdir, inheritance.directory.data()) != 0) {
        return errno;
    }
    syscall(SYS_umask, inheritance.umask & 0777);
    return 0;
}

} // namespace norma::rt
