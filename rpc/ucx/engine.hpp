// SPDX-License-Identifier: BSD-3-Clause
// Owners of UCX's objects: a context, a worker, and the descriptor of many workers.
#pragma once

#include "rpc/staging.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <ucp/api/ucp.h>

namespace norma::rpc::ucx {

class Context {
  public:
    // workers_later: its workers need not be made while ScopedSettings are there. `only`: the one of UCX's own
    // transports that it may use.
    explicit Context(std::string_view kind, bool workers_later = false, const std::string &only = {});
    ~Context() { ucp_cleanup(context_); }
    Context(const Context &) = delete;
    Context &operator=(const Context &) = delete;
    ucp_context_h get() const { return context_; }
    // Registers slabs of staging buffers; the context must outlive what it hands out.
    Registrar registrar() const;

  private:
    ucp_context_h context_ = nullptr;
};

class Worker {
  public:
    // By default for one thread; SERIALIZED: for any, one at a time.
    explicit Worker(const Context &context, ucs_thread_mode_t mode = UCS_THREAD_MODE_SINGLE);
    ~Worker() { ucp_worker_destroy(worker_); }
    Worker(const Worker &) = delete;
    Worker &operator=(const Worker &) = delete;
    ucp_worker_h get() const { return worker_; }
    int event_fd() const { return event_fd_; }
    std::size_t max_header() const { return max_header_; }
    std::vector<std::byte> address() const;
    void on_message(unsigned id, ucp_am_recv_callback_t callback, void *arg);

  private:
    ucp_worker_h worker_ = nullptr;
    int event_fd_ = -1;
    std::size_t max_header_ = 0;
};

// A descriptor that is readable when one of the workers' is; they leave it by ending.
class WaitSet {
  public:
    WaitSet(); // throws
    ~WaitSet();
    WaitSet(const WaitSet &) = delete;
    WaitSet &operator=(const WaitSet &) = delete;
    void add(const Worker &worker); // throws
    int get() const { return fd_; }

  private:
    int fd_;
};

// What UCX sends messages of the endpoint over, e.g. "posix/memory" or "tcp/eth0"; empty: it does not say.
std::string first_lane(ucp_ep_h endpoint);

// Throws std::runtime_error with `what` and UCX's words for the status.
void check(ucs_status_t status, std::string_view what);

} // namespace norma::rpc::ucx
