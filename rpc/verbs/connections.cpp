// SPDX-License-Identifier: BSD-3-Clause
// How the connections of VerbsTransport come and go: requests, answers, refusals, and the ends of queue pairs.
#include "rpc/verbs/transport.hpp"

#include "rpc/address.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace norma::rpc::verbs {

namespace {

constexpr std::chrono::seconds kConnectLimit{30};
// Ticks after which a queue pair is ended although the device has not said that it is done with it.
constexpr unsigned kClosingTicks = 2;
constexpr std::size_t kMostClosing = 64;

std::string reason(const char *what, int status) {
    return fmt::format("{}: {}", what, status < 0 ? std::strerror(-status) : std::to_string(status));
}

} // namespace

std::vector<std::byte> VerbsTransport::address() const {
    const auto listening = engine_.listening_at();
    return seal_address("verbs", std::as_bytes(std::span(&listening, 1)));
}

void VerbsTransport::connect(NodeId peer_id, std::uint32_t incarnation, std::span<const std::byte> address) {
    sessions_.check_peer(peer_id, incarnation);
    std::string why;
    const auto inner = open_address("verbs", address, why);
    if (inner.size() != sizeof(sockaddr_storage)) {
        throw std::runtime_error(
            fmt::format("the address of node {} is no good: {}", peer_id, why.empty() ? "no IP address" : why));
    }
    disconnect(peer_id);
    if (closing_.size() > kMostClosing) {
        finish_closing(true);
    }
    auto &peer = peers_[peer_id];
    const Link::Hooks hooks{
        .message =
            [this](Link &, auto front, auto data) {
                if (!leaving_) {
                    sessions_.accept(front, data);
                }
            },
        .broken = [this](Link &link, std::string text) { break_link(link, std::move(text)); },
    };
    try {
        auto link = std::make_unique<Link>(engine_, *pool_, hooks, next_link_++);
        if (options_.self < peer_id) {
            link->start(engine_.resolve(link.get(), inner));
        }
        peer.link = std::move(link);
    } catch (const std::runtime_error &error) {
        throw std::runtime_error(fmt::format("cannot connect to node {} over 'verbs': {}", peer_id, error.what()));
    }
    peer.incarnation = incarnation;
    peer.credits = 0;
    peer.address.assign(inner.begin(), inner.end());
    peer.since = Clock::now();
    links_[peer.link->number()] = peer.link.get();
    owners_[peer.link->number()] = peer_id;
    sessions_.open(peer_id, incarnation);
    if (peer.held) {
        accept(peer_id);
    }
}

Hello VerbsTransport::hello_for(NodeId peer) const {
    return {.header = {.source = options_.self,
                       .destination = peer,
                       .job_key = options_.job_key,
                       .source_incarnation = options_.incarnation,
                       .destination_incarnation = peers_[peer].incarnation},
            .credits = peers_[peer].link->granted()};
}

void VerbsTransport::handle(CmEvent &event) {
    if (event.type == RDMA_CM_EVENT_CONNECT_REQUEST) {
        requested(event);
        return;
    }
    if (event.type == RDMA_CM_EVENT_DEVICE_REMOVAL) {
        for (const auto &[number, link] : std::unordered_map(links_)) {
            break_link(*link, "the device has been removed");
        }
        return;
    }
    if (auto *link = static_cast<Link *>(event.id->context)) {
        handle_of_link(*link, event);
    } else {
        handle_of_stranger(event);
    }
}

void VerbsTransport::handle_of_stranger(CmEvent &event) {
    for (auto &peer : peers_) {
        if (peer.held && peer.held->id.get() == event.id) {
            peer.held.reset(); // it went away before it was accepted
        }
        if (peer.probe.get() == event.id) {
            handle_of_probe(peer, event);
        }
    }
}

void VerbsTransport::look_for(Peer &peer) {
    try {
        peer.probe = engine_.resolve(nullptr, peer.address);
    } catch (const std::runtime_error &error) {
        break_link(*peer.link, error.what());
    }
}

void VerbsTransport::handle_of_probe(Peer &peer, CmEvent &event) {
    if (event.type == RDMA_CM_EVENT_ADDR_RESOLVED &&
        engine_.provider().resolve_route(event.id, kResolveMilliseconds) == 0) {
        return;
    }
    if (event.type == RDMA_CM_EVENT_ROUTE_RESOLVED && peer.link) {
        const auto hello = encode_hello(hello_for(peer_of(*peer.link)));
        auto param = engine_.connection_param(hello);
        if (engine_.provider().connect(event.id, &param) == 0) {
            return;
        }
    }
    peer.probe.reset();
    if (!peer.link) {
        return;
    }
    const auto refusal = event.type == RDMA_CM_EVENT_REJECTED ? decode_refusal(event.data) : std::nullopt;
    if (refusal && *refusal != Verdict::ok) {
        break_link(*peer.link, fmt::format("it refuses this node: {}", norma::rpc::describe(*refusal)));
    } else if (event.type == RDMA_CM_EVENT_REJECTED && event.status == kNobodyListens) {
        break_link(*peer.link, "nobody listens at its address");
    }
    // Anything else says nothing about the peer: a slow or busy kernel refuses or loses a request too. The next one may
    // get through, and how long all that may take is limited.
}

void VerbsTransport::handle_of_link(Link &link, CmEvent &event) {
    if (link.revoked()) {
        return;
    }
    switch (event.type) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
        engine_.limit_patience(link.id());
        if (engine_.provider().resolve_route(link.id(), kResolveMilliseconds) != 0) {
            break_link(link, reason("no route", -errno));
        }
        break;
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
        request(link);
        break;
    case RDMA_CM_EVENT_ESTABLISHED:
        opened(link, event);
        break;
    case RDMA_CM_EVENT_REJECTED:
        refused(link, event);
        break;
    case RDMA_CM_EVENT_DISCONNECTED:
        // All it had sent before is here by now.
        drain_receives();
        break_link(link, "it has closed the connection");
        break;
    case RDMA_CM_EVENT_TIMEWAIT_EXIT:
    case RDMA_CM_EVENT_ADDR_CHANGE:
        break;
    default:
        break_link(link, reason(rdma_event_str(event.type), event.status));
    }
}

void VerbsTransport::request(Link &link) {
    const auto peer = peer_of(link);
    try {
        link.make_queue();
    } catch (const std::runtime_error &error) {
        break_link(link, error.what());
        return;
    }
    links_by_qp_[link.queue().qp_number()] = &link;
    const auto hello = encode_hello(hello_for(peer));
    auto param = engine_.connection_param(hello);
    if (engine_.provider().connect(link.id(), &param) != 0) {
        break_link(link, reason("cannot send a request", -errno));
    }
}

// The answer to this node's request, or the end of the handshake that accept() began.
void VerbsTransport::opened(Link &link, const CmEvent &event) {
    const auto peer_id = peer_of(link);
    if (options_.self < peer_id) {
        Hello welcome;
        const auto verdict = decode_hello(event.data, sessions_.expected(), welcome);
        if (verdict != Verdict::ok || welcome.header.source != peer_id) {
            sessions_.refuse(verdict);
            break_link(link, fmt::format("its answer is no good: {}", norma::rpc::describe(verdict)));
            return;
        }
        peers_[peer_id].credits = welcome.credits;
    }
    if (!link.is_open()) {
        link.open(peers_[peer_id].credits);
    }
}

void VerbsTransport::refused(Link &link, const CmEvent &event) {
    if (const auto verdict = decode_refusal(event.data)) {
        break_link(link, fmt::format("it refuses this node: {}", norma::rpc::describe(*verdict)));
    } else if (event.status == kNobodyListens) {
        break_link(link, "nobody listens at its address");
    } else {
        break_link(link, fmt::format("the request was refused ({})", event.status));
    }
}

void VerbsTransport::requested(CmEvent &event) {
    IdPtr id(event.id, {&engine_.provider()});
    id->context = nullptr;
    Hello hello;
    const auto verdict = decode_hello(event.data, sessions_.expected(), hello);
    const auto source = hello.header.source;
    const bool later_life = (verdict == Verdict::incarnation || verdict == Verdict::gone) &&
                            hello.header.destination_incarnation == options_.incarnation &&
                            hello.header.source_incarnation > peers_[source].incarnation;
    if (verdict != Verdict::ok && !later_life) {
        refuse(std::move(id), verdict);
        return;
    }
    if (source > options_.self) {
        refuse(std::move(id), Verdict::ok); // it only wants to know whether this node is here
        return;
    }
    auto &peer = peers_[source];
    if (peer.held) {
        refuse(std::move(peer.held->id), Verdict::gone); // it has tried again
    }
    peer.held = Request{std::move(id), hello};
    if (sessions_.connected(source)) {
        accept(source);
    }
}

void VerbsTransport::refuse(IdPtr id, Verdict verdict) {
    sessions_.refuse(verdict);
    const auto refusal = encode_refusal(verdict);
    engine_.provider().reject(id.get(), refusal.data(), static_cast<std::uint8_t>(refusal.size()));
}

// Accepts the request that is held for a connected peer, if it is of the right life and the peer has none open.
void VerbsTransport::accept(NodeId peer_id) {
    auto &peer = peers_[peer_id];
    const auto life = peer.held->hello.header.source_incarnation;
    if (life < peer.incarnation) {
        refuse(std::move(peer.held->id), Verdict::incarnation);
        peer.held.reset();
        return;
    }
    if (life > peer.incarnation || peer.link->id() != nullptr) {
        return;
    }
    auto &link = *peer.link;
    peer.credits = peer.held->hello.credits;
    link.start(std::move(peer.held->id));
    peer.held.reset();
    engine_.limit_patience(link.id());
    try {
        link.make_queue();
    } catch (const std::runtime_error &error) {
        break_link(link, error.what());
        return;
    }
    links_by_qp_[link.queue().qp_number()] = &link;
    const auto welcome = encode_hello(hello_for(peer_id));
    auto param = engine_.connection_param(welcome);
    if (engine_.provider().accept(link.id(), &param) != 0) {
        break_link(link, reason("cannot accept its request", -errno));
    }
}

void VerbsTransport::handle(const ibv_async_event &event) {
    switch (event.event_type) {
    case IBV_EVENT_DEVICE_FATAL:
    case IBV_EVENT_CQ_ERR:
    case IBV_EVENT_SRQ_ERR:
        for (const auto &[number, link] : std::unordered_map(links_)) {
            break_link(*link, ibv_event_type_str(event.event_type));
        }
        break;
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
        for (const auto &[number, link] : std::unordered_map(links_)) {
            if (link->has_queue() && link->id()->qp == event.element.qp) {
                break_link(*link, ibv_event_type_str(event.event_type));
            }
        }
        break;
    case IBV_EVENT_QP_LAST_WQE_REACHED:
        for (auto &closing : closing_) {
            closing.receives_ended |= closing.link->id()->qp == event.element.qp;
        }
        break;
    default:
        break; // ports that go and come, addresses: what matters shows in the connections
    }
}

void VerbsTransport::tick() {
    const auto now = Clock::now();
    for (auto &peer : peers_) {
        if (!peer.link || peer.link->revoked()) {
            continue;
        }
        peer.link->keep_alive();
        if (!peer.link->is_open() && now - peer.since > kConnectLimit) {
            break_link(*peer.link, fmt::format("no connection within {} s", kConnectLimit.count()));
        }
        if (peer.link->id() == nullptr && !peer.probe) {
            look_for(peer);
        }
    }
    for (auto &closing : closing_) {
        ++closing.ticks;
    }
}

// Ends the queue pairs that the device is done with, or has had time enough to be.
void VerbsTransport::finish_closing(bool at_once) {
    const auto done = [at_once](const Closing &closing) {
        return at_once || closing.ticks >= kClosingTicks || (closing.receives_ended && closing.link->queue().idle());
    };
    if (std::ranges::none_of(closing_, done)) {
        return;
    }
    drain_receives(); // receive slots that are still in their hands would be lost with them
    std::erase_if(closing_, [&](const Closing &closing) {
        if (!done(closing)) {
            return false;
        }
        links_by_qp_.erase(closing.link->queue().qp_number());
        links_.erase(closing.link->number());
        return true;
    });
}

} // namespace norma::rpc::verbs
