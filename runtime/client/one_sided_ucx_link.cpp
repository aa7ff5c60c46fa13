// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/one_sided_ucx_link.hpp"

#include <algorithm>
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

void end_connection(const rpc::ucx::Worker &worker, Link &link) {
    link.close();
    look_for_dead(worker);
}

std::size_t Link::best_piece() const {
    const auto lane = rpc::ucx::first_lane(endpoint_);
    return lane.starts_with("posix") || lane.starts_with("sysv") ? kSharedMemoryPiece : kMostPiece;
}

PieceStatus status_of(std::span<const std::byte> &piece) {
    PieceStatus status = KERN_FAILURE;
    if (piece.size() >= sizeof status) {
        const auto bytes = piece.size() - sizeof status;
        std::memcpy(&status, piece.data() + bytes, sizeof status);
        piece = piece.first(bytes);
    }
    return status;
}

Outbox::Message &Outbox::idle() {
    if (idle_.empty()) {
        auto &made = messages_.emplace_back();
        made.outbox = this;
        made.data = std::make_unique<std::byte[]>(kMostPiece + sizeof(PieceStatus));
        return made;
    }
    auto &found = *idle_.back();
    idle_.pop_back();
    return found;
}

void Outbox::fill(Message &message, std::byte *to) {
    const auto status = filler_.fill(message.ask, to, message.bytes);
    if (status != KERN_SUCCESS) {
        std::memset(to, 0, message.bytes);
    }
    std::memcpy(to + message.bytes, &status, sizeof status);
}

// A message whose bytes UCX asks for when it has a buffer for them. One that it would send in parts is not for this.
ucp_datatype_t Outbox::filled_late() {
    static const ucp_datatype_t type = [] {
        ucp_generic_dt_ops_t ops{};
        ops.start_pack = [](void *, const void *message, std::size_t) { return const_cast<void *>(message); };
        ops.packed_size = [](void *state) { return static_cast<Message *>(state)->bytes + sizeof(PieceStatus); };
        ops.pack = [](void *state, std::size_t offset, void *to, std::size_t most) -> std::size_t {
            auto &message = *static_cast<Message *>(state);
            const auto bytes = message.bytes + sizeof(PieceStatus);
            if (offset == 0 && most >= bytes) {
                message.outbox->fill(message, static_cast<std::byte *>(to));
                return bytes;
            }
            if (offset == 0) { // in parts after all
                message.outbox->fill(message, message.data.get());
            }
            const auto part = std::min(most, bytes - offset);
            std::memcpy(to, message.data.get() + offset, part);
            return part;
        };
        ops.finish = [](void *) {};
        ucp_datatype_t made = 0;
        rpc::ucx::check(ucp_dt_create_generic(&ops, nullptr, &made), "UCX takes no data of norma's own kind");
        return made;
    }();
    return type;
}

// Small ones are quickest from a buffer, and large ones too where UCX sends from it rather than from a copy.
void Outbox::post_piece(Link &link, unsigned id, Message &message, std::size_t head) {
    constexpr std::size_t kLeastLate = 256;
    if (message.bytes >= kLeastLate && message.bytes <= kSharedMemoryPiece) {
        post(link, id, message, head, filled_late(), &message, 1);
        return;
    }
    fill(message, message.data.get());
    post(link, id, message, head, message.bytes + sizeof(PieceStatus));
}

void Outbox::post(Link &link, unsigned id, Message &message, std::size_t head, std::size_t bytes) {
    post(link, id, message, head, ucp_dt_make_contig(1), bytes == 0 ? nullptr : message.data.get(), bytes);
}

void Outbox::post(Link &link, unsigned id, Message &message, std::size_t head, ucp_datatype_t type, const void *data,
                  std::size_t count) {
    if (link.endpoint() == nullptr) {
        idle_.push_back(&message);
        return;
    }
    message.link = &link;
    message.endpoint = link.endpoint();
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS |
                         UCP_OP_ATTR_FIELD_MEMORY_TYPE | UCP_OP_ATTR_FIELD_DATATYPE;
    param.flags = UCP_AM_SEND_FLAG_EAGER;
    param.cb.send = &Outbox::on_sent;
    param.user_data = &message;
    param.memory_type = UCS_MEMORY_TYPE_HOST;
    param.datatype = type;
    const auto request = ucp_am_send_nbx(link.endpoint(), id, message.head.data(), head, data, count, &param);
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
