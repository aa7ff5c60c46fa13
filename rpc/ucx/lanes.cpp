// SPDX-License-Identifier: BSD-3-Clause
// The private lanes of UcxTransport: how two nodes that share memory come to use a pair of workers of their own, and
// how workers end. An announcement is a message header with the sealed address of a worker as its record; it goes from
// door to door and has no place in the order of messages. What a node sends before it has heard the other's goes to the
// door too, and the inbox puts in order what overtakes it.
#include "rpc/ucx/transport.hpp"

#include "rpc/address.hpp"

#include <algorithm>
#include <utility>

namespace norma::rpc::ucx {

namespace {

// "posix" for "posix/memory"; empty: the endpoint does not go through shared memory.
std::string shared_memory_of(ucp_ep_h endpoint) {
    const auto lane = first_lane(endpoint);
    return lane.ends_with("/memory") ? lane.substr(0, lane.find('/')) : std::string();
}

} // namespace

UcxTransport::Lane::Lane(UcxTransport &owner, const Context &context) : transport(owner), worker(context) {
    worker.on_message(kMessageId, &UcxTransport::on_message, this);
    worker.on_message(kAnnouncementId, &UcxTransport::on_announcement, this);
}

UcxTransport::Lane &UcxTransport::add_lane(const Context &context) {
    auto &lane = *lanes_.emplace_back(std::make_unique<Lane>(*this, context));
    awake_.add(lane.worker);
    return lane;
}

void UcxTransport::introduce(Peer &peer) {
    peer.introduced = true;
    const auto way = shared_memory_of(peer.to_door);
    if (way.empty()) {
        return;
    }
    try {
        if (!shared_memory_) {
            shared_memory_.emplace("lane", true, way);
        }
        peer.lane = &add_lane(*shared_memory_);
        announce(peer);
    } catch (const std::exception &) {
        peer.lane = nullptr; // no memory or descriptor for it is left: the door will do
    }
    use_announced_lane(peer);
}

void UcxTransport::announce(Peer &peer) {
    const auto address = seal_address(options_.kind, peer.lane->worker.address());
    auto &outgoing = idle_outgoing(peer);
    const MessageHeader header{
        .source = options_.self,
        .destination = id_of(peer),
        .job_key = options_.job_key,
        .source_incarnation = options_.incarnation,
        .destination_incarnation = incarnation_of(peer),
        .record_bytes = static_cast<std::uint32_t>(address.size()),
    };
    outgoing.front.resize(kHeaderBytes);
    encode_header(header, std::span(outgoing.front).first<kHeaderBytes>());
    outgoing.front.insert(outgoing.front.end(), address.begin(), address.end());
    post(outgoing, kAnnouncementId);
}

ucs_status_t UcxTransport::on_announcement(void *arg, const void *header, std::size_t header_length, void *data,
                                           std::size_t length, const ucp_am_recv_param_t *param) {
    auto &transport = static_cast<Lane *>(arg)->transport;
    if (transport.leaving_) {
        return UCS_OK;
    }
    Message message;
    auto verdict = Verdict::garbage;
    if ((param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) == 0) {
        verdict =
            decode_message({static_cast<const std::byte *>(header), header_length},
                           {static_cast<const std::byte *>(data), length}, transport.sessions_.expected(), message);
    }
    if (verdict == Verdict::ok) {
        transport.heed(message);
    } else if (verdict == Verdict::garbage || verdict == Verdict::version) {
        transport.sessions_.refuse(verdict);
    } // else it is a stranger's, whose messages will be counted one by one
    return UCS_OK;
}

void UcxTransport::heed(const Message &announcement) {
    const auto from = announcement.header.source;
    auto &peer = peers_[from];
    peer.announcer = announcement.header.source_incarnation;
    peer.announced.assign(announcement.record.begin(), announcement.record.end());
    if (!sessions_.connected(from)) {
        return; // connect() will look
    }
    if (!peer.introduced) {
        introduce(peer);
    } else {
        use_announced_lane(peer);
    }
}

void UcxTransport::use_announced_lane(Peer &peer) {
    if (peer.lane == nullptr || peer.to_lane != nullptr || peer.announcer != incarnation_of(peer)) {
        return;
    }
    std::string why;
    const auto address = open_address(options_.kind, peer.announced, why);
    if (address.empty()) {
        sessions_.refuse(Verdict::garbage);
        return;
    }
    // Without error handling there is nothing to be connected: such an endpoint only knows where the queue is. The one
    // to the peer's door tells of its death.
    const auto status = make_endpoint(peer, peer.lane->worker, address, UCP_ERR_HANDLING_MODE_NONE, peer.to_lane);
    if (status != UCS_OK) {
        peer.to_lane = nullptr;
        mark_broken(peer, status);
    }
}

// To be called outside UCX's callbacks. An ended lane makes no progress any more, and its endpoint goes with its
// worker; only now is reported what could not be sent.
void UcxTransport::drop_ended_lanes() {
    lanes_ended_ = false;
    std::vector<std::unique_ptr<Lane>> dropped;
    for (auto &lane : lanes_) {
        if (lane->ended) {
            dropped.push_back(std::move(lane));
        }
    }
    std::erase(lanes_, nullptr);
}

bool UcxTransport::progress_lanes() {
    bool happened = false;
    for (std::size_t n = 0; n < lanes_.size(); ++n) { // a handler may add one, or end one
        if (!lanes_[n]->ended) {
            happened |= ucp_worker_progress(lanes_[n]->worker.get()) != 0;
        }
    }
    if (lanes_ended_) {
        drop_ended_lanes();
    }
    return happened;
}

// A queue that is blocked would never be armed, but by then its lane has ended.
bool UcxTransport::arm_lanes() {
    return !lanes_ended_ &&
           std::ranges::all_of(lanes_, [](const auto &lane) { return ucp_worker_arm(lane->worker.get()) == UCS_OK; });
}

} // namespace norma::rpc::ucx
