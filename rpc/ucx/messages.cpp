// SPDX-License-Identifier: BSD-3-Clause
// The message path of UcxTransport: send() down to UCX, and from UCX's callbacks up to the handlers.
#include "rpc/ucx/transport.hpp"

#include <cassert>
#include <memory>
#include <utility>

namespace norma::rpc::ucx {

void UcxTransport::send(NodeId peer_id, std::span<const std::byte> record, StagingPtr payload) {
    assert(record.size() <= kMaxRecordBytes && (!payload || payload->size <= kMaxPayloadBytes));
    if (!sessions_.connected(peer_id)) {
        return;
    }
    auto &peer = peers_[peer_id];
    if (!peer.introduced) {
        introduce(peer);
    }
    auto &outgoing = idle_outgoing(peer);
    outgoing.payload = std::move(payload);
    sessions_.seal(peer_id, record, outgoing.payload ? outgoing.payload->size : 0, outgoing.front);
    post(outgoing, kMessageId);
}

UcxTransport::Outgoing &UcxTransport::idle_outgoing(Peer &peer) {
    if (idle_outgoing_.empty()) {
        idle_outgoing_.push_back(&outgoing_.emplace_back());
    }
    auto &outgoing = *idle_outgoing_.back();
    idle_outgoing_.pop_back();
    outgoing.peer = &peer;
    outgoing.endpoint = peer.endpoint();
    return outgoing;
}

void UcxTransport::post(Outgoing &outgoing, unsigned id) {
    ++sends_in_flight_;
    const auto request = hand_over(outgoing, id);
    if (UCS_PTR_IS_PTR(request)) {
        return; // on_sent() follows
    }
    finish_outgoing(outgoing);
    if (UCS_PTR_IS_ERR(request)) {
        mark_broken(*outgoing.peer, UCS_PTR_STATUS(request));
    }
}

const UcxTransport::Lane &UcxTransport::lane_of(const Outgoing &outgoing) const {
    return outgoing.endpoint == outgoing.peer->to_door ? door() : *outgoing.peer->lane;
}

ucs_status_ptr_t UcxTransport::hand_over(Outgoing &outgoing, unsigned id) {
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS |
                         UCP_OP_ATTR_FIELD_MEMORY_TYPE;
    param.flags = UCP_AM_SEND_FLAG_EAGER;
    param.cb.send = &UcxTransport::on_sent;
    param.user_data = &outgoing;
    param.memory_type = UCS_MEMORY_TYPE_HOST;
    auto &front = outgoing.front;
    const auto *staging = static_cast<StagingBuffer *>(outgoing.payload.get());
    const void *data = staging != nullptr ? staging->data : nullptr;
    const std::size_t size = staging != nullptr ? staging->size : 0;
    const auto &lane = lane_of(outgoing);
    if (front.size() <= lane.worker.max_header()) {
        if (size != 0 && staging->registration != nullptr && &lane == &door()) { // of the door's context
            param.op_attr_mask |= UCP_OP_ATTR_FIELD_MEMH;
            param.memh = static_cast<ucp_mem_h>(staging->registration);
        }
        return ucp_am_send_nbx(outgoing.endpoint, id, front.data(), front.size(), data, size, &param);
    }
    if (size == 0) {
        return ucp_am_send_nbx(outgoing.endpoint, id, nullptr, 0, front.data(), front.size(), &param);
    }
    outgoing.iov = {ucp_dt_iov_t{front.data(), front.size()}, ucp_dt_iov_t{const_cast<void *>(data), size}};
    param.op_attr_mask |= UCP_OP_ATTR_FIELD_DATATYPE;
    param.datatype = ucp_dt_make_iov();
    return ucp_am_send_nbx(outgoing.endpoint, id, nullptr, 0, outgoing.iov.data(), 2, &param);
}

void UcxTransport::finish_outgoing(Outgoing &outgoing) {
    outgoing.payload.reset();
    idle_outgoing_.push_back(&outgoing);
    --sends_in_flight_;
}

void UcxTransport::on_sent(void *request, ucs_status_t status, void *user_data) {
    auto &outgoing = *static_cast<Outgoing *>(user_data);
    auto &peer = *outgoing.peer;
    auto &transport = *peer.transport;
    if (status != UCS_OK && peer.uses(outgoing.endpoint)) {
        transport.mark_broken(peer, status);
    }
    transport.finish_outgoing(outgoing);
    ucp_request_free(request);
}

ucs_status_t UcxTransport::on_message(void *arg, const void *header, std::size_t header_length, void *data,
                                      std::size_t length, const ucp_am_recv_param_t *param) {
    const auto &lane = *static_cast<Lane *>(arg);
    auto &transport = lane.transport;
    const std::span front(static_cast<const std::byte *>(header), header_length);
    if ((param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0) {
        return transport.fetch(lane, front, data, length);
    }
    transport.accept(front, std::span(static_cast<const std::byte *>(data), length));
    return UCS_OK;
}

// UCX announces data rather than bringing it only if a setting of the user's says so; it works, but is not tuned.
ucs_status_t UcxTransport::fetch(const Lane &lane, std::span<const std::byte> front, void *descriptor,
                                 std::size_t length) {
    if (length > kHeaderBytes + kMaxRecordBytes + kMaxPayloadBytes) {
        sessions_.refuse(Verdict::garbage);
        return UCS_ERR_MESSAGE_TRUNCATED;
    }
    auto pending = std::make_unique<Fetch>();
    pending->transport = this;
    pending->front.assign(front.begin(), front.end());
    pending->data.resize(length);
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
    param.cb.recv_am = &UcxTransport::on_fetched;
    param.user_data = pending.get();
    const auto request = ucp_am_recv_data_nbx(lane.worker.get(), descriptor, pending->data.data(), length, &param);
    if (UCS_PTR_IS_PTR(request)) {
        ++fetches_in_flight_;
        pending.release(); // on_fetched() takes it back
    }
    return UCS_INPROGRESS;
}

void UcxTransport::on_fetched(void *request, ucs_status_t status, std::size_t, void *user_data) {
    const std::unique_ptr<Fetch> fetched(static_cast<Fetch *>(user_data));
    ucp_request_free(request);
    --fetched->transport->fetches_in_flight_;
    if (status == UCS_OK) {
        fetched->transport->accept(fetched->front, fetched->data);
    }
}

void UcxTransport::accept(std::span<const std::byte> front, std::span<const std::byte> data) {
    if (leaving_) {
        return;
    }
    sessions_.accept(front, data);
}

} // namespace norma::rpc::ucx
