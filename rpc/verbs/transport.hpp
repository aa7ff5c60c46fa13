// SPDX-License-Identifier: BSD-3-Clause
// Transport straight on libibverbs, connected by librdmacm: reliable connected queue pairs, one shared receive queue.
//
// Of two nodes the one with the lower number makes the request, and the other accepts it once its own connect() has
// been called for that life of the requester; until then the request is held. While it waits it asks now and then
// whether the requester is there at all, with a request that the other side refuses, so that a death is noticed then
// too. Whatever goes wrong with a connection makes the peer "down": first the queue pair is put into the error state,
// so that nothing of the peer's can land or be read here any more, then `down` is called; the buffers the device may
// still use are given up when the queue pair has ended.
#pragma once

#include "rpc/sessions.hpp"
#include "rpc/staging.hpp"
#include "rpc/transport.hpp"
#include "rpc/verbs/engine.hpp"
#include "rpc/verbs/hello.hpp"
#include "rpc/verbs/link.hpp"

#include <chrono>
#include <string>
#include <unordered_map>
#include <vector>

namespace norma::rpc::verbs {

class VerbsTransport final : public Transport {
  public:
    VerbsTransport(const Options &options, Handlers handlers, Provider &provider = system_provider());
    ~VerbsTransport() override;

    std::vector<std::byte> address() const override;
    void connect(NodeId peer, std::uint32_t incarnation, std::span<const std::byte> address) override;
    void send(NodeId peer, std::span<const std::byte> record, StagingPtr payload) override;
    StagingPtr stage() override { return pool_->take(); }
    bool progress() override;
    int event_fd() const override { return engine_.event_fd(); }
    bool arm() override;
    void disconnect(NodeId peer) override;
    const Counters &counters() const override { return sessions_.counters(); }
    std::string describe() const override;

  private:
    using Clock = std::chrono::steady_clock;
    struct Request {
        IdPtr id;
        Hello hello;
    };
    struct Peer {
        std::unique_ptr<Link> link;
        std::uint32_t incarnation = 0; // of the last connect()
        std::vector<std::byte> address;
        unsigned credits = 0;      // what the peer grants, known before the link is open
        Clock::time_point since{}; // connect()
        std::optional<Request> held;
        IdPtr probe; // while this node waits for the peer's request: is the peer there at all?
    };
    struct Closing {
        std::unique_ptr<Link> link;
        bool receives_ended = false; // the device takes no more receive slots for it
        unsigned ticks = 0;
    };

    // Connections (connections.cpp).
    void handle(CmEvent &event);
    void handle_of_stranger(CmEvent &event);
    void look_for(Peer &peer);
    void handle_of_probe(Peer &peer, CmEvent &event);
    void handle_of_link(Link &link, CmEvent &event);
    void requested(CmEvent &event);
    void refuse(IdPtr id, Verdict verdict);
    void accept(NodeId peer);
    void request(Link &link);
    void opened(Link &link, const CmEvent &event);
    void refused(Link &link, const CmEvent &event);
    void handle(const ibv_async_event &event);
    Hello hello_for(NodeId peer) const;
    void release(std::unique_ptr<Link> link);
    void tick();
    void finish_closing(bool at_once);

    bool handle_events();
    bool handle_receives();
    void drain_receives(); // all that had arrived before
    bool handle_sends();
    void handle_receive(const ibv_wc &completion);
    void handle_send(const ibv_wc &completion);
    void break_link(Link &link, std::string why);
    void drain();
    NodeId peer_of(const Link &link) const;

    static constexpr std::size_t kBatch = 16;

    const Options options_;
    // Destroyed in reverse order: links before the buffers their queue pairs use, buffers before the device.
    Engine engine_;
    StagingPool::Ptr pool_;
    Sessions sessions_;
    std::unordered_map<std::uint32_t, Link *> links_; // by number, as long as they are in the device's hands
    std::unordered_map<std::uint32_t, Link *> links_by_qp_;
    std::unordered_map<std::uint32_t, NodeId> owners_; // of links that are some peer's, by number
    std::vector<Peer> peers_;
    std::vector<Closing> closing_;
    std::uint32_t next_link_ = 0;
    std::vector<std::byte> front_;                   // of the message being sent
    std::vector<ibv_wc> seen_receives_, seen_sends_; // found by arm(), for progress()
    bool armed_ = false;
    bool leaving_ = false; // in the destructor: the owner's handlers may be gone already
    unsigned turns_ = 0;
};

} // namespace norma::rpc::verbs
