// SPDX-License-Identifier: BSD-3-Clause
// Transport over UCX active messages. One message is one active message: header and record travel as its header, the
// payload straight from the staging buffer as its data, always eagerly.
//
// Over shared memory every writer puts its messages into one queue of the worker it writes to, and one that is killed
// between taking its place there and filling it blocks the queue for all, for ever (UCX 1.13, mm). So each peer that
// comes that way has a worker of its own here, to which nobody else writes: a private lane. It learns of it by the
// worker that every peer knows, the door, which peers on other machines go on using.
//
// Everything runs in the caller's thread: UCX calls back only from within ucp_worker_progress(), that is from
// progress() and from the destructor.
#pragma once

#include "rpc/sessions.hpp"
#include "rpc/staging.hpp"
#include "rpc/transport.hpp"
#include "rpc/ucx/engine.hpp"
#include "rpc/ucx/settings.hpp"

#include <array>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace norma::rpc::ucx {

class UcxTransport final : public Transport {
  public:
    UcxTransport(const Options &options, Handlers handlers);
    ~UcxTransport() override;

    std::vector<std::byte> address() const override;
    void connect(NodeId peer, std::uint32_t incarnation, std::span<const std::byte> address) override;
    void send(NodeId peer, std::span<const std::byte> record, StagingPtr payload) override;
    StagingPtr stage() override { return pool_->take(); }
    bool progress() override;
    int event_fd() const override { return awake_.get(); }
    bool arm() override;
    void disconnect(NodeId peer) override;
    const Counters &counters() const override { return sessions_.counters(); }
    std::string describe() const override;

  private:
    static constexpr unsigned kMessageId = 0, kAnnouncementId = 1; // of active messages

    struct Lane {
        Lane(UcxTransport &owner, const Context &context);
        UcxTransport &transport;
        Worker worker;
        bool ended = false; // its peer is gone
    };
    struct Peer {
        UcxTransport *transport = nullptr;
        ucp_ep_h to_door = nullptr;
        bool introduced = false;     // a message was to be sent, or has come
        Lane *lane = nullptr;        // over shared memory: for what the peer sends
        ucp_ep_h to_lane = nullptr;  // once the peer has announced its own
        std::uint32_t announcer = 0; // incarnation of the peer that did, perhaps before connect() for it
        std::vector<std::byte> announced;
        ucp_ep_h endpoint() const { return to_lane != nullptr ? to_lane : to_door; }
        // A late report about a former endpoint says nothing about the present ones.
        bool uses(ucp_ep_h endpoint) const { return endpoint == to_door || endpoint == to_lane; }
    };
    // One message on its way out: UCX reads front, iov and payload until it reports completion.
    struct Outgoing {
        Peer *peer = nullptr;
        ucp_ep_h endpoint = nullptr;
        std::vector<std::byte> front;
        StagingPtr payload;
        std::array<ucp_dt_iov_t, 2> iov{};
    };
    // One message that UCX announced instead of bringing it along.
    struct Fetch {
        UcxTransport *transport = nullptr;
        std::vector<std::byte> front;
        std::vector<std::byte> data;
    };

    static ucs_status_t on_announcement(void *arg, const void *header, std::size_t header_length, void *data,
                                        std::size_t length, const ucp_am_recv_param_t *param);
    static ucs_status_t on_message(void *arg, const void *header, std::size_t header_length, void *data,
                                   std::size_t length, const ucp_am_recv_param_t *param);
    static void on_sent(void *request, ucs_status_t status, void *user_data);
    static void on_fetched(void *request, ucs_status_t status, std::size_t length, void *user_data);
    static void on_ended(void *request, ucs_status_t status, void *user_data);
    static void on_error(void *arg, ucp_ep_h endpoint, ucs_status_t status);

    ucs_status_t make_endpoint(Peer &peer, const Worker &from, std::span<const std::byte> address,
                               ucp_err_handling_mode_t mode, ucp_ep_h &endpoint);
    Lane &add_lane(const Context &context);
    void introduce(Peer &peer);
    void announce(Peer &peer);
    void heed(const Message &announcement);
    void use_announced_lane(Peer &peer);
    bool progress_lanes();
    void drop_ended_lanes();
    bool arm_lanes();
    Outgoing &idle_outgoing(Peer &peer);
    void post(Outgoing &outgoing, unsigned id);
    ucs_status_ptr_t hand_over(Outgoing &outgoing, unsigned id);
    void finish_outgoing(Outgoing &outgoing);
    ucs_status_t fetch(const Lane &lane, std::span<const std::byte> front, void *descriptor, std::size_t length);
    void accept(std::span<const std::byte> front, std::span<const std::byte> data);
    void mark_broken(const Peer &peer, ucs_status_t why);
    void close(Peer &peer);
    void flush(ucp_ep_h endpoint);
    ucp_request_param_t ending_param();
    void count_ending(ucs_status_ptr_t request);
    void progress_until_idle(std::chrono::milliseconds limit);
    Lane &door() const { return *lanes_.front(); }
    std::uint32_t incarnation_of(const Peer &peer) const { return sessions_.expected().peers[id_of(peer)]; }
    const Lane &lane_of(const Outgoing &outgoing) const;
    NodeId id_of(const Peer &peer) const { return static_cast<NodeId>(&peer - peers_.data()); }

    const Options options_;
    Sessions sessions_;
    std::optional<ScopedSettings> settings_; // during construction only
    // Destroyed in reverse order: buffers are unregistered after the worker has ended, before the context does.
    Context context_;
    StagingPool::Ptr pool_;
    std::optional<Context> shared_memory_; // made for the first private lane
    WaitSet awake_;
    std::vector<std::unique_ptr<Lane>> lanes_; // the door first
    bool lanes_ended_ = false;                 // some of them
    std::vector<Peer> peers_;
    std::deque<Outgoing> outgoing_;
    std::vector<Outgoing *> idle_outgoing_;
    std::size_t sends_in_flight_ = 0;
    std::size_t fetches_in_flight_ = 0;
    std::size_t endings_in_flight_ = 0; // flushes and closes
    bool leaving_ = false;              // in the destructor: the owner's handlers may be gone already
};

} // namespace norma::rpc::ucx
