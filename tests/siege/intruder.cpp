// SPDX-License-Identifier: BSD-3-Clause
#include "tests/siege/intruder.hpp"

#include "rpc/address.hpp"

#include <chrono>
#include <stdexcept>

#include <fmt/format.h>

namespace siege {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{10};

} // namespace

Intruder::Intruder(const std::string &transport, std::span<const std::byte> address)
    : settings_(transport), context_(transport), worker_(context_) {
    settings_.reset();
    std::string why;
    const auto inside = norma::rpc::open_address(transport, address, why);
    if (inside.empty()) {
        throw std::runtime_error(why);
    }
    ucp_ep_params_t params{};
    params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE;
    params.address = reinterpret_cast<const ucp_address_t *>(inside.data());
    params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
    norma::rpc::ucx::check(ucp_ep_create(worker_.get(), &params, &endpoint_), "an intruder's connection");
}

Intruder::~Intruder() {
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = UCP_EP_CLOSE_FLAG_FORCE;
    try {
        wait(ucp_ep_close_nbx(endpoint_, &param), "closing");
    } catch (const std::runtime_error &) {
        // It is closed or it never will be; the worker ends all the same.
    }
}

void Intruder::send(std::span<const std::byte> header, std::span<const std::byte> data, How how) {
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = how == How::brought ? UCP_AM_SEND_FLAG_EAGER : UCP_AM_SEND_FLAG_RNDV;
    wait(ucp_am_send_nbx(endpoint_, 0, header.data(), header.size(), data.data(), data.size(), &param), "sending");
}

void Intruder::flush() {
    ucp_request_param_t param{};
    wait(ucp_ep_flush_nbx(endpoint_, &param), "flushing");
}

// An announced message ends with an error when the other side does not want it, which is as it should be.
void Intruder::wait(ucs_status_ptr_t request, const char *what) {
    if (!UCS_PTR_IS_PTR(request)) {
        norma::rpc::ucx::check(UCS_PTR_STATUS(request), what);
        return;
    }
    const auto deadline = Clock::now() + kPatience;
    while (ucp_request_check_status(request) == UCS_INPROGRESS) {
        ucp_worker_progress(worker_.get());
        if (Clock::now() > deadline) {
            throw std::runtime_error(fmt::format("{} an intruder's message takes for ever", what));
        }
    }
    ucp_request_free(request);
}

} // namespace siege
