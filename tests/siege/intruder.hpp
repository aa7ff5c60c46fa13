// SPDX-License-Identifier: BSD-3-Clause
// A process that has found out where a node server listens, and sends it whatever it likes.
#pragma once

#include "rpc/ucx/engine.hpp"
#include "rpc/ucx/settings.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace siege {

class Intruder {
  public:
    // `address` is what the node server gave the launcher.
    Intruder(const std::string &transport, std::span<const std::byte> address);
    ~Intruder();
    Intruder(const Intruder &) = delete;
    Intruder &operator=(const Intruder &) = delete;

    // One active message with this header and data, announced or brought along.
    enum class How { brought, announced };
    void send(std::span<const std::byte> header, std::span<const std::byte> data, How how = How::brought);
    // Returns when everything has got there.
    void flush();

  private:
    void wait(ucs_status_ptr_t request, const char *what);

    std::optional<norma::rpc::ucx::ScopedSettings> settings_; // during construction only
    norma::rpc::ucx::Context context_;
    norma::rpc::ucx::Worker worker_;
    ucp_ep_h endpoint_ = nullptr;
};

} // namespace siege
