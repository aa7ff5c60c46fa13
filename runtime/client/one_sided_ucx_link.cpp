// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/one_sided_ucx_link.hpp"

#include <utility>

namespace norma::rt {

void look_for_dead(const rpc::ucx::Worker &worker) {
    constexpr int kTurns = 64;
    for (int turn = 0; turn < kTurns; ++turn) {
        ucp_worker_progress(worker.get());
    }
}

void Link::open(const rpc::ucx::Worker &worker, std::span<const std::byte> address) {
    ucp_ep_params_t params{};
    params.field_mask =
        UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
    params.address = reinterpret_cast<const ucp_address_t *>(address.data());
    params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
    params.err_handler = {.cb =
                              [](void *link, ucp_ep_h endpoint, ucs_status_t) {
                                  auto &self = *static_cast<Link *>(link);
                                  // A late report about a former endpoint says nothing about the present one.
                                  if (self.endpoint_ == endpoint) {
                                      self.broken_ = true;
                                  }
                              },
                          .arg = this};
    rpc::ucx::check(ucp_ep_create(worker.get(), &params, &endpoint_), "cannot reach another task for one-sided access");
    broken_ = false;
}

void Link::close() {
    if (endpoint_ == nullptr) {
        return;
    }
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = UCP_EP_CLOSE_FLAG_FORCE;
    const auto request = ucp_ep_close_nbx(std::exchange(endpoint_, nullptr), &param);
    if (UCS_PTR_IS_PTR(request)) {
        ucp_request_free(request); // it ends by itself, as the worker is progressed
    }
}

std::size_t Link::best_piece() const {
    const auto lane = rpc::ucx::first_lane(endpoint_);
    return lane.starts_with("posix") || lane.starts_with("sysv") ? kSharedMemoryPiece : kMostPiece;
}

std::byte *Outbox::room() {
    if (next_ == nullptr) {
        if (idle_.empty()) {
            if (messages_.size() == kMost) {
                return nullptr;
            }
            auto &made = messages_.emplace_back();
            made.outbox = this;
            made.data = std::make_unique<std::byte[]>(kMostPiece);
            idle_.push_back(&made);
        }
        next_ = idle_.back();
        idle_.pop_back();
    }
    return next_->data.get();
}

void Outbox::post(Link &link, unsigned id, std::size_t head, std::size_t bytes) {
    auto &message = *std::exchange(next_, nullptr);
    if (link.endpoint() == nullptr) {
        idle_.push_back(&message);
        return;
    }
    message.link = &link;
    message.endpoint = link.endpoint();
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS |
                         UCP_OP_ATTR_FIELD_MEMORY_TYPE;
    param.flags = UCP_AM_SEND_FLAG_EAGER;
    param.cb.send = &Outbox::on_sent;
    param.user_data = &message;
    param.memory_type = UCS_MEMORY_TYPE_HOST;
    const auto request = ucp_am_send_nbx(link.endpoint(), id, message.head.data(), head,
                                         bytes == 0 ? nullptr : message.data.get(), bytes, &param);
    if (UCS_PTR_IS_PTR(request)) {
        return; // on_sent() follows
    }
    idle_.push_back(&message);
    if (UCS_PTR_IS_ERR(request)) {
        link.mark_broken();
    }
}

void Outbox::on_sent(void *request, ucs_status_t status, void *user_data) {
    auto &message = *static_cast<Message *>(user_data);
    if (status != UCS_OK && message.link->endpoint() == message.endpoint) {
        message.link->mark_broken();
    }
    message.outbox->idle_.push_back(&message);
    ucp_request_free(request);
}

} // namespace norma::rt
