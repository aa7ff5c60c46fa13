// SPDX-License-Identifier: BSD-3-Clause
// The signals that the launcher acts on.
#pragma once

#include <csignal>
#include <optional>

#include "runtime/launcher_orders.hpp"

namespace norma::rt {

// Signals as a file descriptor for the lifetime of the object. A signal that was ignored when the launcher started
// (nohup, a shell's background job) stays ignored, unless something has been asked for it. Those for which something
// has are ignored in all processes that are started from then on: a batch system may send them to every process.
class Signals {
  public:
    explicit Signals(const SignalOrders &orders);
    ~Signals();
    Signals(const Signals &) = delete;
    Signals &operator=(const Signals &) = delete;

    int fd() const { return fd_; }
    const sigset_t &before() const { return before_; }
    std::optional<int> next(); // the number of a signal that has come

  private:
    int fd_ = -1;
    sigset_t before_{};
};

} // namespace norma::rt
