// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/ucx/transport.hpp"

#include "rpc/address.hpp"

#include <stdexcept>
#include <string_view>
#include <utility>

#include <fmt/core.h>

namespace norma::rpc::ucx {

namespace {

// How long the destructor waits for messages to leave, and then for endpoints to close.
constexpr std::chrono::milliseconds kDrainLimit{1000};
constexpr std::chrono::milliseconds kCloseLimit{1000};

} // namespace

UcxTransport::UcxTransport(const Options &options, Handlers handlers)
    : options_(options), sessions_(options, std::move(handlers), [this](NodeId peer) { disconnect(peer); }),
      settings_(options.kind), context_(options.kind), pool_(StagingPool::make(context_.registrar())),
      peers_(kMaxNodes) {
    add_lane(context_);
    settings_.reset();
    for (auto &peer : peers_) {
        peer.transport = this;
    }
}

UcxTransport::~UcxTransport() {
    leaving_ = true;
    // What was sent before the end should still arrive, if the peers are there to take it. Each endpoint is flushed for
    // itself: flushing a worker would wait for the dead ones too.
    for (auto &peer : peers_) {
        if (sessions_.connected(id_of(peer))) {
            flush(peer.to_door);
            if (peer.to_lane != nullptr) {
                flush(peer.to_lane);
            }
        }
    }
    progress_until_idle(kDrainLimit);
    for (auto &peer : peers_) {
        close(peer);
    }
    progress_until_idle(kCloseLimit);
    lanes_.clear(); // their callbacks need the rest
}

std::vector<std::byte> UcxTransport::address() const {
    return seal_address(options_.kind, door().worker.address());
}

void UcxTransport::connect(NodeId peer_id, std::uint32_t incarnation, std::span<const std::byte> address) {
    sessions_.check_peer(peer_id, incarnation);
    std::string why;
    const auto worker_address = open_address(options_.kind, address, why);
    if (worker_address.empty()) {
        throw std::runtime_error(fmt::format("the address of node {} is no good: {}", peer_id, why));
    }
    disconnect(peer_id);
    auto &peer = peers_[peer_id];
    check(make_endpoint(peer, door().worker, worker_address, UCP_ERR_HANDLING_MODE_PEER, peer.to_door),
          fmt::format("cannot connect to node {} over '{}'", peer_id, options_.kind));
    sessions_.open(peer_id, incarnation);
    peer.introduced = false;
    if (peer.announcer == incarnation) {
        introduce(peer);
    }
}

ucs_status_t UcxTransport::make_endpoint(Peer &peer, const Worker &from, std::span<const std::byte> address,
                                         ucp_err_handling_mode_t mode, ucp_ep_h &endpoint) {
    ucp_ep_params_t params{};
    params.field_mask =
        UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
    params.address = reinterpret_cast<const ucp_address_t *>(address.data());
    params.err_mode = mode;
    params.err_handler = {.cb = &UcxTransport::on_error, .arg = &peer};
    return ucp_ep_create(from.get(), &params, &endpoint);
}

void UcxTransport::disconnect(NodeId peer_id) {
    if (sessions_.close(peer_id)) {
        close(peers_[peer_id]);
    }
}

void UcxTransport::close(Peer &peer) {
    if (peer.to_door == nullptr) {
        return;
    }
    auto param = ending_param();
    param.op_attr_mask |= UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = UCP_EP_CLOSE_FLAG_FORCE;
    count_ending(ucp_ep_close_nbx(std::exchange(peer.to_door, nullptr), &param));
    if (peer.lane != nullptr) {
        peer.to_lane = nullptr;
        std::exchange(peer.lane, nullptr)->ended = lanes_ended_ = true;
    }
}

void UcxTransport::flush(ucp_ep_h endpoint) {
    auto param = ending_param();
    count_ending(ucp_ep_flush_nbx(endpoint, &param));
}

ucp_request_param_t UcxTransport::ending_param() {
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    param.cb.send = &UcxTransport::on_ended;
    param.user_data = this;
    return param;
}

void UcxTransport::count_ending(ucs_status_ptr_t request) {
    if (UCS_PTR_IS_PTR(request)) {
        ++endings_in_flight_;
    }
}

void UcxTransport::on_ended(void *request, ucs_status_t, void *user_data) {
    --static_cast<UcxTransport *>(user_data)->endings_in_flight_;
    ucp_request_free(request);
}

void UcxTransport::on_error(void *arg, ucp_ep_h endpoint, ucs_status_t status) {
    auto &peer = *static_cast<Peer *>(arg);
    if (peer.uses(endpoint)) {
        peer.transport->mark_broken(peer, status);
    }
}

void UcxTransport::mark_broken(const Peer &peer, ucs_status_t why) {
    sessions_.mark_broken(id_of(peer), ucs_status_string(why));
}

bool UcxTransport::progress() {
    const bool happened = progress_lanes();
    return sessions_.has_work() && sessions_.work() ? true : happened;
}

bool UcxTransport::arm() {
    return !sessions_.has_work() && arm_lanes();
}

void UcxTransport::progress_until_idle(std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while ((sends_in_flight_ != 0 || fetches_in_flight_ != 0 || endings_in_flight_ != 0) &&
           std::chrono::steady_clock::now() < deadline) {
        progress_lanes();
    }
}

std::string UcxTransport::describe() const {
    const auto name = options_.kind == "ucx" ? "ucx" : "ucx " + options_.kind;
    for (const auto &peer : peers_) {
        if (sessions_.connected(id_of(peer))) {
            const auto lane = first_lane(peer.endpoint());
            if (!lane.empty()) {
                return fmt::format("{} ({})", name, lane);
            }
        }
    }
    return name;
}

} // namespace norma::rpc::ucx
