// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_signals.hpp"

#include <array>
#include <cerrno>
#include <system_error>

#include <sys/signalfd.h>
#include <unistd.h>

namespace norma::rt {
namespace {

constexpr std::array kEndSignals{SIGINT, SIGTERM, SIGHUP, SIGQUIT};

} // namespace

Signals::Signals(const SignalOrders &orders) {
    std::signal(SIGCHLD, SIG_DFL); // if it was ignored, children could not be waited for
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    for (const int signal : kEndSignals) {
        struct sigaction action {};
        if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(&mask, signal);
        }
    }
    for (const auto &order : orders) {
        sigaddset(&mask, order.signal);
    }
    ::sigprocmask(SIG_BLOCK, &mask, &before_);
    for (const auto &order : orders) {
        std::signal(order.signal, SIG_IGN); // here it comes all the same, as it is blocked
    }
    fd_ = ::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd_ < 0) {
        throw std::system_error(errno, std::generic_category(), "signalfd");
    }
}

Signals::~Signals() {
    ::close(fd_);
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<int> Signals::next() {
    signalfd_siginfo info{};
    if (::read(fd_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) {
        return std::nullopt;
    }
    return static_cast<int>(info.ssi_signo);
}

} // namespace norma::rt
